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

/* What a sum grows by when one word becomes another; 0 if it stays. */
static __always_inline __u32 csum_delta(__u32 from, __u32 to)
{
	__u32 delta = csum_word((__u64)to + (__u32)~from);

	return delta == 0xffffffff ? 0 : delta;
}

/* The same for a pair of addresses. */
static __always_inline __u32 csum_delta_addrs(const struct addr *from_src, const struct addr *to_src,
					      const struct addr *from_dst, const struct addr *to_dst)
{
	__u64 sum = 0;
	__u32 delta;
	int i;

#pragma unroll
	for (i = 0; i < 4; i++) {
		sum += (__u64)to_src->w[i] + (__u32)~from_src->w[i];
		sum += (__u64)to_dst->w[i] + (__u32)~from_dst->w[i];
	}
	delta = csum_word(sum);
	return delta == 0xffffffff ? 0 : delta;
}

/* A header's checksum after the words under it have changed by delta. */
static __always_inline __u16 csum_apply(__u16 check, __u32 delta)
{
	return ~csum_half((__u64)(__u16)~check + delta);
}

#endif
