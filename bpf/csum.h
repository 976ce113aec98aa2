/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_CSUM_H
#define ISTHMUS_CSUM_H

#include "kernel.h"
#include "types.h"

/*
 * Internet checksums (RFC 1071, RFC 1624). A sum is that of 32-bit words,
 * which equals that of their halves modulo 0xffff.
 */

/* Folds a sum of words to one word. */
static __always_inline __u32 csum_word(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum;
}

/* Folds a sum of words to 16 bits. */
static __always_inline __u16 csum_half(__u64 sum)
{
	sum = csum_word(sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/*
 * What a sum grows by when some words become others, in 16 bits. If it does
 * not grow, that is 0 and never 0xffff.
 */
static __always_inline __u32 csum_difference(__u64 sum)
{
	__u16 difference = csum_half(sum);

	return difference == 0xffff ? 0 : difference;
}

static __always_inline __u32 csum_delta(__u32 from, __u32 to)
{
	return csum_difference((__u64)to + (__u32)~from);
}

/* The same for a pair of addresses. */
static __always_inline __u32 csum_delta_addrs(const struct addr *from_src, const struct addr *to_src,
					      const struct addr *from_dst, const struct addr *to_dst)
{
	__u64 sum = 0;
	int i;

#pragma unroll
	for (i = 0; i < 4; i++) {
		sum += (__u64)to_src->w[i] + (__u32)~from_src->w[i];
		sum += (__u64)to_dst->w[i] + (__u32)~from_dst->w[i];
	}
	return csum_difference(sum);
}

/* A header's checksum after the words under it have changed by delta. */
static __always_inline __u16 csum_apply(__u16 check, __u32 delta)
{
	return ~csum_half((__u64)(__u16)~check + delta);
}

/* The same for UDP, where no checksum is 0 and a checksum never is. */
static __always_inline __u16 csum_apply_udp(__u16 check, __u32 delta)
{
	check = csum_apply(check, delta);
	return check ? check : 0xffff;
}

/*
 * Rewrites the checksum, at an offset in the packet, of a TCP segment or a
 * datagram whose addresses and ports have changed. old is what it is now.
 *
 * A checksum that the device has still to complete, as all are between
 * namespaces, is the sum of the pseudo header as yet and covers no ports. Only
 * bpf_l4_csum_replace() knows which kind it is. What it makes of the
 * addresses' difference tells, since it subtracts from a complete checksum
 * what it adds to the other; so it need not be called again for the ports.
 */
static __always_inline void csum_rewrite(struct __sk_buff *skb, __u32 offset, __u16 old, __u32 addr_delta,
					 __u32 port_delta, bool udp)
{
	__u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;
	__u16 *check, complete;

	if (!addr_delta) {
		bpf_l4_csum_replace(skb, offset, 0, port_delta, flags);
		return;
	}
	bpf_l4_csum_replace(skb, offset, 0, addr_delta, BPF_F_PSEUDO_HDR | flags);
	if (!port_delta || (udp && !old))
		return;
	check = (void *)(long)skb->data + offset;
	if ((void *)(check + 1) > (void *)(long)skb->data_end)
		return;
	complete = udp ? csum_apply_udp(old, addr_delta) : csum_apply(old, addr_delta);
	if (*check == complete)
		*check = udp ? csum_apply_udp(complete, port_delta) : csum_apply(complete, port_delta);
}

/*
 * Writes the checksum, at an offset in the packet, of a TCP segment that was
 * made anew. sum is that of its header, with no checksum in it, and of its
 * payload; pseudo that of the pseudo header, in 16 bits.
 *
 * If the checksum was left to be completed (as between namespaces it is), the
 * field must hold pseudo and stay; if not, the complement of pseudo + sum.
 * There is no way to ask which, but bpf_l4_csum_replace() knows: from pseudo,
 * it comes to the complement of pseudo + sum by a difference of
 * sum + 2 * pseudo, and in the other case it ignores the difference.
 */
static __always_inline void csum_write(struct __sk_buff *skb, __u32 offset, __u16 pseudo, __u64 sum)
{
	bpf_skb_store_bytes(skb, offset, &pseudo, sizeof(pseudo), 0);
	bpf_l4_csum_replace(skb, offset, 0, csum_word(sum + 2 * (__u64)pseudo), 0);
}

#endif
