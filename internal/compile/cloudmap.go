package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/isthmus-net/isthmus/internal/proxy/way"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// cloudMap returns the key of the way to the instances of a Cloud Map service
// that are healthy and match a filter.
func (u *upstreams) cloudMap(link *resource.VPCLinkV2, uri string, t resource.CloudMapTarget) string {
	return u.make(way.Key(link.ID, uri, 0), func() way.Upstream {
		out := way.Upstream{Link: link.ID, Version: 2}
		if out.Cause = notAvailable(link.ID, link.Status, link.StatusMessage); out.Cause != "" {
			return out
		}
		s := u.services[t.Service]
		if s == nil || s.Account != link.Account || s.Account != t.Account || s.Region != link.Region || s.Region != t.Region {
			out.Cause = fmt.Sprintf("Cloud Map service %s does not exist", t.Service)
			return out
		}
		sources := u.sources(link)
		if len(sources) == 0 {
			out.Cause = noInterface(link)
			return out
		}
		addresses, cause := reachable(s, u.instances[s.ID], t.Attributes, u.outside(link))
		if cause != "" {
			out.Layer, out.Cause = "no-healthy-target", cause
			return out
		}
		out.Sources = sources
		for _, a := range addresses {
			out.Destinations = append(out.Destinations, way.Destination{Zone: u.zoneOf(link.VPC, a.Addr()), Address: a})
		}
		slices.SortFunc(out.Destinations, func(a, b way.Destination) int {
			return cmp.Or(cmp.Compare(a.Zone, b.Zone), a.Address.Compare(b.Address))
		})
		out.Destinations = slices.Compact(out.Destinations)
		return out
	})
}

// outside tells the addresses that a link leads to from those at which the
// gateway would meet itself: whoever registers an instance chooses its address.
func (u *upstreams) outside(link *resource.VPCLinkV2) func(netip.Addr) bool {
	own := map[netip.Addr]bool{}
	if provider := u.enis[link.Interfaces[0].Provider]; provider != nil {
		for _, eni := range u.enis {
			if eni.VPC == provider.VPC {
				for _, a := range eni.Addresses {
					own[a] = true
				}
			}
		}
	}
	return func(a netip.Addr) bool { return a.IsGlobalUnicast() && !own[a] }
}

// reachable are the addresses of the instances that match the attributes and
// are healthy, or the cause why there is none.
func reachable(s *resource.CloudMapService, all []*resource.CloudMapInstance, attributes map[string]string, outside func(netip.Addr) bool) (addresses []netip.AddrPort, cause string) {
	matching, healthy := 0, 0
	for _, i := range all {
		if !i.Matches(attributes) {
			continue
		}
		matching++
		if s.CustomHealth && i.Unhealthy {
			continue
		}
		healthy++
		if a, ok := i.Address(); ok && outside(a.Addr()) {
			addresses = append(addresses, a)
		}
	}
	name := fmt.Sprintf("Cloud Map service %s (%s)", s.ID, s.Name)
	switch {
	case len(addresses) > 0:
		return addresses, ""
	case len(all) == 0:
		return nil, name + " has no instances"
	case matching == 0:
		return nil, fmt.Sprintf("none of the %d instances of %s matches %s", len(all), name, attributeText(attributes))
	case healthy == 0:
		return nil, fmt.Sprintf("none of the %d matching instances of %s is healthy", matching, name)
	}
	return nil, fmt.Sprintf("none of the %d healthy instances of %s has both %s and %s of a network interface or host in the VPC",
		healthy, name, resource.AttributeInstanceIPv4, resource.AttributeInstancePort)
}

func attributeText(attributes map[string]string) string {
	text := ""
	for i, k := range sortedKeys(attributes) {
		if i > 0 {
			text += ", "
		}
		text += k + "=" + attributes[k]
	}
	return text
}

// placeKey is an address in a VPC.
type placeKey struct {
	vpc     string
	address netip.Addr
}

// zoneOf is the zone of an address in a VPC; empty if no interface has it.
func (u *upstreams) zoneOf(vpc string, address netip.Addr) string {
	if u.zones == nil {
		u.zones = map[placeKey]string{}
		for _, eni := range u.enis {
			for _, a := range eni.Addresses {
				u.zones[placeKey{eni.VPC, a}] = u.zone(eni.Subnet)
			}
		}
	}
	return u.zones[placeKey{vpc, address}]
}
