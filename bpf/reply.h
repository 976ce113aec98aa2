/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_REPLY_H
#define ISTHMUS_REPLY_H

#include "drop.h"
#include "parse.h"

static const __u8 router_mac[6] = ROUTER_MAC;

/* Hands a packet to the other end of a device, as if it had arrived there. */
static __always_inline int deliver(struct __sk_buff *skb, __u32 ifindex)
{
	/* Kernels before 6.15 leave the type that the host side's MAC gave it. */
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(ifindex, 0);
}

/* ARP for IPv4 over Ethernet (RFC 826). */
struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender_addr[4];
	__u8 target_mac[6];
	__u8 target_addr[4];
};

#define ARP_REQUEST bpf_htons(1)
#define ARP_REPLY bpf_htons(2)

/*
 * Answers an ARP request with the router's MAC, whatever address it asks for.
 * An address that the sender claims or probes for itself is left unanswered,
 * since an answer would mean that somebody else has it.
 */
__noinline int answer_arp(struct __sk_buff *skb)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	struct arp *arp = (void *)(eth + 1);
	__u8 addr[4];

	if ((void *)(arp + 1) > (void *)(long)skb->data_end)
		return drop(0, DROP_MALFORMED);
	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_length != 6 || arp->protocol_length != 4 || arp->operation != ARP_REQUEST ||
	    *(__u32 *)arp->sender_addr == 0 || *(__u32 *)arp->sender_addr == *(__u32 *)arp->target_addr)
		return TC_ACT_SHOT;

	copy_mac(eth->h_dest, eth->h_source);
	copy_mac(eth->h_source, router_mac);
	arp->operation = ARP_REPLY;
	__builtin_memcpy(addr, arp->target_addr, sizeof(addr));
	copy_mac(arp->target_mac, arp->sender_mac);
	__builtin_memcpy(arp->target_addr, arp->sender_addr, sizeof(addr));
	copy_mac(arp->sender_mac, router_mac);
	__builtin_memcpy(arp->sender_addr, addr, sizeof(addr));
	return deliver(skb, skb->ifindex);
}

#endif
