package control

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// onPremises finds the virtual interface that an on-premises sender is behind,
// and the range that it sends from, which is zero if only the virtual interface
// is named: ADDRESS, PREFIX, dxvif-…, or one of the former after dxvif-…/. It is
// nil if the name is none of these.
func (t *tracing) onPremises(name string) (*resource.VirtualInterface, netip.Prefix, error) {
	id, from, ok := parseOnPremises(name)
	if !ok {
		return nil, from, nil
	}
	if id == "" {
		v, err := t.announcing(from)
		return v, from, err
	}
	v, ok := store.VirtualInterfaces.Get(t.rows, id)
	if !ok {
		return nil, from, fmt.Errorf("there is no virtual interface %s", id)
	}
	return v, from, nil
}

func parseOnPremises(name string) (id string, from netip.Prefix, ok bool) {
	where := name
	if strings.HasPrefix(name, "dxvif-") {
		if id, where, ok = strings.Cut(name, "/"); !ok {
			return id, from, true
		}
	}
	if a, err := netip.ParseAddr(where); err == nil {
		return id, netip.PrefixFrom(a, a.BitLen()), true
	}
	from, err := netip.ParsePrefix(where)
	return id, from, err == nil
}

// firstHost is the address that a packet from a range has.
func firstHost(p netip.Prefix) netip.Addr {
	if p.Bits() < p.Addr().BitLen()-1 && p == p.Masked() {
		return p.Addr().Next()
	}
	return p.Addr()
}

// announcing is the virtual interface whose router announces a range, or did so
// until its session went down: of several, that which the VPC would answer by.
func (t *tracing) announcing(from netip.Prefix) (*resource.VirtualInterface, error) {
	type candidate struct {
		*resource.VirtualInterface
		up           bool
		bits, length int
		vpc          string
	}
	var all []candidate
	var down []string
	for v := range store.VirtualInterfaces.Scan(t.rows) {
		c := candidate{VirtualInterface: v, bits: -1}
		if g, ok := store.VPNGateways.Get(t.rows, v.Gateway); ok {
			c.vpc = g.VPC
		}
		consider := func(p netip.Prefix, length int) {
			if p.Bits() > c.bits && p.Bits() <= from.Bits() && p.Contains(from.Addr()) {
				c.bits, c.length = p.Bits(), length
			}
		}
		s, ok := store.BGPSessions.Get(t.rows, v.ID)
		if c.up = ok && s.Up; !c.up {
			down = append(down, v.SessionDown(s))
		}
		consider(netip.PrefixFrom(v.CustomerAddress.Addr(), v.CustomerAddress.Addr().BitLen()), 0)
		if ok {
			for _, r := range s.Routes {
				consider(r.Prefix, r.Length)
			}
			for _, p := range s.Withdrawn {
				consider(p, 0)
			}
		}
		if c.bits >= 0 {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no virtual interface has learned a route to it%s", sourceText(from), strings.Join(append([]string{""}, down...), "; "))
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.up != b.up {
			if a.up {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.bits, a.bits), cmp.Compare(a.length, b.length), cmp.Compare(a.CustomerNumber, b.CustomerNumber))
	})
	for _, other := range all[1:] {
		if best := all[0]; other.up == best.up && other.vpc != best.vpc {
			return nil, fmt.Errorf("%s is behind %s, which leads to %s, and behind %s, which leads to %s: name one, as in %s/%s", sourceText(from),
				best.ID, best.vpc, other.ID, other.vpc, best.ID, firstHost(from))
		}
	}
	return all[0].VirtualInterface, nil
}

// sourceText is a range as it was asked for.
func sourceText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
