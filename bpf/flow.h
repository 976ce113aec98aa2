/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_FLOW_H
#define ISTHMUS_FLOW_H

#include "announce.h"
#include "csum.h"
#include "path.h"

#define PORT_TRIES 64
#define PORT_FIRST 1024
#define PORT_STRIDE 7919
#define PORTS (65536 - PORT_FIRST)

#define UNKNOWN (-1) /* the packet belongs to no flow, as it turned out */

static __always_inline __u32 current_epoch(void)
{
	enum epoch_slot slot = EPOCH_CURRENT;
	__u32 *value = bpf_map_lookup_elem(&epoch, &slot);

	return value ? *value : 0;
}

/* The key of the other direction: what is sent, turned round. */
static __always_inline void opposite(struct flow_key *other, const struct flow *flow, __u8 proto)
{
	other->src = flow->dst;
	other->dst = flow->src;
	other->sport = flow->dport;
	other->dport = flow->sport;
	other->ifindex = flow->ifindex;
	other->proto = proto;
	other->pad[0] = other->pad[1] = other->pad[2] = 0;
}

/*
 * What the two directions share while they are made or changed: too much for
 * the stack.
 */
struct work {
	struct path path;
	struct detail detail;
	struct flow_key forward_key;
	struct flow_key reverse_key;
	struct flow forward;
	struct flow reverse;
	struct flow end; /* of a flow that ends: the entry of the packet's direction */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} scratch SEC(".maps");

static __always_inline struct work *find_work(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

static __always_inline void translate_ports(struct flow *flow, const struct flow_key *from,
					    __be16 sport, __be16 dport)
{
	flow->sport = sport;
	flow->dport = dport;
	flow->port_delta = csum_delta(from->sport | (__u32)from->dport << 16, sport | (__u32)dport << 16);
}

static __always_inline void translate_addrs(struct flow *flow, const struct flow_key *from,
					    const struct addr *src, const struct addr *dst)
{
	flow->src = *src;
	flow->dst = *dst;
	flow->addr_delta = csum_delta_addrs(&from->src, src, &from->dst, dst);
}

/* The i-th source port to try, in network order; the first is the client's own. */
static __always_inline __be16 source_port(const struct flow_key *key, __u64 hash, __u32 i)
{
	return i ? bpf_htons(PORT_FIRST + ((hash >> 32) + i * PORT_STRIDE) % PORTS) : key->sport;
}

/* Removes what is left of a flow: the direction that reserves the port last. */
static __always_inline void remove_flow(const struct flow_key *forward, const struct flow_key *reverse)
{
	bpf_map_delete_elem(&details, forward);
	bpf_map_delete_elem(&flows, forward);
	bpf_map_delete_elem(&flows, reverse);
}

/* Keeps of a flow's way what its entries have no room for. */
static __always_inline bool write_detail(struct work *w)
{
	__u32 i, n = w->path.announcements;

	w->detail.sent = w->detail.acked = 0;
	w->detail.missing = 1;
	w->detail.length = n * PROXY_HEADER;
	for (i = 0; i < MAX_CROSSINGS; i++) /* the last balancer's header is the first of the stream */
		if (i < n)
			announce(&w->detail, &w->path.announced[i], n - 1 - i);
	__builtin_memcpy(w->detail.chosen, w->path.chosen, sizeof(w->detail.chosen));
	w->detail.crossings = w->path.crossings;
	return !bpf_map_update_elem(&details, &w->forward_key, &w->detail, BPF_ANY);
}

/* Finds the targets that were chosen for a known flow. */
static __always_inline bool read_choices(struct work *w, const struct flow *forward)
{
	const struct flow_key *key = &w->forward_key;
	struct path *path = &w->path;
	struct detail *detail;

	if (forward->flags & FLOW_DETAILED) {
		detail = bpf_map_lookup_elem(&details, key);
		if (!detail)
			return false;
		__builtin_memcpy(path->chosen, detail->chosen, sizeof(path->chosen));
		path->choices = detail->crossings;
		return true;
	}
	path->chosen[0].addr = forward->dst;
	path->chosen[0].port = forward->dport;
	path->choices = !same_addr(&forward->dst, &key->dst) || forward->dport != key->dport;
	return true;
}

/*
 * Writes both directions of a new flow. The reverse one goes first and only
 * if its key is free, which reserves the source port.
 */
__noinline int write_flow(struct work *w, __u32 now_epoch)
{
	struct path *path;
	struct flow_key *key;
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 i, tries;
	__u32 flags;
	__be16 port;
	bool any_port, mirrored;
	int err;

	if (!w)
		return DROP_TABLE_FULL;
	path = &w->path;
	key = &w->forward_key;

	w->reverse_key.src = path->dst;
	w->reverse_key.dst = path->src;
	w->reverse_key.sport = path->dport;
	w->reverse_key.ifindex = path->ifindex;
	w->reverse_key.proto = key->proto;

	flags = path->flags;
	__builtin_memset(&w->forward, 0, sizeof(w->forward));
	__builtin_memset(&w->reverse, 0, sizeof(w->reverse));
	translate_addrs(&w->forward, key, &path->src, &path->dst);
	translate_addrs(&w->reverse, &w->reverse_key, &key->dst, &key->src);
	if (!same_addr(&path->src, &key->src) || !same_addr(&path->dst, &key->dst) ||
	    path->dport != key->dport)
		flags |= FLOW_TRANSLATED;
	if (path->crossings > 1 || path->announcements) {
		flags |= FLOW_DETAILED;
		if (path->announcements) {
			flags |= FLOW_PROXIED | FLOW_PREAMBLE;
			w->forward.shift = w->reverse.shift = path->announcements * PROXY_HEADER;
			w->forward.iss = w->reverse.iss = path->seq;
		}
		if (!write_detail(w))
			return DROP_TABLE_FULL;
	}
	w->forward.ifindex = path->ifindex;
	w->reverse.ifindex = key->ifindex;
	w->forward.epoch = w->reverse.epoch = now_epoch;
	w->forward.eni = path->origin;
	w->reverse.eni = path->receiver;
	copy_mac(w->forward.smac, path->smac);
	copy_mac(w->forward.dmac, path->dmac);
	copy_mac(w->reverse.smac, path->dmac);
	copy_mac(w->reverse.dmac, path->smac);
	w->forward.idle = w->reverse.idle = path->idle;
	w->forward.last_seen = w->reverse.last_seen = now;

	/* With one port, the reverse key would be the forward one. */
	mirrored = same_addr(&path->dst, &key->src) && same_addr(&path->src, &key->dst) &&
		   path->dport == key->sport && path->ifindex == key->ifindex;
	any_port = path->rewritten && key->proto != IPPROTO_ICMP;
	tries = any_port ? PORT_TRIES : 1;
	i = any_port && bpf_ntohs(key->sport) < PORT_FIRST;
	for (err = -EEXIST; i < PORT_TRIES && i < tries; i++) {
		port = source_port(key, path->hash, i);
		if (mirrored && port == key->dport)
			continue;
		w->reverse_key.dport = port;
		translate_ports(&w->reverse, &w->reverse_key, key->dport, key->sport);
		w->reverse.flags = flags | FLOW_REVERSE | (port != key->sport ? FLOW_TRANSLATED : 0);
		err = bpf_map_update_elem(&flows, &w->reverse_key, &w->reverse, BPF_NOEXIST);
		if (err != -EEXIST)
			break;
	}
	if (err == -EEXIST)
		goto taken;
	if (err) {
		bpf_map_delete_elem(&details, key);
		return DROP_TABLE_FULL;
	}

	translate_ports(&w->forward, key, w->reverse_key.dport, path->dport);
	w->forward.flags = w->reverse.flags & ~FLOW_REVERSE;
	err = bpf_map_update_elem(&flows, key, &w->forward, BPF_NOEXIST);
	if (!err)
		return DROP_NONE;
	bpf_map_delete_elem(&flows, &w->reverse_key);
	if (err != -EEXIST) {
		bpf_map_delete_elem(&details, key);
		return DROP_TABLE_FULL;
	}
taken:
	/* Another CPU may have written this very flow in the meantime. */
	if (bpf_map_lookup_elem(&flows, key))
		return DROP_NONE;
	bpf_map_delete_elem(&details, key);
	return DROP_PORT_EXHAUSTED;
}

/* Puts what was found out now into one direction. The epoch goes last. */
static __always_inline void renew_direction(struct flow *flow, __u32 ifindex, __u32 eni, const __u8 *smac,
					    const __u8 *dmac, __u32 now_epoch)
{
	flow->ifindex = ifindex;
	flow->eni = eni;
	copy_mac(flow->smac, smac);
	copy_mac(flow->dmac, dmac);
	barrier();
	flow->epoch = now_epoch;
}

/*
 * Keeps of a flow that is about to be removed what its other end is told with:
 * the packet's entry, whose shift becomes what the packet's number is moved by.
 */
static __always_inline void keep_end(struct work *w, const struct flow *flow)
{
	struct detail *detail;

	w->end = *flow;
	if (flow->flags & FLOW_REVERSE) {
		w->end.shift = 0;
	} else if (flow->flags & FLOW_PREAMBLE) {
		detail = bpf_map_lookup_elem(&details, &w->forward_key);
		if (!detail || !(detail->acked || (detail->sent && !detail->missing)))
			w->end.shift = 0;
	}
}

/*
 * Evaluates a known flow anew, from whichever side the packet came. What does
 * not pass is removed. Returns enum drop_reason or UNKNOWN.
 */
__noinline int renew_flow(struct work *w, struct packet *p, __u32 now_epoch)
{
	struct flow *flow, *forward, *reverse;
	struct path *path;
	struct eni *eni;
	bool chosen;
	int reason;

	if (!w || !p)
		return UNKNOWN;
	path = &w->path;
	flow = bpf_map_lookup_elem(&flows, &p->key);
	if (!flow)
		return UNKNOWN;
	if (flow->flags & FLOW_REVERSE) {
		w->reverse_key = p->key;
		opposite(&w->forward_key, flow, p->key.proto);
	} else {
		w->forward_key = p->key;
		opposite(&w->reverse_key, flow, p->key.proto);
	}
	forward = bpf_map_lookup_elem(&flows, &w->forward_key);
	reverse = bpf_map_lookup_elem(&flows, &w->reverse_key);
	if (!forward || !reverse) {
		reason = UNKNOWN;
		goto remove;
	}

	path->origin = find_source(w->forward_key.ifindex, &w->forward_key.src);
	eni = find_eni(path->origin);
	if (!eni || !same_mac(eni->mac, forward->smac)) {
		reason = DROP_SPOOFED;
		goto remove;
	}
	path->seq = 0;
	path->port = bpf_ntohs(w->forward_key.dport);
	path->tcp_flags = 0;
	path->known = true;
	path->src = forward->src;
	path->flags = forward->flags;
	chosen = read_choices(w, forward);
	p->ended = !chosen || path->choices;
	reason = chosen ? find_path(&w->forward_key, path) : DROP_NO_HEALTHY_TARGET;
	if (reason)
		goto remove;

	if (path->ifindex != w->reverse_key.ifindex) {
		/* The receiver has another device, and with it another key. */
		w->reverse = *reverse;
		renew_direction(&w->reverse, w->forward_key.ifindex, path->receiver, path->dmac, path->smac,
				now_epoch);
		bpf_map_delete_elem(&flows, &w->reverse_key);
		w->reverse_key.ifindex = path->ifindex;
		if (bpf_map_update_elem(&flows, &w->reverse_key, &w->reverse, BPF_NOEXIST)) {
			remove_flow(&w->forward_key, &w->reverse_key);
			return DROP_PORT_EXHAUSTED;
		}
	} else {
		renew_direction(reverse, w->forward_key.ifindex, path->receiver, path->dmac, path->smac,
				now_epoch);
	}
	renew_direction(forward, path->ifindex, path->origin, path->smac, path->dmac, now_epoch);
	return DROP_NONE;

remove:
	if (p->ended)
		keep_end(w, flow);
	remove_flow(&w->forward_key, &w->reverse_key);
	return reason;
}

/*
 * Ends a flow of which either direction has seen its end, because a new
 * connection begins in its place. Returns whether it did. A proxied flow
 * belongs to one connection alone.
 */
static __always_inline bool replace_flow(struct work *w, struct flow *flow, const struct packet *p)
{
	const struct flow_key *key = &p->key;
	struct flow *other;
	__u32 flags = flow->flags;
	bool reverse = flags & FLOW_REVERSE;

	opposite(&w->reverse_key, flow, key->proto);
	other = bpf_map_lookup_elem(&flows, &w->reverse_key);
	if (other)
		flags |= other->flags;
	if (!(flags & (FLOW_FIN | FLOW_RST)) && !(flags & FLOW_PROXIED && !reverse && p->seq != flow->iss))
		return false;
	if (reverse)
		remove_flow(&w->reverse_key, key);
	else
		remove_flow(key, &w->reverse_key);
	return true;
}

/* Evaluates a packet that belongs to no flow and makes it one. */
__noinline int start_flow(struct work *w, struct packet *p, __u32 now_epoch)
{
	struct path *path;
	struct eni *eni;
	int reason;

	if (!w || !p)
		return DROP_MALFORMED;
	path = &w->path;

	/* Who sends? */
	path->origin = find_source(p->key.ifindex, &p->key.src);
	p->eni = path->origin;
	eni = find_eni(path->origin);
	if (!eni || !same_mac(p->mac, eni->mac))
		return DROP_SPOOFED;

	w->forward_key = p->key;
	path->seq = p->key.proto == IPPROTO_TCP ? p->seq : 0;
	path->port = p->key.proto == IPPROTO_ICMP ? p->icmp : bpf_ntohs(p->key.dport);
	path->tcp_flags = p->tcp_flags;
	path->known = false;
	reason = find_path(&w->forward_key, path);
	if (reason)
		return reason;
	return write_flow(w, now_epoch);
}

/*
 * Lets a packet in that no current flow answers for: renews its flow, or
 * makes one. Returns enum drop_reason; if none, the flow is in the table.
 */
__noinline int admit(struct packet *p)
{
	struct work *w = find_work();
	struct flow *flow;
	__u32 now_epoch = current_epoch();
	int reason;

	if (!w || !p)
		return DROP_MALFORMED;
	flow = bpf_map_lookup_elem(&flows, &p->key);
	if (flow && !(begins_connection(p->tcp_flags) && replace_flow(w, flow, p))) {
		p->eni = flow->eni;
		if (flow->epoch == now_epoch)
			return DROP_NONE;
		reason = renew_flow(w, p, now_epoch);
		if (reason != UNKNOWN)
			return reason;
	}
	return start_flow(w, p, now_epoch);
}

#endif
