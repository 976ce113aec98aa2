/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_ANNOUNCE_H
#define ISTHMUS_ANNOUNCE_H

#include "path.h"

/*
 * The PROXY protocol's header, version 2 (haproxy.org, proxy-protocol.txt),
 * as Network Load Balancers write it: always of one length, which a NOOP fills.
 */
struct proxy_header {
	__be32 signature[3];
	__u8 version_command;
	__u8 family;
	__be16 length;
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	__u8 checksum_type;
	__be16 checksum_length;
	__be32 checksum; /* CRC32C */
	union {
		struct {
			__u8 aws_type;
			__be16 aws_length;
			__u8 aws_subtype;
			__u8 endpoint[22];
			__u8 noop_type;
			__be16 noop_length;
		} __attribute__((packed)) linked;
		struct {
			__u8 noop_type;
			__be16 noop_length;
		} __attribute__((packed)) direct;
		__u8 rest[65];
	};
} __attribute__((packed));

#define PROXY_TLV_CRC32C 0x03
#define PROXY_TLV_NOOP 0x04
#define PROXY_TLV_AWS 0xea
#define PROXY_AWS_ENDPOINT 0x01

/*
 * One byte more under a CRC32C (RFC 3720, B.4), bit by bit: it is needed once a
 * connection. A function of its own, which the verifier follows but once.
 */
__noinline __u32 crc32c(__u32 crc, __u32 byte)
{
	__u32 bit;

	crc ^= byte;
#pragma unroll
	for (bit = 0; bit < 8; bit++)
		crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1));
	return crc;
}

/* Writes a header as the at-th of a flow's preamble. */
__noinline int announce(struct detail *detail, struct announcement *a, __u32 at)
{
	struct endpoint *endpoint;
	struct proxy_header *h;
	__u32 number, i, crc = ~0U;

	if (!detail || !a || at >= MAX_CROSSINGS)
		return 0;
	h = (void *)&detail->preamble[at * PROXY_HEADER];
	__builtin_memset(h, 0, sizeof(*h));
	h->signature[0] = bpf_htonl(0x0d0a0d0a); /* \r\n\r\n */
	h->signature[1] = bpf_htonl(0x000d0a51); /* \0\r\nQ */
	h->signature[2] = bpf_htonl(0x5549540a); /* UIT\n */
	h->version_command = 0x21; /* version 2, PROXY */
	h->family = 0x11;          /* TCP over IPv4 */
	h->length = bpf_htons(sizeof(*h) - offsetof(struct proxy_header, src));
	h->src = a->src;
	h->dst = a->dst;
	h->sport = a->sport;
	h->dport = a->dport;
	h->checksum_type = PROXY_TLV_CRC32C;
	h->checksum_length = bpf_htons(sizeof(h->checksum));
	number = a->endpoint;
	endpoint = number ? bpf_map_lookup_elem(&endpoints, &number) : NULL;
	if (endpoint) {
		h->linked.aws_type = PROXY_TLV_AWS;
		h->linked.aws_length = bpf_htons(1 + sizeof(h->linked.endpoint));
		h->linked.aws_subtype = PROXY_AWS_ENDPOINT;
		__builtin_memcpy(h->linked.endpoint, endpoint->id, sizeof(h->linked.endpoint));
		h->linked.noop_type = PROXY_TLV_NOOP;
		h->linked.noop_length = bpf_htons(sizeof(h->rest) - sizeof(h->linked));
	} else {
		h->direct.noop_type = PROXY_TLV_NOOP;
		h->direct.noop_length = bpf_htons(sizeof(h->rest) - sizeof(h->direct));
	}
	for (i = 0; i < sizeof(*h); i++)
		crc = crc32c(crc, ((__u8 *)h)[i]);
	h->checksum = bpf_htonl(~crc);
	return 0;
}

#endif
