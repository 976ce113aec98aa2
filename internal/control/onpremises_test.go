package control

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// TestOnPremisesSenders: which virtual interface, and which source address,
// names of on-premises senders stand for.
func TestOnPremisesSenders(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	prefix := netip.MustParsePrefix
	x := &tracing{tracedTables: &tracedTables{tables: &tables.Tables{}}, region: region}
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		meta := resource.Meta{Account: account, Region: region}
		for _, g := range []string{"a", "b", "none"} {
			vpc := "vpc-" + g
			if g == "none" {
				vpc = ""
			}
			store.VPNGateways.Put(tx, &resource.VPNGateway{Meta: meta, ID: "vgw-" + g, VPC: vpc})
		}
		wire := func(number uint32, id, gateway, customer string, s resource.BGPSession) {
			store.VirtualInterfaces.Put(tx, &resource.VirtualInterface{Meta: meta, ID: id, Gateway: gateway, CustomerAddress: prefix(customer), ASN: 65000, CustomerNumber: number})
			s.Interface = id
			store.BGPSessions.Put(tx, &s)
			if gateway != "vgw-none" {
				x.tables.ENIs = append(x.tables.ENIs, tables.ENI{ID: id})
			}
		}
		route := func(p string, length int) resource.BGPRoute {
			return resource.BGPRoute{Prefix: prefix(p), Length: length}
		}
		wire(1, "dxvif-1", "vgw-a", "169.254.1.2/30", resource.BGPSession{Up: true, Routes: []resource.BGPRoute{route("192.168.0.0/16", 1), route("192.168.60.0/24", 2), route("172.16.0.0/16", 1)}})
		wire(2, "dxvif-2", "vgw-a", "169.254.2.2/30", resource.BGPSession{Up: true, Routes: []resource.BGPRoute{route("192.168.50.0/24", 3), route("192.168.60.0/24", 1)}})
		wire(3, "dxvif-3", "vgw-b", "169.254.3.2/30", resource.BGPSession{Up: true, Routes: []resource.BGPRoute{route("172.16.5.0/24", 1)}})
		wire(4, "dxvif-4", "vgw-b", "169.254.4.2/30", resource.BGPSession{Cause: "hold timer expired", Withdrawn: []netip.Prefix{prefix("192.168.50.0/24"), prefix("10.99.0.0/16")}})
		wire(5, "dxvif-5", "vgw-none", "169.254.5.2/30", resource.BGPSession{})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	x.rows = db.View()
	for _, c := range []struct{ name, source, want string }{
		{"dxvif-1", "", "dxvif-1 invalid IP"},
		{"dxvif-1", "192.168.50.9", "dxvif-1 192.168.50.9"},
		{"dxvif-1/192.168.50.10", "", "dxvif-1 192.168.50.10"},
		{"dxvif-1/203.0.113.0/24", "", "dxvif-1 203.0.113.1"}, // the trace tells what becomes of it
		{"192.168.70.1", "", "dxvif-1 192.168.70.1"},
		{"192.168.50.10", "", "dxvif-2 192.168.50.10"}, // the longest
		{"192.168.60.10", "", "dxvif-2 192.168.60.10"}, // of the shortest path
		{"192.168.50.0/24", "", "dxvif-2 192.168.50.1"},
		{"192.168.50.0/23", "", "dxvif-1 192.168.50.1"}, // the /24 does not cover it
		{"192.168.50.7/24", "", "dxvif-2 192.168.50.7"},
		{"192.168.50.6/31", "", "dxvif-2 192.168.50.6"},
		{"192.168.50.0/24", "192.168.50.9", "dxvif-2 192.168.50.9"},
		{"169.254.3.2", "", "dxvif-3 169.254.3.2"},
		{"10.99.1.1", "", "dxvif-4 10.99.1.1"}, // was announced: the trace tells why it is no more
		{"192.168.50.0/24", "192.168.51.9", "! source address 192.168.51.9 is not in 192.168.50.0/24"},
		{"172.16.5.1", "", "! 172.16.5.1 is behind dxvif-3, which leads to vpc-b, and behind dxvif-1, which leads to vpc-a: name one, as in dxvif-3/172.16.5.1"},
		{"203.0.113.1", "", "! 203.0.113.1: no virtual interface has learned a route to it; the BGP session of dxvif-4 with 169.254.4.2 (AS 65000) is down: hold timer expired; the BGP session of dxvif-5 with 169.254.5.2 (AS 65000) is down: no router has connected"},
		{"::1", "", "! ::1: no virtual interface has learned a route to it"},
		{"dxvif-5/192.168.1.1", "", "! virtual interface dxvif-5 leads nowhere: its gateway vgw-none is attached to no VPC"},
		{"dxvif-9", "", "! there is no virtual interface dxvif-9"},
		{"dxvif-1/nobody", "", `! there is no network interface "dxvif-1/nobody"`},
		{"nobody", "", `! there is no network interface "nobody"`},
	} {
		var source netip.Addr
		if c.source != "" {
			source = netip.MustParseAddr(c.source)
		}
		e, from, err := x.sender(c.name, source)
		if text, bad := strings.CutPrefix(c.want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s %s: %v, %s; want an error that says %q", c.name, c.source, err, from, text)
			}
		} else if err != nil || e.ID+" "+from.String() != c.want {
			t.Errorf("%s %s: %v, %v %s; want %s", c.name, c.source, err, e, from, c.want)
		}
	}
}
