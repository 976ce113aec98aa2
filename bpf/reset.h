/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_RESET_H
#define ISTHMUS_RESET_H

#include "proxy.h"
#include "reply.h"

/* A RST and its receiver. Numbers are in host order. */
struct reset {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	__u32 seq;
	__u32 ack;
	__u32 acks;  /* whether ack holds */
	__u8 mac[6] WORD_ALIGNED;
	__u16 pad;
};

/* Makes a RST of a TCP segment. Returns whether it is none. */
__noinline int write_reset(struct __sk_buff *skb, struct reset *r)
{
	const __u32 length = sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr);
	struct ethhdr *eth;
	struct iphdr *ip, new_ip = {};
	struct tcphdr *tcp, new_tcp = {};
	__u32 *words = (void *)&new_ip;
	__u64 sum, pseudo;
	int i;

	if (!r || bpf_skb_change_tail(skb, length, 0))
		return true;
	new_ip.version = 4;
	new_ip.ihl = 5;
	new_ip.tot_len = bpf_htons(sizeof(new_ip) + sizeof(new_tcp));
	new_ip.frag_off = bpf_htons(0x4000); /* don't fragment */
	new_ip.ttl = 64;
	new_ip.protocol = IPPROTO_TCP;
	new_ip.saddr = r->src;
	new_ip.daddr = r->dst;
	for (sum = 0, i = 0; i < 5; i++)
		sum += words[i];
	new_ip.check = ~csum_half(sum);

	new_tcp.source = r->sport;
	new_tcp.dest = r->dport;
	new_tcp.doff = 5;
	new_tcp.rst = 1;
	new_tcp.seq = bpf_htonl(r->seq);
	if (r->acks) {
		new_tcp.ack = 1;
		new_tcp.ack_seq = bpf_htonl(r->ack);
	}
	pseudo = (__u64)r->src + r->dst + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(new_tcp));
	pseudo = csum_half(pseudo);
	words = (void *)&new_tcp;
	for (sum = 0, i = 0; i < 5; i++)
		sum += words[i];

	eth = (void *)(long)skb->data;
	ip = (void *)(eth + 1);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > (void *)(long)skb->data_end)
		return true;
	copy_mac(eth->h_dest, r->mac);
	copy_mac(eth->h_source, router_mac);
	*ip = new_ip;
	*tcp = new_tcp;
	csum_write(skb, (void *)&tcp->check - (void *)eth, pseudo, sum);
	return false;
}

/*
 * Sends a segment whose flow has just been removed on as a RST, so that its
 * receiver, too, hears of the end.
 *
 * A receiver obeys a RST with exactly the number that it expects (RFC 9293,
 * 3.10.7.4): the segment's own, or after a SYN the next. An empty segment may
 * be a probe, of keep-alive or of a closed window, whose number is the one
 * before: so there are two RSTs, one of which is obeyed.
 *
 * Of the segment nothing is left then.
 */
__noinline int pass_reset(struct __sk_buff *skb, struct segment *s)
{
	struct work *w = find_work();
	struct reset r = {};
	bool syn, probe;

	if (!w || !s)
		return TC_ACT_SHOT;
	syn = s->flags & TCP_SYN;
	probe = !s->payload && !(s->flags & (TCP_SYN | TCP_FIN | TCP_RST));
	r.src = w->end.src.w[3];
	r.dst = w->end.dst.w[3];
	r.sport = w->end.sport;
	r.dport = w->end.dport;
	r.seq = s->seq + w->end.shift + syn;
	r.ack = s->ack;
	r.acks = syn && s->flags & TCP_ACK; /* without, it is not obeyed by who has sent a SYN */
	copy_mac(r.mac, w->end.dmac);
	if (write_reset(skb, &r) || bpf_clone_redirect(skb, w->end.ifindex, 0) || !probe)
		return TC_ACT_SHOT;
	r.seq++;
	if (!write_reset(skb, &r))
		bpf_clone_redirect(skb, w->end.ifindex, 0);
	return TC_ACT_SHOT;
}

/*
 * Whether the ends of a connection are told that it is no more, as NLB tells
 * them, or left to their timeouts.
 */
static __always_inline bool is_told(const struct packet *p, __u32 reason)
{
	if (p->key.proto != IPPROTO_TCP)
		return false;
	switch (reason) {
	case DROP_IDLE:
	case DROP_NO_HEALTHY_TARGET:
		return true;
	case DROP_NOT_ACCEPTED:
	case DROP_NO_LISTENER:
		/* The flow was known, to this table or to the sender. */
		return p->ended || !begins_connection(p->tcp_flags);
	case DROP_NO_ADDRESS:
		return p->ended;
	default:
		return false;
	}
}

/* Ends a packet that may not pass. A RST is never answered (RFC 9293, 3.10.7.1). */
__noinline int refuse(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
	struct reset answer = {};
	struct headers h;
	struct segment s;

	if (!p)
		return TC_ACT_SHOT;
	drop(p->eni, reason);
	if (!is_told(p, reason))
		return TC_ACT_SHOT;
	h.ip = (void *)(long)skb->data + sizeof(struct ethhdr);
	h.tcp = (void *)(h.ip + 1);
	h.tcp_flags = p->tcp_flags;
	if (!read_segment(skb, &h, &s))
		return TC_ACT_SHOT;
	if (p->ended)
		pass_reset(skb, &s);
	if (s.flags & TCP_RST)
		return TC_ACT_SHOT;
	answer.src = p->key.dst.w[3];
	answer.dst = p->key.src.w[3];
	answer.sport = p->key.dport;
	answer.dport = p->key.sport;
	copy_mac(answer.mac, p->mac);
	if (s.flags & TCP_ACK) {
		answer.seq = s.ack;
	} else {
		answer.ack = s.seq + s.payload + !!(s.flags & TCP_SYN) + !!(s.flags & TCP_FIN);
		answer.acks = true;
	}
	return write_reset(skb, &answer) ? TC_ACT_SHOT : deliver(skb, skb->ifindex);
}

#endif
