/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_RULES_H
#define ISTHMUS_RULES_H

#include "maps.h"

enum allowance {
	DENIED,
	ALLOWED,
	ALLOWED_OPEN, /* by a rule for 0.0.0.0/0 */
};

#define RANGE_STEPS 17 /* of a binary search: 65536 ranges */

/*
 * What a rule set says of a port (in host order; of ICMP type << 8 | code)
 * towards or from an address. Returns enum allowance.
 */
__noinline int allowance(__u64 rule_set, struct addr *addr, __u32 proto, __u32 port)
{
	struct rule_key key = {.prefixlen = 8 * (sizeof(key.rule_set) + sizeof(key.addr))};
	struct range_key at = {};
	struct rule *rule;
	struct range *range;
	__u32 wanted = proto << 16 | port;
	__u32 low = 0, high, i;

	if (!addr)
		return DENIED;
	if (!rule_set)
		return ALLOWED_OPEN;
	__builtin_memcpy(key.rule_set, &rule_set, sizeof(rule_set));
	key.addr = *addr;
	rule = bpf_map_lookup_elem(&rules, &key);
	if (!rule)
		return DENIED;

	/* The last range that begins at or before the port is the only one that may hold it. */
	at.ranges = rule->ranges;
	high = rule->count;
	for (i = 0; i < RANGE_STEPS; i++) {
		if (low >= high)
			return DENIED;
		at.index = low + (high - low) / 2;
		range = bpf_map_lookup_elem(&ranges, &at);
		if (!range)
			return DENIED;
		if (wanted < ((__u32)range->proto << 16 | range->low))
			high = at.index;
		else if (wanted > ((__u32)range->proto << 16 | range->high))
			low = at.index + 1;
		else
			return range->open ? ALLOWED_OPEN : ALLOWED;
	}
	return DENIED;
}

#endif
