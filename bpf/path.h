/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_PATH_H
#define ISTHMUS_PATH_H

#include "balance.h"
#include "parse.h"
#include "route.h"
#include "rules.h"

#define IDLE_TCP 432000 /* seconds; EC2's connection tracking */
#define IDLE_UDP 180
#define IDLE_ICMP 30
#define IDLE_NAT_TCP 350 /* Hyperplane's */

/* What a PROXY header tells of the connection that a balancer's node got. */
struct announcement {
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	__u32 endpoint; /* ENI through which it came; 0: none */
};

/*
 * The way of a flow from the ENI that sends to the ENI that receives.
 *
 * For a flow that is known, what was decided at its start is put in and kept;
 * what is asked again is whether it may still go there.
 */
struct path {
	/* Put in. */
	__u32 origin;   /* the ENI at whose device the flow enters */
	__u32 seq;      /* of the SYN */
	__u16 port;     /* as rules see it: destination port, or ICMP's type and code */
	__u8 tcp_flags;
	bool known;

	/* Found out; put in if known. */
	struct addr src; /* as the receiver sees it */
	__u8 flags;      /* FLOW_TRACKED_… */
	__u8 choices;    /* how many of chosen are put in */
	struct target chosen[MAX_CROSSINGS]; /* as of struct detail */

	/* Found out. */
	bool rewritten;  /* the source address is another's: so may be the port */
	__be16 dport;
	struct addr dst; /* where the flow goes as far as the way is known */
	__u32 crossings; /* load balancers' nodes behind it */
	__u32 network;   /* in which it is */
	__u32 announcements;
	struct announcement announced[MAX_CROSSINGS]; /* by the nodes on the way */
	__u32 sender;    /* an ENI: the origin, or that as which a NAT sends */
	__u32 receiver;  /* an ENI: that which has dst */
	__u32 ifindex;   /* of the receiver's device */
	__u32 idle;      /* seconds */
	__u64 hash;
	__u8 smac[6] WORD_ALIGNED; /* the origin's */
	__u8 dmac[6] WORD_ALIGNED; /* the receiver's */
};

static __always_inline bool same_addr(const struct addr *a, const struct addr *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

/*
 * Whether a flow that the egress or the ingress rules of an ENI let pass goes
 * untracked: the rule is for everybody, and so are the rules of the other
 * direction, which then let the replies pass (EC2 guide, "Untracked
 * connections").
 */
static __always_inline bool untracked(int allowed, __u64 other_rules, bool other_open)
{
	return allowed == ALLOWED_OPEN && (!other_rules || other_open);
}

/*
 * Arrives at a load balancer's node: chooses the target, or asks whether the
 * known one may stay. The source is the client as the node sees it, which is
 * the client as the target sees it only if the listener preserves it.
 */
__noinline int balance(struct flow_key *key, struct path *path, __u32 number, __u32 endpoint)
{
	bool through_endpoint = endpoint;
	struct announcement *announced;
	struct listener *listener;
	struct target target;
	struct eni *node, *receiver;
	__u32 at;
	__u64 hash;

	if (!key || !path)
		return DROP_MALFORMED;
	at = path->crossings;
	if (at >= MAX_CROSSINGS)
		return DROP_TOO_MANY_HOPS;
	node = find_eni(number);
	if (!node)
		return DROP_NO_ADDRESS;

	if (!path->known && (!through_endpoint || node->flags & ENI_ENFORCE) &&
	    !allowance(node->ingress, &path->src, key->proto, path->port))
		return DROP_SG_INGRESS;
	listener = find_listener(number, path->dport, key->proto);
	if (!listener)
		return DROP_NO_LISTENER;
	path->idle = at && path->idle < listener->idle ? path->idle : listener->idle;

	if (path->known) {
		if (at >= path->choices)
			return DROP_NO_ADDRESS; /* the way has become longer */
		target = path->chosen[at];
		if (!is_member(listener->group, &target))
			return DROP_NO_HEALTHY_TARGET;
	} else {
		if (key->proto == IPPROTO_TCP && !begins_connection(path->tcp_flags))
			return DROP_IDLE;
		/* Each balancer chooses without regard to what others chose. */
		hash = at ? hash_word(path->hash, at) : path->hash;
		if (!choose_target(listener->targets, listener->size, hash, &target))
			return DROP_NO_HEALTHY_TARGET;
		path->chosen[at] = target;
		if (listener->flags & LISTENER_PROXY && key->proto == IPPROTO_TCP &&
		    path->announcements < MAX_CROSSINGS) {
			announced = &path->announced[path->announcements++];
			announced->src = path->src.w[3];
			announced->dst = path->dst.w[3];
			announced->sport = key->sport;
			announced->dport = path->dport;
			announced->endpoint = endpoint;
		}
	}
	path->crossings = at + 1;
	path->network = node->network;
	path->dst = target.addr;
	path->dport = target.port;
	path->receiver = find_address(node->network, &target.addr);
	receiver = find_eni(path->receiver);
	if (!receiver || (receiver->kind != ENI_HOST && receiver->kind != ENI_ENDPOINT))
		return DROP_NO_ADDRESS;
	if (path->known)
		return DROP_NONE;

	if (through_endpoint || !(listener->flags & LISTENER_PRESERVE_CLIENT)) {
		path->src = node->addr;
		path->rewritten = true;
	}
	path->port = bpf_ntohs(target.port);
	if (!allowance(node->egress, &target.addr, key->proto, path->port))
		return DROP_SG_EGRESS;
	return DROP_NONE;
}

/*
 * Goes on from an interface endpoint, or from a load balancer's node, to what
 * has the address that the node chose.
 */
__noinline int cross(struct flow_key *key, struct path *path)
{
	struct eni *eni;
	__u32 number, endpoint = 0;

	if (!key || !path)
		return DROP_MALFORMED;
	number = path->receiver;
	eni = find_eni(number);
	if (!eni)
		return DROP_NO_ADDRESS;
	if (eni->kind == ENI_ENDPOINT) {
		endpoint = number;
		if (!path->known && !allowance(eni->ingress, &path->src, key->proto, path->port))
			return DROP_SG_INGRESS;
		if (!(eni->flags & ENI_AVAILABLE))
			return DROP_NOT_ACCEPTED;
		number = eni->peer;
		eni = find_eni(number);
		if (!eni || eni->kind != ENI_LOAD_BALANCER)
			return DROP_NO_HEALTHY_TARGET;
	}
	return balance(key, path, number, endpoint);
}

/* Finds the way of a flow, or why it has none. Returns enum drop_reason. */
__noinline int find_path(struct flow_key *key, struct path *path)
{
	struct eni *eni;
	__u64 other_rules;
	__u32 number;
	bool nat, balanced, other_open;
	int allowed, reason, i;

	if (!key || !path)
		return DROP_MALFORMED;

	/* As whom it is sent. */
	path->sender = path->origin;
	eni = find_eni(path->origin);
	if (!eni)
		return DROP_NO_ADDRESS;
	copy_mac(path->smac, eni->mac);
	nat = eni->kind == ENI_NAT_SOURCE;
	if (nat) {
		path->sender = eni->peer;
		eni = find_eni(path->sender);
		if (!eni)
			return DROP_NO_ADDRESS;
	}
	if (!path->known) {
		path->src = nat ? eni->addr : key->src;
		path->flags = FLOW_TRACKED_SRC | FLOW_TRACKED_DST;
		path->rewritten = nat;
		path->hash = hash_flow(key, path->seq);
	}
	path->network = eni->network;
	path->dst = key->dst;
	path->dport = key->dport;
	path->crossings = 0;
	path->announcements = 0;

	/* Out of the sender. */
	if (!path->known || !(path->flags & FLOW_TRACKED_SRC)) {
		other_rules = eni->ingress;
		other_open = eni->flags & ENI_INGRESS_OPEN;
		allowed = allowance(eni->egress, &key->dst, key->proto, path->port);
		if (allowed == DENIED)
			return DROP_SG_EGRESS;
		if (untracked(allowed, other_rules, other_open))
			path->flags &= ~FLOW_TRACKED_SRC;
	}
	if (eni->flags & ENI_REVERSE_PATH && !leads_to(eni->route_table, &key->src, path->sender))
		return DROP_NO_ROUTE;
	reason = route_to(eni->route_table, &key->dst, &number);
	if (reason)
		return reason;
	path->receiver = number ? number : find_address(path->network, &key->dst);
	if (eni->flags & ENI_REVERSE_PATH && !leads_back(path->receiver, &key->src))
		return DROP_NO_ROUTE;

	/* Through endpoints and load balancers. */
	for (i = 0; i <= MAX_CROSSINGS; i++) {
		eni = find_eni(path->receiver);
		if (!eni)
			return DROP_NO_ADDRESS;
		if (eni->kind != ENI_ENDPOINT && eni->kind != ENI_LOAD_BALANCER)
			break;
		reason = cross(key, path);
		if (reason)
			return reason;
	}
	balanced = path->crossings;
	if (path->known && path->crossings != path->choices)
		return DROP_NO_ADDRESS; /* a load balancer of its is no more */

	/* Into the receiver. */
	if (eni->kind != ENI_HOST)
		return DROP_NO_ADDRESS;
	if (path->receiver == path->sender && same_addr(&path->src, &key->src))
		return DROP_HAIRPIN;
	if (!path->known || !(path->flags & FLOW_TRACKED_DST)) {
		other_rules = eni->egress;
		other_open = eni->flags & ENI_EGRESS_OPEN;
		allowed = allowance(eni->ingress, &path->src, key->proto, path->port);
		if (allowed == DENIED)
			return DROP_SG_INGRESS;
		if (untracked(allowed, other_rules, other_open))
			path->flags &= ~FLOW_TRACKED_DST;
	}
	if (!eni->ifindex)
		return DROP_NO_DEVICE;
	path->ifindex = eni->ifindex;
	copy_mac(path->dmac, eni->mac);
	if (path->known)
		return DROP_NONE;

	/* The start of a flow. */
	if (nat && !balanced && key->proto == IPPROTO_TCP && !begins_connection(path->tcp_flags))
		return DROP_IDLE;
	if (key->proto == IPPROTO_ICMP && path->port >> 8 != ICMP_ECHO)
		return DROP_UNRELATED;
	if (nat || balanced || key->proto == IPPROTO_ICMP)
		path->flags = FLOW_TRACKED_SRC | FLOW_TRACKED_DST;
	if (!balanced)
		path->idle = key->proto == IPPROTO_ICMP ? IDLE_ICMP :
			     key->proto == IPPROTO_UDP  ? IDLE_UDP :
			     nat                        ? IDLE_NAT_TCP :
							  IDLE_TCP;
	return DROP_NONE;
}

#endif
