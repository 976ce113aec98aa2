package node

import (
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// TestLinkKinds: what the data plane makes in one manner is told by its name.
func TestLinkKinds(t *testing.T) {
	private := netip.MustParseAddr("10.0.0.2")
	for want, e := range map[string]tables.ENI{
		"privatelink":       {Kind: tables.Endpoint, Owner: "vpce-1", Available: true, Addresses: []netip.Addr{private}},
		"resolver":          {Kind: tables.Endpoint, Owner: "resolver of vpc-1", Available: true, Addresses: []netip.Addr{private, resource.LinkLocalResolver}},
		"virtual-interface": {Kind: tables.Endpoint, Owner: "dxvif-1", Available: true, Addresses: []netip.Addr{netip.MustParseAddr("169.254.200.1")}},
		"nat":               {Kind: tables.NATSource, Addresses: []netip.Addr{private}},
	} {
		if l := link(e, tables.ENI{ID: "eni-2"}, nil); l.Kind != want || !l.Open {
			t.Errorf("%s is shown as %s, open %v", want, l.Kind, l.Open)
		}
	}
}
