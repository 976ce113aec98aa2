/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_PARSE_H
#define ISTHMUS_PARSE_H

#include "kernel.h"
#include "types.h"

#define IP_PLAIN 0x45                  /* version 4, no options */
#define IP_FRAGMENT bpf_htons(0x3fff) /* more fragments, or an offset */

enum tcp_flags {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
};

/* Where the headers are. What l4 points to is a whole header of the protocol. */
struct headers {
	struct ethhdr *eth;
	struct iphdr *ip;
	union {
		struct tcphdr *tcp;
		struct udphdr *udp;
		struct icmphdr *icmp;
		__u32 *ports; /* both */
	};
	__sum16 check; /* of TCP or UDP */
	__u8 tcp_flags;
	bool related; /* an ICMP error, which has no flow of its own */
};

#define WORD_ALIGNED __attribute__((aligned(4)))

/* What the slower half of the program needs to know of a packet. */
struct packet {
	struct flow_key key;
	__u32 seq;      /* of TCP, in host order */
	__u8 mac[6] WORD_ALIGNED; /* of the sender */
	__u16 icmp;     /* type << 8 | code */
	__u8 tcp_flags;
	bool ended;     /* found out: its flow went through balancers, and does no more */
	__u32 eni;      /* found out: the ENI that sends */
};

/*
 * MAC addresses are read as a word and a half. Where the verifier insists on
 * alignment, which is on the stack, they are declared with it.
 */
static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	return *(__u32 *)a == *(__u32 *)b && *(__u16 *)(a + 4) == *(__u16 *)(b + 4);
}

static __always_inline void copy_mac(__u8 *to, const __u8 *from)
{
	*(__u32 *)to = *(__u32 *)from;
	*(__u16 *)(to + 4) = *(__u16 *)(from + 4);
}

/*
 * A key is written by double words where it is read so, by the comparison of
 * keys: a wide read of what narrow writes have not left for the cache yet has
 * to wait for it.
 */
static __always_inline void map_ipv4(struct addr *to, __be32 from)
{
	__u64 *words = (void *)to;

	words[0] = 0;
	words[1] = (__u64)from << 32 | bpf_htonl(0xffff);
}

/* Writes what comes after the addresses; ports as they are in the packet. */
static __always_inline void finish_key(struct flow_key *key, __u32 ports, __u32 ifindex, __u8 proto)
{
	*(__u64 *)&key->sport = (__u64)ifindex << 32 | ports;
	*(__u32 *)&key->proto = proto; /* and the padding */
}

static __always_inline bool begins_connection(__u8 tcp_flags)
{
	return (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/*
 * Finds the link layer's header and makes those that follow readable in
 * place. A frame shorter than all of them stays as it is.
 */
static __always_inline bool find_frame(struct __sk_buff *skb, struct headers *h)
{
	__u32 wanted = sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr);
	__u32 linear = skb->data_end - skb->data;

	if (linear < wanted && linear < skb->len)
		bpf_skb_pull_data(skb, wanted < skb->len ? wanted : skb->len);
	h->eth = (void *)(long)skb->data;
	return (void *)(h->eth + 1) <= (void *)(long)skb->data_end;
}

/* Checks an IPv4 packet and finds its key. */
static __always_inline enum drop_reason parse(struct __sk_buff *skb, struct headers *h,
					      struct flow_key *key)
{
	void *end = (void *)(long)skb->data_end;
	struct iphdr *ip = (void *)(h->eth + 1);
	__u32 ports;
	__u16 length;

	if ((void *)(ip + 1) > end)
		return DROP_MALFORMED;
	if (*(__u8 *)ip != IP_PLAIN)
		return ip->version != 4 || ip->ihl < 5 ? DROP_MALFORMED : DROP_UNSUPPORTED_PROTOCOL;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_ICMP)
		return DROP_UNSUPPORTED_PROTOCOL;
	if (ip->frag_off & IP_FRAGMENT)
		return DROP_FRAGMENT;
	length = bpf_ntohs(ip->tot_len);
	if (length < sizeof(*ip) || sizeof(*h->eth) + length > skb->len)
		return DROP_MALFORMED;
	length -= sizeof(*ip);

	h->ip = ip;
	h->tcp = (void *)(ip + 1);
	h->check = 0;
	h->tcp_flags = 0;
	h->related = false;
	if ((void *)(h->udp + 1) > end) /* the shortest of the three, as is ICMP's */
		return DROP_MALFORMED;
	ports = *h->ports;

	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(h->tcp + 1) > end || h->tcp->doff < 5 || h->tcp->doff * 4 > length)
			return DROP_MALFORMED;
		h->check = h->tcp->check;
		h->tcp_flags = ((__u8 *)h->tcp)[13];
	} else if (length < sizeof(*h->udp)) {
		return DROP_MALFORMED;
	} else if (ip->protocol == IPPROTO_UDP) {
		__u16 datagram = bpf_ntohs(h->udp->len);

		if (datagram < sizeof(*h->udp) || datagram > length)
			return DROP_MALFORMED;
		h->check = h->udp->check;
	} else {
		switch (h->icmp->type) {
		case ICMP_ECHO:
		case ICMP_ECHOREPLY:
			ports = h->icmp->id | (__u32)h->icmp->id << 16;
			break;
		case ICMP_DEST_UNREACH:
		case ICMP_TIME_EXCEEDED:
		case ICMP_PARAMETERPROB:
			h->related = true;
			break;
		default:
			return DROP_UNSUPPORTED_PROTOCOL;
		}
	}
	map_ipv4(&key->src, ip->saddr);
	map_ipv4(&key->dst, ip->daddr);
	finish_key(key, ports, skb->ifindex, ip->protocol);
	return DROP_NONE;
}

#endif
