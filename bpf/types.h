/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_TYPES_H
#define ISTHMUS_TYPES_H

#include <linux/types.h>

/*
 * Every structure and enum that the packet program shares with user space.
 * This file is their only source: bpf2go writes the Go side from it.
 *
 * Addresses are 16 bytes, IPv4 mapped (RFC 4291, 2.5.5.2). Addresses and ports
 * are in network order. Networks, ENIs and route tables are named by the
 * numbers that the control plane gave them; zero names nothing. Rule sets and
 * target sets are named by a hash of their content, so that a set never
 * changes under a reader: a change makes a new set and swaps the name.
 */

struct addr {
	__be32 w[4];
};

/* The MAC address of every VPC's router: 0a, then "isth" and 0. */
#define ROUTER_MAC {0x0a, 0x69, 0x73, 0x74, 0x68, 0x00}

/*
 * epoch: what flow.epoch is compared with. PENDING is not zero while user
 * space is in the middle of changing tables, so that one that takes over
 * knows that the epoch has still to be moved.
 */
enum epoch_slot {
	EPOCH_CURRENT,
	EPOCH_PENDING,
	EPOCH_SLOTS
};

/*
 * Why a packet was not forwarded. The name after DROP_, in lower case with
 * hyphens, is the label of the counter, the word in a trace and the cause in
 * the gateway's log.
 */
enum drop_reason {
	DROP_NONE = 0,              /* forwarded */
	DROP_MALFORMED,             /* headers that do not parse */
	DROP_UNSUPPORTED_PROTOCOL,  /* neither TCP, UDP nor ICMP; IPv6; IP options */
	DROP_FRAGMENT,              /* IP fragments */
	DROP_SPOOFED,               /* source MAC or address is not the ENI's */
	DROP_SG_EGRESS,             /* no egress rule of the source ENI's groups */
	DROP_NACL,                  /* a network ACL denies it */
	DROP_NO_ROUTE,              /* the route table has no route there, or none back */
	DROP_BLACKHOLE,             /* the route is a blackhole */
	DROP_NO_PUBLIC_ADDRESS,     /* the route leads to an internet gateway */
	DROP_NO_ADDRESS,            /* no ENI of the network has the destination */
	DROP_NO_DEVICE,             /* the destination ENI is attached to nothing */
	DROP_NOT_ACCEPTED,          /* the endpoint's connection is not available */
	DROP_SG_INGRESS,            /* no ingress rule of an ENI's groups */
	DROP_NO_LISTENER,           /* the load balancer has no listener there */
	DROP_NO_HEALTHY_TARGET,     /* no target to choose, or the flow's has gone */
	DROP_HAIRPIN,               /* the way leads back to the sender, as its own */
	DROP_PORT_EXHAUSTED,        /* no free source port towards the target */
	DROP_TABLE_FULL,            /* the flow table is full */
	DROP_IDLE,                  /* not the start of a flow, and no flow known */
	DROP_UNRELATED,             /* ICMP that belongs to no flow */
	DROP_TOO_MANY_HOPS,         /* the way crosses more than MAX_CROSSINGS balancers */
	DROP_REASONS
};

enum eni_kind {
	ENI_HOST = 1,      /* has a device, or will have */
	ENI_LOAD_BALANCER, /* a node of a Network Load Balancer */
	ENI_ENDPOINT,      /* interface endpoint: leads to peer, a load balancer's ENI */
	ENI_NAT_SOURCE,    /* provider side of a NAT: its packets appear as peer's */
	ENI_NAT,           /* customer side of a NAT: sends, and accepts nothing */
};

enum eni_flags {
	ENI_AVAILABLE = 1,     /* endpoint: the connection was accepted */
	ENI_ENFORCE = 2,       /* load balancer: ingress rules hold for PrivateLink clients */
	ENI_EGRESS_OPEN = 4,   /* egress rules allow everything to everywhere */
	ENI_INGRESS_OPEN = 8,  /* ingress rules allow everything from everywhere */
	ENI_REVERSE_PATH = 16, /* sends from addresses only that its route table leads to it */
};

/* enis: number -> eni */
struct eni {
	__u64 ingress;     /* rule set; 0: no security groups, all is allowed */
	__u64 egress;
	__u32 network;
	__u32 peer;        /* number of another ENI, by kind */
	__u32 route_table;
	__u32 ifindex;     /* host side of the device; 0: none */
	struct addr addr;  /* primary address */
	enum eni_kind kind;
	enum eni_flags flags;
	__u8 mac[6];
	__u16 pad;
};

/* sources: whose packets may enter at a device -> number of the ENI. addr zero:
 * source check off. */
struct source_key {
	__u32 ifindex;
	struct addr addr;
};

/* mappings: which ENI has an address of a network -> number */
struct mapping_key {
	__u32 network;
	struct addr addr;
};

/* routes: longest prefix match; prefixlen counts route_table's 32 bits */
struct route_key {
	__u32 prefixlen;
	__u32 route_table;
	struct addr addr;
};

enum route_kind {
	ROUTE_LOCAL = 1,
	ROUTE_BLACKHOLE,
	ROUTE_INTERNET,
	ROUTE_INTERFACE, /* to an ENI, whoever has the address: a virtual interface */
};

struct route {
	enum route_kind kind;
	__u32 eni; /* of ROUTE_INTERFACE */
};

/*
 * rules: the ports that a rule set allows towards or from an address. The
 * longest prefix decides alone, since the compiler has merged the ports of all
 * shorter ones into it. prefixlen counts rule_set's 64 bits.
 */
struct rule_key {
	__u32 prefixlen;
	__u8 rule_set[8]; /* as a u64 in host order */
	struct addr addr;
};

struct rule {
	__u64 ranges;
	__u32 count;
	__u32 pad;
};

/*
 * ranges: (ranges, 0 .. count-1), in the order of (proto, low), not
 * overlapping. Ports in host order; for ICMP type << 8 | code.
 */
struct range_key {
	__u64 ranges;
	__u32 index;
	__u32 pad;
};

struct range {
	__u16 low;
	__u16 high;
	__u8 proto;
	__u8 open; /* allowed for 0.0.0.0/0: may go untracked */
	__u16 pad;
};

/* listeners: port of a load balancer's ENI */
struct listener_key {
	__u32 eni;
	__be16 port;
	__u8 proto;
	__u8 pad;
};

enum listener_flags {
	LISTENER_PRESERVE_CLIENT = 1, /* the target sees the client's address */
	LISTENER_PROXY = 2,           /* the target gets a PROXY header (version 2) */
};

struct listener {
	__u64 targets; /* target set: key of target_sets; 0: none to choose */
	__u64 group;   /* key of members */
	__u32 size;    /* slots of the target set, a prime */
	__u32 idle;    /* seconds */
	enum listener_flags flags;
	__u32 pad;
};

/* target_sets: target set -> array of size slots (Maglev) of struct target */
struct target {
	struct addr addr;
	__be16 port;
	__u16 pad;
};

/* members: targets to which flows may go on: chosen ones and draining ones */
struct member_key {
	__u64 group;
	struct addr addr;
	__be16 port;
	__u16 pad[3];
};

/*
 * flows: both directions of every flow, keyed by what arrives at a device.
 * For ICMP echo both ports are the identifier.
 */
struct flow_key {
	struct addr src;
	struct addr dst;
	__be16 sport;
	__be16 dport;
	__u32 ifindex;
	__u8 proto;
	__u8 pad[3];
};

enum flow_flags {
	FLOW_REVERSE = 1,       /* the direction from the destination */
	FLOW_TRANSLATED = 2,    /* an address or a port is rewritten */
	FLOW_TRACKED_SRC = 4,   /* stays when the source's egress rule goes */
	FLOW_TRACKED_DST = 8,   /* stays when the destination's ingress rule goes */
	FLOW_FIN = 16,          /* this direction has sent FIN */
	FLOW_RST = 32,          /* this direction has sent RST */
	FLOW_REPLIED = 64,      /* reverse entry: a packet was seen */
	FLOW_DETAILED = 128,    /* details has more of it */
	FLOW_PROXIED = 256,     /* the receiver gets shift bytes that nobody sent */
	FLOW_PREAMBLE = 512,    /* it has not acknowledged them yet, for all this
				 * direction knows */
};

/* The final answer for one direction of a flow. */
struct flow {
	struct addr src; /* as rewritten */
	struct addr dst;
	__be16 sport;
	__be16 dport;
	__u32 ifindex;     /* host side of the device to deliver to */
	__u32 epoch;       /* evaluated under these tables */
	__u32 addr_delta;  /* checksum difference of the addresses; 0: none */
	__u32 port_delta;  /* and of the ports */
	__u32 eni;         /* the ENI that sends in this direction */
	__u32 idle;        /* seconds without a packet after which the flow ends */
	enum flow_flags flags;
	__u8 smac[6];      /* the sender's, which packets must carry */
	__u8 dmac[6];      /* the receiver's */
	__u32 tick;        /* of the kernel's clock, at which last_seen was set */
	__u64 last_seen;   /* CLOCK_MONOTONIC, ns, coarse; at first the flow's start */
	__u64 packets;     /* as the machine moves them: a GSO packet is one */
	__u64 bytes;       /* of frames */
	__u32 shift;       /* PROXIED: how many bytes come before the client's */
	__u32 iss;         /* and the client's initial sequence number */
};

/* How many load balancers' nodes a flow may cross on its way. */
#define MAX_CROSSINGS 4

/* endpoints: number of an endpoint's ENI -> the endpoint */
struct endpoint {
	__u8 id[22]; /* vpce-…, without an end */
	__u8 pad[2];
};

#define PROXY_HEADER 100 /* bytes of one, always */

/*
 * details: what few flows need, by the key of the forward direction. An entry
 * lives as long as its flow.
 */
struct detail {
	/* The targets that the nodes chose, in the order of the way: the next
	 * endpoint, and the flow's destination as the last. */
	struct target chosen[MAX_CROSSINGS];
	__u32 crossings;

	/* PROXIED: what comes before the client's bytes, and what is known of
	 * it: sent at least once; to be sent (again); acknowledged. */
	__u32 length;
	__u8 preamble[MAX_CROSSINGS * PROXY_HEADER];
	__u8 sent;
	__u8 missing;
	__u8 acked;
	__u8 pad;
};

/* drops: (eni or 0, reason) -> packets, per CPU */
struct drop_key {
	__u32 eni;
	enum drop_reason reason;
};

#endif
