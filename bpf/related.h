/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_RELATED_H
#define ISTHMUS_RELATED_H

#include "flow.h"
#include "reply.h"

/* The start of the packet that an ICMP error quotes. */
struct quote {
	struct iphdr ip;
	union {
		__be16 ports[2];
		struct icmphdr icmp;
	};
};

/*
 * The key of the flow whose sender the quoted packet went to: of the quoted
 * packet turned round. Returns whether there can be one.
 */
static __always_inline bool quoted_flow(struct __sk_buff *skb, struct flow_key *key)
{
	const __u32 offset = sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct icmphdr);
	struct quote quote;

	if (bpf_skb_load_bytes(skb, offset, &quote, sizeof(quote)))
		return false;
	if (quote.ip.version != 4 || quote.ip.ihl != 5 || quote.ip.frag_off & bpf_htons(0x1fff))
		return false;
	map_ipv4(&key->src, quote.ip.daddr);
	map_ipv4(&key->dst, quote.ip.saddr);
	key->proto = quote.ip.protocol;
	switch (quote.ip.protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		key->sport = quote.ports[1];
		key->dport = quote.ports[0];
		return true;
	case IPPROTO_ICMP:
		key->sport = key->dport = quote.icmp.id;
		return quote.icmp.type == ICMP_ECHO || quote.icmp.type == ICMP_ECHOREPLY;
	default:
		return false;
	}
}

/*
 * Forwards an ICMP error to whom the flow that it is about goes. It changes
 * nothing of the flow.
 */
__noinline int relate(struct __sk_buff *skb, struct packet *p)
{
	struct flow_key key = {};
	struct ethhdr *eth;
	struct flow *flow;

	if (!p)
		return TC_ACT_SHOT;
	key.ifindex = p->key.ifindex;
	if (!quoted_flow(skb, &key))
		return drop(0, DROP_UNRELATED);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		return drop(0, DROP_UNRELATED);
	if (flow->epoch != current_epoch() || flow->flags & FLOW_TRANSLATED ||
	    !same_addr(&flow->src, &p->key.src) || !same_addr(&flow->dst, &p->key.dst))
		return drop(flow->eni, DROP_UNRELATED);
	if (!same_mac(p->mac, flow->smac))
		return drop(flow->eni, DROP_SPOOFED);

	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	copy_mac(eth->h_dest, flow->dmac);
	copy_mac(eth->h_source, router_mac);
	return deliver(skb, flow->ifindex);
}

#endif
