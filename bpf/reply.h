/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_REPLY_H
#define ISTHMUS_REPLY_H

#include "csum.h"
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

/*
 * Turns a TCP segment into the RST that answers it (RFC 9293, 3.10.7.1), from
 * the address that it was sent to.
 */
static __always_inline int answer_reset(struct __sk_buff *skb)
{
	const __u32 length = sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr);
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct iphdr new_ip = {};
	struct tcphdr new_tcp = {};
	__u32 *words = (void *)&new_ip;
	__u64 sum, pseudo;
	__u8 mac[6] WORD_ALIGNED;
	int i;

	if ((void *)(tcp + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	copy_mac(mac, eth->h_source);

	new_ip.version = 4;
	new_ip.ihl = 5;
	new_ip.tot_len = bpf_htons(sizeof(new_ip) + sizeof(new_tcp));
	new_ip.frag_off = bpf_htons(0x4000); /* don't fragment */
	new_ip.ttl = 64;
	new_ip.protocol = IPPROTO_TCP;
	new_ip.saddr = ip->daddr;
	new_ip.daddr = ip->saddr;
	for (sum = 0, i = 0; i < 5; i++)
		sum += words[i];
	new_ip.check = ~csum_half(sum);

	new_tcp.source = tcp->dest;
	new_tcp.dest = tcp->source;
	new_tcp.doff = 5;
	new_tcp.rst = 1;
	if (tcp->ack) {
		new_tcp.seq = tcp->ack_seq;
	} else {
		new_tcp.ack = 1;
		new_tcp.ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + bpf_ntohs(ip->tot_len) - sizeof(*ip) -
					    tcp->doff * 4 + tcp->syn + tcp->fin);
	}

	pseudo = (__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(new_tcp));
	pseudo = csum_half(pseudo);
	words = (void *)&new_tcp;
	for (sum = 0, i = 0; i < 5; i++)
		sum += words[i];

	if (bpf_skb_change_tail(skb, length, 0))
		return TC_ACT_SHOT;
	eth = (void *)(long)skb->data;
	ip = (void *)(eth + 1);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	copy_mac(eth->h_dest, mac);
	copy_mac(eth->h_source, router_mac);
	*ip = new_ip;
	*tcp = new_tcp;
	csum_write(skb, (void *)&tcp->check - (void *)eth, pseudo, sum);
	return deliver(skb, skb->ifindex);
}

/* Whether a TCP client is told, as NLB tells it, or left to its timeout. */
static __always_inline bool wants_answer(const struct packet *p, enum drop_reason reason)
{
	if (p->key.proto != IPPROTO_TCP || p->tcp_flags & TCP_RST)
		return false;
	switch (reason) {
	case DROP_IDLE:
	case DROP_NO_HEALTHY_TARGET:
		return true;
	case DROP_NOT_ACCEPTED:
	case DROP_NO_LISTENER:
		/* The flow was known, to this table or to the sender. */
		return p->known || !begins_connection(p->tcp_flags);
	default:
		return false;
	}
}

/* Ends a packet that may not pass. */
__noinline int refuse(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
	if (!p)
		return TC_ACT_SHOT;
	drop(p->eni, reason);
	return wants_answer(p, reason) ? answer_reset(skb) : TC_ACT_SHOT;
}

#endif
