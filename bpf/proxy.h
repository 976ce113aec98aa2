/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_PROXY_H
#define ISTHMUS_PROXY_H

#include "flow.h"

/*
 * A proxied flow's receiver gets bytes that the client has not sent: the
 * preamble, which takes the place of the first segment after the client's SYN.
 * If that had a payload, the client sends it again, since nothing acknowledges
 * it. From then on the client's sequence numbers, and the receiver's
 * acknowledgments, differ by the preamble's length. Whatever is lost or comes
 * late: the preamble is what the receiver finds at its place of the stream,
 * and the client's bytes are what it finds behind.
 */

#define TCP_HEADER_MAX 60

enum tcp_option {
	TCP_OPTION_END,
	TCP_OPTION_NOP,
	TCP_OPTION_MSS,
	TCP_OPTION_WINDOW_SCALE,
	TCP_OPTION_TIMESTAMPS = 8,
};

/*
 * Replaces a TCP segment's payload by the first bytes of the preamble, or by
 * nothing. Returns enum drop_reason.
 */
__noinline int replace_payload(struct __sk_buff *skb, struct detail *detail, __u32 seq, __u32 length)
{
	const __u32 start = sizeof(struct ethhdr) + sizeof(struct iphdr);
	struct iphdr *ip = (void *)(long)skb->data + sizeof(struct ethhdr);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct {
		struct tcphdr tcp;
		__u8 options[TCP_HEADER_MAX - sizeof(struct tcphdr)];
	} header = {};
	__u64 sum, pseudo;
	__be16 ip_length;
	__u32 size, i;

	if (!detail || length > sizeof(detail->preamble) || (void *)(tcp + 1) > (void *)(long)skb->data_end)
		return DROP_MALFORMED;
	size = tcp->doff * 4;
	if (size < sizeof(*tcp) || size > TCP_HEADER_MAX)
		return DROP_MALFORMED;
	if (bpf_skb_change_tail(skb, start + size + length, 0))
		return DROP_MALFORMED;
	for (i = 0; i < MAX_CROSSINGS && i * PROXY_HEADER < length; i++)
		if (bpf_skb_store_bytes(skb, start + size + i * PROXY_HEADER, detail->preamble + i * PROXY_HEADER,
					PROXY_HEADER, BPF_F_RECOMPUTE_CSUM))
			return DROP_MALFORMED;

	ip = (void *)(long)skb->data + sizeof(struct ethhdr);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > (void *)(long)skb->data_end)
		return DROP_MALFORMED;
	ip_length = bpf_htons(sizeof(*ip) + size + length);
	ip->check = csum_apply(ip->check, csum_delta(ip->tot_len, ip_length));
	ip->tot_len = ip_length;
	if (length) {
		tcp->seq = bpf_htonl(seq);
		((__u8 *)tcp)[13] = TCP_PSH | TCP_ACK;
		tcp->urg_ptr = 0;
	}
	pseudo = (__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_TCP) + bpf_htons(size + length);
	pseudo = csum_half(pseudo);
	tcp->check = 0;
	if (bpf_skb_load_bytes(skb, start, &header, size))
		return DROP_MALFORMED;
	sum = (__u32)bpf_csum_diff(NULL, 0, (void *)&header, sizeof(header), 0);
	for (i = 0; i < MAX_CROSSINGS && i * PROXY_HEADER < length; i++)
		sum += (__u32)bpf_csum_diff(NULL, 0, (void *)(detail->preamble + i * PROXY_HEADER), PROXY_HEADER, 0);
	csum_write(skb, start + offsetof(struct tcphdr, check), pseudo, sum);
	return DROP_NONE;
}

/*
 * Makes no-operations of the options of a SYN whose meaning depends on sequence
 * numbers or that would have the receiver take data before the preamble: all
 * but those that are known to be harmless. Selective acknowledgments are thus
 * not agreed upon: the ranges in them would have to be moved in every segment.
 */
__noinline int plain_options(struct __sk_buff *skb)
{
	const __u32 start = sizeof(struct ethhdr) + sizeof(struct iphdr);
	struct tcphdr *tcp = (void *)(long)skb->data + start;
	__u8 options[TCP_HEADER_MAX - sizeof(struct tcphdr)] WORD_ALIGNED = {};
	__u8 before[sizeof(options)] WORD_ALIGNED;
	__u32 size, i, kind, left = 0;
	bool harmless = true;

	if ((void *)(tcp + 1) > (void *)(long)skb->data_end)
		return DROP_MALFORMED;
	size = tcp->doff * 4 - sizeof(*tcp);
	if (!size)
		return DROP_NONE;
	barrier_var(size); /* so that the verifier sees both bounds */
	if (size < 1 || size > sizeof(options))
		return DROP_NONE;
	barrier_var(size);
	if (bpf_skb_load_bytes(skb, start + sizeof(*tcp), options, size))
		return DROP_MALFORMED;
	__builtin_memcpy(before, options, sizeof(options));
	for (i = 0; i < sizeof(options); i++) {
		if (!left) {
			kind = options[i];
			if (kind == TCP_OPTION_END)
				break;
			harmless = kind == TCP_OPTION_MSS || kind == TCP_OPTION_WINDOW_SCALE ||
				   kind == TCP_OPTION_TIMESTAMPS;
			left = kind != TCP_OPTION_NOP && i + 1 < sizeof(options) ? options[i + 1] : 1;
			if (!left)
				left = 1;
		}
		if (!harmless)
			options[i] = TCP_OPTION_NOP;
		left--;
	}
	if (bpf_skb_store_bytes(skb, start + sizeof(*tcp), options, size, BPF_F_RECOMPUTE_CSUM))
		return DROP_MALFORMED;
	bpf_l4_csum_replace(skb, start + offsetof(struct tcphdr, check), 0,
			    bpf_csum_diff((void *)before, sizeof(before), (void *)options, sizeof(options), 0), 0);
	return DROP_NONE;
}

/* A TCP segment's numbers. */
struct segment {
	__u32 seq;
	__u32 ack;
	__u32 payload; /* bytes */
	__u32 move;    /* found out: what its number is to be moved by */
	__u8 flags;
};

/* Whether the headers of a segment are there is known, but not to the verifier. */
static __always_inline bool read_segment(struct __sk_buff *skb, const struct headers *h, struct segment *s)
{
	if ((void *)(h->tcp + 1) > (void *)(long)skb->data_end)
		return false;
	s->seq = bpf_ntohl(h->tcp->seq);
	s->ack = bpf_ntohl(h->tcp->ack_seq);
	s->payload = bpf_ntohs(h->ip->tot_len) - sizeof(*h->ip) - h->tcp->doff * 4;
	s->flags = h->tcp_flags;
	s->move = 0;
	return true;
}

/* From the client: finds how far seq is to be moved, or sends the preamble. */
static __always_inline int send_preamble(struct __sk_buff *skb, struct flow *flow, struct detail *detail,
					 struct segment *s)
{
	int reason;

	if (detail->acked) {
		flow->flags &= ~FLOW_PREAMBLE;
		s->move = flow->shift;
		return DROP_NONE;
	}
	if (!detail->missing || s->flags & TCP_RST || !(s->flags & TCP_ACK)) {
		s->move = detail->sent ? flow->shift : 0;
		return DROP_NONE;
	}
	reason = replace_payload(skb, detail, flow->iss + 1, detail->length);
	if (!reason) {
		detail->sent = 1;
		detail->missing = 0;
	}
	return reason;
}

/* From the receiver: finds how far ack is to be moved, and what it tells. */
static __always_inline void preamble_acked(struct flow *flow, struct detail *detail, struct segment *s)
{
	__u32 got = s->ack - (flow->iss + 1); /* bytes, the preamble's first */

	if (!(s->flags & TCP_ACK) || (__s32)got < 0)
		return;
	if (detail->acked || (detail->sent && got >= flow->shift)) {
		detail->acked = 1;
		flow->flags &= ~FLOW_PREAMBLE;
		s->move = flow->shift;
	} else if (got < flow->shift) {
		detail->missing = 1;
		s->move = got;
	}
}

/*
 * Brings a segment of a proxied flow into the shape that it has on the other
 * side, but for the number that is to be moved. Returns enum drop_reason.
 */
__noinline int shift_segment(struct __sk_buff *skb, struct flow_key *key, struct segment *s)
{
	struct flow_key forward_key = {};
	struct detail *detail;
	struct flow *flow;
	bool reverse;
	int reason;

	if (!key || !s)
		return DROP_MALFORMED;
	flow = bpf_map_lookup_elem(&flows, key);
	if (!flow)
		return DROP_IDLE;
	reverse = flow->flags & FLOW_REVERSE;
	if (!(flow->flags & FLOW_PREAMBLE) && !begins_connection(s->flags)) {
		s->move = !reverse || s->flags & TCP_ACK ? flow->shift : 0;
		return DROP_NONE;
	}
	if (reverse)
		opposite(&forward_key, flow, key->proto);
	else
		forward_key = *key;
	detail = bpf_map_lookup_elem(&details, &forward_key);
	if (!detail)
		return DROP_NO_HEALTHY_TARGET;
	if (reverse) {
		preamble_acked(flow, detail, s);
		return DROP_NONE;
	}
	if (!begins_connection(s->flags))
		return send_preamble(skb, flow, detail, s);
	reason = plain_options(skb);
	if (!reason && s->payload)
		reason = replace_payload(skb, detail, 0, 0);
	return reason;
}

#endif
