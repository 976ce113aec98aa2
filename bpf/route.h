/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef ISTHMUS_ROUTE_H
#define ISTHMUS_ROUTE_H

#include "maps.h"

static __always_inline struct eni *find_eni(__u32 number)
{
	return bpf_map_lookup_elem(&enis, &number);
}

/* The number of the ENI that may send from an address at a device; 0: none. */
static __always_inline __u32 find_source(__u32 ifindex, const struct addr *addr)
{
	struct source_key key = {.ifindex = ifindex, .addr = *addr};
	__u32 *number;

	number = bpf_map_lookup_elem(&sources, &key);
	if (!number) {
		__builtin_memset(&key.addr, 0, sizeof(key.addr));
		number = bpf_map_lookup_elem(&sources, &key);
	}
	return number ? *number : 0;
}

/* The number of the ENI that has an address in a network; 0: none. */
static __always_inline __u32 find_address(__u32 network, const struct addr *addr)
{
	struct mapping_key key = {.network = network, .addr = *addr};
	__u32 *number = bpf_map_lookup_elem(&mappings, &key);

	return number ? *number : 0;
}

static __always_inline struct route *find_route(__u32 route_table, const struct addr *addr)
{
	struct route_key key = {
		.prefixlen = 8 * (sizeof(key.route_table) + sizeof(key.addr)),
		.route_table = route_table,
		.addr = *addr,
	};

	return bpf_map_lookup_elem(&routes, &key);
}

/*
 * Consults a route table. eni becomes the number of the ENI that the route
 * leads to; 0 if it leads to whichever has the address.
 */
static __always_inline enum drop_reason route_to(__u32 route_table, const struct addr *addr, __u32 *eni)
{
	struct route *route = find_route(route_table, addr);

	*eni = 0;
	if (!route)
		return DROP_NO_ROUTE;
	switch (route->kind) {
	case ROUTE_LOCAL:
		return DROP_NONE;
	case ROUTE_BLACKHOLE:
		return DROP_BLACKHOLE;
	case ROUTE_INTERNET:
		return DROP_NO_PUBLIC_ADDRESS;
	case ROUTE_INTERFACE:
		*eni = route->eni;
		return DROP_NONE;
	default:
		return DROP_NO_ROUTE;
	}
}

/* Whether a route table leads an address to an ENI. */
static __always_inline bool leads_to(__u32 route_table, const struct addr *addr, __u32 eni)
{
	struct route *route = find_route(route_table, addr);

	return route && route->kind == ROUTE_INTERFACE && route->eni == eni;
}

/*
 * Whether replies of an ENI would find a way to an address beyond a virtual
 * interface, whichever of several they take. What accepts nothing is refused
 * elsewhere.
 */
static __always_inline bool leads_back(__u32 number, const struct addr *addr)
{
	struct eni *eni = find_eni(number);
	struct route *route;

	if (!eni || eni->kind == ENI_NAT || eni->kind == ENI_NAT_SOURCE)
		return true;
	route = find_route(eni->route_table, addr);
	return route && route->kind == ROUTE_INTERFACE;
}

#endif
