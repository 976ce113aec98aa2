package resource

import (
	"cmp"
	"net/netip"
	"slices"
)

// LearnedRoute is a route that a virtual private gateway has learned by BGP,
// and the virtual interface that it leads to.
type LearnedRoute struct {
	Prefix    netip.Prefix
	Interface *VirtualInterface
}

// LearnedRoutes are the routes that a gateway has learned, ascending, the best
// for each range: of the shortest AS path, and else of the interface that was
// made first. sessions are by virtual interface.
func LearnedRoutes(gateway string, interfaces []*VirtualInterface, sessions map[string]*BGPSession) []LearnedRoute {
	type candidate struct {
		LearnedRoute
		length int
	}
	var all []candidate
	for _, v := range interfaces {
		if s := sessions[v.ID]; v.Gateway == gateway && s != nil && s.Up {
			for _, r := range s.Routes {
				all = append(all, candidate{LearnedRoute{r.Prefix, v}, r.Length})
			}
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.length, b.length),
			cmp.Compare(a.Interface.CustomerNumber, b.Interface.CustomerNumber))
	})
	var best []LearnedRoute
	for i, c := range all {
		if i == 0 || all[i-1].Prefix != c.Prefix {
			best = append(best, c.LearnedRoute)
		}
	}
	return best
}

// Propagated are those of a gateway's learned routes that a table has: the
// VPC's own ranges always lead into the VPC, and a static route is preferred
// to a learned one for the same range.
func (r *RouteTable) Propagated(v *VPC, learned []LearnedRoute) []LearnedRoute {
	return slices.DeleteFunc(slices.Clone(learned), func(l LearnedRoute) bool {
		return v.Covers(l.Prefix) || slices.ContainsFunc(r.Routes, func(s Route) bool { return s.Destination == l.Prefix })
	})
}

// Covers says whether a range lies within one of the VPC's.
func (v *VPC) Covers(p netip.Prefix) bool {
	return slices.ContainsFunc(v.CIDRs, func(c netip.Prefix) bool { return c.Bits() <= p.Bits() && c.Contains(p.Addr()) })
}

// Overlaps says whether a range has an address in common with one of the VPC's.
func (v *VPC) Overlaps(p netip.Prefix) bool { return slices.ContainsFunc(v.CIDRs, p.Overlaps) }
