package compile

import (
	"fmt"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/dns/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// hostZones hold the names of the addresses in a VPC, and the way back.
func hostZones(v *resource.VPC, hosts []*resource.NetworkInterface) []config.Zone {
	forward := newZone(resource.HostDomain(v.Region), awsTTL)
	var zones []config.Zone
	reverse := map[string]int{} // index of zones, by name
	for _, cidr := range v.CIDRs {
		for _, name := range reverseZones(cidr) {
			if _, ok := reverse[name]; !ok {
				reverse[name] = len(zones)
				zones = append(zones, newZone(name, awsTTL))
			}
		}
	}
	for _, h := range hosts {
		for _, a := range h.Addresses {
			if !a.Is4() {
				continue
			}
			name := resource.HostName(a, v.Region)
			add(&forward, name, addresses(awsTTL, a))
			b := a.As4()
			for _, zone := range []string{reverseName(b[:2]), reverseName(b[:3])} {
				if i, ok := reverse[zone]; ok {
					add(&zones[i], reverseName(b[:]), config.RRSet{Type: "PTR", TTL: awsTTL, Data: []string{domain(name)}})
					break
				}
			}
		}
	}
	return append(zones, forward)
}

// reverseZones are the zones of a VPC's range, which has 16 to 28 bits: one for
// all, or one for each part of 24 bits.
func reverseZones(cidr netip.Prefix) []string {
	b := cidr.Masked().Addr().As4()
	if cidr.Bits() <= 16 {
		return []string{reverseName(b[:2])}
	}
	var zones []string
	for range 1 << max(0, 24-cidr.Bits()) {
		zones = append(zones, reverseName(b[:3]))
		b[2]++
	}
	return zones
}

// reverseName is the name in in-addr.arpa of the first bytes of an address.
func reverseName(b []byte) string {
	name := "in-addr.arpa."
	for _, v := range b {
		name = fmt.Sprintf("%d.%s", v, name)
	}
	return name
}
