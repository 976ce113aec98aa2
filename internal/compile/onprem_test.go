package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

func route(prefix string, length int) resource.BGPRoute {
	return resource.BGPRoute{Prefix: netip.MustParsePrefix(prefix), Length: length}
}

// joined is a VPC 10.0.0.0/16 with two virtual interfaces, numbers 11 and 21.
func joined(first, second []resource.BGPRoute) Input {
	in := Input{
		VPCs:        []*resource.VPC{{ID: "vpc-1", Number: 1, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}}},
		VPNGateways: []*resource.VPNGateway{{ID: "vgw-1", ASN: 64512, VPC: "vpc-1"}},
		RouteTables: []*resource.RouteTable{{ID: "rtb-1", Number: 1, VPC: "vpc-1", Main: "x"}},
		NetworkInterfaces: []*resource.NetworkInterface{
			{ID: "eni-n1", Number: 13, Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.11")}},
			{ID: "eni-n2", Number: 23, Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.21")}},
		},
	}
	for i, routes := range [][]resource.BGPRoute{first, second} {
		n := uint32(10*i + 10)
		v := &resource.VirtualInterface{
			ID: fmt.Sprintf("dxvif-%d", i+1), Gateway: "vgw-1", ASN: 65000, CustomerNumber: n + 1, AmazonNumber: n + 2, RouteTable: n,
			AmazonAddress:   netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, byte(i), 1}), 30),
			CustomerAddress: netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, byte(i), 2}), 30),
			Node:            fmt.Sprintf("eni-n%d", i+1), Attachment: &resource.Attachment{Netns: "/router"}, MTU: 1500,
		}
		in.VirtualInterfaces = append(in.VirtualInterfaces, v)
		in.BGPSessions = append(in.BGPSessions, &resource.BGPSession{Interface: v.ID, Up: routes != nil, Routes: routes, Cause: "silence",
			Withdrawn: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}})
	}
	return in
}

func TestOnPremisesRoutes(t *testing.T) {
	static := func(prefix string, kind resource.RouteKind) resource.Route {
		return resource.Route{Destination: netip.MustParsePrefix(prefix), Kind: kind, Target: "vgw-1"}
	}
	both := []resource.BGPRoute{route("192.168.0.0/16", 2), route("192.168.7.0/24", 1)}
	for name, c := range map[string]struct {
		first, second []resource.BGPRoute
		static        []resource.Route
		propagate     bool
		want          string
	}{
		"not propagated": {first: both, want: ""},
		"propagated":     {first: both, propagate: true, want: "192.168.0.0/16→11 192.168.7.0/24→11"},
		"the shorter path": {first: both, second: []resource.BGPRoute{route("192.168.0.0/16", 1), route("192.168.7.0/24", 1)}, propagate: true,
			want: "192.168.0.0/16→21 192.168.7.0/24→11"},
		"the VPC's own": {first: []resource.BGPRoute{route("10.0.0.0/16", 1), route("10.0.3.0/24", 1), route("10.0.0.0/8", 1)}, propagate: true, want: "10.0.0.0/8→11"},
		"static wins":   {first: both, propagate: true, static: []resource.Route{static("192.168.7.0/24", resource.RouteInternetGateway)}, want: "192.168.0.0/16→11 192.168.7.0/24!3"},
		"static to the gateway": {first: both, static: []resource.Route{static("192.168.0.0/17", resource.RouteVPNGateway)},
			want: "192.168.0.0/17→11 192.168.7.0/24→11"},
		"static to the gateway, nothing learned": {static: []resource.Route{static("192.168.0.0/17", resource.RouteVPNGateway)}, want: "192.168.0.0/17!2"},
		"a longer static route within": {first: both, static: []resource.Route{static("0.0.0.0/0", resource.RouteVPNGateway), static("192.168.0.0/20", resource.RouteInternetGateway)},
			want: "0.0.0.0/0!2 192.168.0.0/16→11 192.168.0.0/20!3"},
	} {
		t.Run(name, func(t *testing.T) {
			in := joined(c.first, c.second)
			in.RouteTables[0].Routes = c.static
			if c.propagate {
				in.RouteTables[0].Propagating = []string{"vgw-1"}
			}
			var got []string
			for _, r := range Tables(in).RouteTables[0].Routes {
				switch r.Kind {
				case tables.Local:
				case tables.Interface:
					got = append(got, fmt.Sprintf("%s→%d", r.Prefix, r.ENI))
				default:
					got = append(got, fmt.Sprintf("%s!%d", r.Prefix, r.Kind))
				}
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

func TestWithdrawnRoutes(t *testing.T) {
	in := joined(nil, nil)
	in.RouteTables[0].Propagating = []string{"vgw-1"}
	tt := Tables(in)
	cause := "propagated routes of vgw-1 are withdrawn because the BGP session of dxvif-1 with 169.254.0.2 (AS 65000) is down: silence"
	both := cause + "; the BGP session of dxvif-2 with 169.254.1.2 (AS 65000) is down: silence"
	if w := tt.RouteTables[0].Withdrawn; len(w) != 1 || w[0].Cause != both || w[0].Prefix.String() != "172.16.0.0/12" {
		t.Errorf("the table's: %+v", w)
	}
	if w := tt.RouteTables[1].Withdrawn; tt.RouteTables[1].Number != 10 || len(w) != 1 || w[0].Cause != cause {
		t.Errorf("the wire's: %+v", w)
	}
}

func TestBGPSessions(t *testing.T) {
	in := joined(nil, nil)
	got := BGP(in, "").Sessions
	if len(got) != 2 || got[0].Interface != "dxvif-1" || got[0].Peer.String() != "100.64.0.11" || got[0].NextHop.String() != "169.254.0.1" ||
		got[0].LocalASN != 64512 || got[0].PeerASN != 65000 || got[0].Announce[0].String() != "10.0.0.0/16" {
		t.Errorf("sessions %+v", got)
	}
	in.VPNGateways[0].VPC = ""
	if got := BGP(in, "").Sessions; len(got) != 0 {
		t.Errorf("sessions of a gateway without a VPC: %+v", got)
	}
}
