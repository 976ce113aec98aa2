/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_BALANCE_H
#define ISTHMUS_BALANCE_H

#include "maps.h"

static __always_inline __u64 hash_word(__u64 hash, __u32 word)
{
	hash ^= word;
	hash *= 0xFF51AFD7ED558CCD;
	return hash ^ hash >> 32;
}

/*
 * The hash by which a new flow gets its target and its source port. The
 * sequence number of a SYN is part of it, so that a client's connections from
 * one port go to different targets in the course of time.
 */
static __always_inline __u64 hash_flow(const struct flow_key *key, __u32 seq)
{
	__u64 hash = 0x9E3779B97F4A7C15 ^ seq;
	int i;

	for (i = 0; i < 4; i++)
		hash = hash_word(hash, key->src.w[i]);
	for (i = 0; i < 4; i++)
		hash = hash_word(hash, key->dst.w[i]);
	hash = hash_word(hash, key->sport | (__u32)key->dport << 16);
	return hash_word(hash, key->proto);
}

static __always_inline struct listener *find_listener(__u32 eni, __be16 port, __u8 proto)
{
	struct listener_key at = {.eni = eni, .port = port, .proto = proto};

	return bpf_map_lookup_elem(&listeners, &at);
}

/* Chooses a target for a new flow. Returns whether there is one. */
__noinline int choose_target(__u64 targets, __u32 size, __u64 hash, struct target *chosen)
{
	struct target *target;
	__u32 slot;
	void *set;

	if (!chosen || !size)
		return false;
	set = bpf_map_lookup_elem(&target_sets, &targets);
	if (!set)
		return false;
	slot = (__u32)hash % size;
	target = bpf_map_lookup_elem(set, &slot);
	if (!target)
		return false;
	*chosen = *target;
	return true;
}

/* Whether a flow may go on to the target that it has. */
static __always_inline bool is_member(__u64 group, const struct target *target)
{
	struct member_key key = {.group = group, .addr = target->addr, .port = target->port};

	return bpf_map_lookup_elem(&members, &key);
}

#endif
