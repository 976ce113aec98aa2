/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_DROP_H
#define ISTHMUS_DROP_H

#include "maps.h"

/* Drops the packet of an ENI (0 if not known whose) and counts why. */
static __noinline int drop(__u32 eni, enum drop_reason reason)
{
	struct drop_key key = {.eni = eni, .reason = reason};
	__u64 one = 1, *count;

	count = bpf_map_lookup_elem(&drops, &key);
	if (!count && bpf_map_update_elem(&drops, &key, &one, BPF_NOEXIST)) {
		/* Another CPU was first, or no room for this ENI's own count. */
		count = bpf_map_lookup_elem(&drops, &key);
		if (!count) {
			key.eni = 0;
			count = bpf_map_lookup_elem(&drops, &key);
		}
	}
	if (count)
		*count += 1;
	return TC_ACT_SHOT;
}

#endif
