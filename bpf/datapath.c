//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The packet program of Isthmus. It is attached to the ingress of the host
 * side of every ENI's veth pair and so sees every packet that an ENI sends;
 * internal/tables/README.md tells the packet's story, which the functions
 * below follow by its numbers.
 */
#include "proxy.h"
#include "related.h"
#include "reset.h"

/*
 * Moves the sequence number of a client's segment, or the acknowledgment of the
 * answer. Returns what the checksum's sum grows by.
 */
static __always_inline __u32 move_number(struct __sk_buff *skb, struct headers *h, struct flow *flow, __u32 by)
{
	__be32 old, new;

	if ((void *)(h->tcp + 1) > (void *)(long)skb->data_end)
		return 0;
	if (flow->flags & FLOW_REVERSE) {
		old = h->tcp->ack_seq;
		h->tcp->ack_seq = new = bpf_htonl(bpf_ntohl(old) - by);
	} else {
		old = h->tcp->seq;
		h->tcp->seq = new = bpf_htonl(bpf_ntohl(old) + by);
	}
	return csum_delta(old, new);
}

/* Rewrites addresses and ports and the checksums over them. */
static __always_inline void rewrite(struct __sk_buff *skb, struct headers *h, struct flow *flow, __u8 proto,
				    __u32 move)
{
	const __u32 l4 = sizeof(struct ethhdr) + sizeof(struct iphdr);
	__u32 addr_delta = flow->addr_delta, port_delta = flow->port_delta;

	h->ip->saddr = flow->src.w[3];
	h->ip->daddr = flow->dst.w[3];
	h->ip->check = csum_apply(h->ip->check, addr_delta);
	if (proto == IPPROTO_ICMP) /* neither ports nor a pseudo header */
		return;
	*h->ports = *(__u32 *)&flow->sport; /* and dport */
	if (move && proto == IPPROTO_TCP)
		port_delta = csum_difference((__u64)port_delta + move_number(skb, h, flow, move));
	if (proto == IPPROTO_TCP)
		csum_rewrite(skb, l4 + offsetof(struct tcphdr, check), h->check, addr_delta, port_delta, false);
	else
		csum_rewrite(skb, l4 + offsetof(struct udphdr, check), h->check, addr_delta, port_delta, true);
}

/* The flags that a packet adds to those of its flow. */
static __always_inline __u32 note(__u32 flags, __u8 tcp_flags)
{
	return (tcp_flags & TCP_FIN ? FLOW_FIN : 0) | (tcp_flags & TCP_RST ? FLOW_RST : 0) |
	       (flags & FLOW_REVERSE ? FLOW_REPLIED : 0);
}

/* Sends a packet the way of its flow, with its number moved by so much. */
static __always_inline int pass(struct __sk_buff *skb, struct headers *h, struct flow *flow, __u8 proto, __u32 move)
{
	__u32 tick = bpf_jiffies64(), ifindex = flow->ifindex, flags = flow->flags;

	if (flow->tick != tick) { /* the clock is asked once a tick */
		flow->tick = tick;
		flow->last_seen = bpf_ktime_get_coarse_ns();
	}
	flow->packets++;
	flow->bytes += skb->len;
	if (unlikely(h->tcp_flags & (TCP_FIN | TCP_RST) ||
		     (flags & (FLOW_REVERSE | FLOW_REPLIED)) == FLOW_REVERSE))
		flow->flags = flags | note(flags, h->tcp_flags);

	copy_mac(h->eth->h_dest, flow->dmac);
	copy_mac(h->eth->h_source, router_mac);
	if (flags & FLOW_TRANSLATED || move) /* a balancer may send a packet on with the addresses that it has */
		rewrite(skb, h, flow, proto, move);
	return deliver(skb, ifindex);
}

/* Sends a segment the way of its proxied flow. */
__noinline int pass_proxied(struct __sk_buff *skb, struct packet *p, struct segment *s)
{
	struct headers h;
	struct flow *flow;
	int reason;

	if (!p || !s)
		return TC_ACT_SHOT;
	reason = shift_segment(skb, &p->key, s);
	if (reason)
		return drop(p->eni, reason);
	if (!find_frame(skb, &h) || parse(skb, &h, &p->key))
		return drop(p->eni, DROP_MALFORMED);
	flow = bpf_map_lookup_elem(&flows, &p->key);
	if (!flow)
		return drop(p->eni, DROP_IDLE);
	return pass(skb, &h, flow, IPPROTO_TCP, s->move);
}

/* Sends a packet the way of its flow. */
static __always_inline int forward(struct __sk_buff *skb, struct headers *h, struct flow *flow, struct packet *p)
{
	if (unlikely(flow->flags & FLOW_PROXIED)) {
		struct segment s;

		if (!read_segment(skb, h, &s))
			return drop(flow->eni, DROP_MALFORMED);
		p->eni = flow->eni;
		return pass_proxied(skb, p, &s);
	}
	return pass(skb, h, flow, p->key.proto, 0);
}

SEC("tc")
int isthmus(struct __sk_buff *skb)
{
	struct packet p;
	struct headers h;
	struct flow *flow;
	enum drop_reason reason;

	/* 1. Parse */
	if (!find_frame(skb, &h))
		return drop(0, DROP_MALFORMED);
	if (h.eth->h_proto == bpf_htons(ETH_P_ARP))
		return answer_arp(skb);
	if (h.eth->h_proto != bpf_htons(ETH_P_IP))
		return drop(0, DROP_UNSUPPORTED_PROTOCOL);
	reason = parse(skb, &h, &p.key);
	if (reason)
		return drop(0, reason);

	/* 2. Known flow */
	flow = h.related ? NULL : bpf_map_lookup_elem(&flows, &p.key);
	if (flow && !same_mac(h.eth->h_source, flow->smac))
		return drop(flow->eni, DROP_SPOOFED);
	if (likely(flow && flow->epoch == current_epoch() && !begins_connection(h.tcp_flags)))
		return forward(skb, &h, flow, &p);

	/* 3-5. New flow, or one to be evaluated anew */
	p.seq = h.tcp_flags ? bpf_ntohl(h.tcp->seq) : 0;
	p.icmp = h.icmp->type << 8 | h.icmp->code;
	p.tcp_flags = h.tcp_flags;
	p.ended = false;
	p.eni = 0;
	copy_mac(p.mac, h.eth->h_source);

	/* 6. Related */
	if (h.related)
		return relate(skb, &p);

	reason = admit(&p);
	if (reason)
		return refuse(skb, &p, reason);
	flow = bpf_map_lookup_elem(&flows, &p.key);
	if (!flow) /* its sender is elsewhere now */
		return drop(p.eni, DROP_SPOOFED);
	return forward(skb, &h, flow, &p);
}

char _license[] SEC("license") = "Dual BSD/GPL";
