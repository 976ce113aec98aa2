package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
)

// joined has a VPC that an on-premises network is joined to by two virtual
// interfaces of one connection, one of which is down, and another VPC.
func joined() Input {
	meta := resource.Meta{Account: "1", Region: "us-east-1"}
	prefix := netip.MustParsePrefix
	in := Input{
		VPCs: []*resource.VPC{
			{Meta: meta, ID: "vpc-1", CIDRs: []netip.Prefix{prefix("10.0.0.0/16")}},
			{Meta: meta, ID: "vpc-2", CIDRs: []netip.Prefix{prefix("10.1.0.0/16")}},
		},
		VPNGateways:   []*resource.VPNGateway{{Meta: meta, ID: "vgw-1", ASN: 64512, VPC: "vpc-1"}, {Meta: meta, ID: "vgw-2", ASN: 64513}},
		DXConnections: []*resource.DXConnection{{Meta: meta, ID: "dxcon-1", Name: "office", Location: "EqDC2"}},
		BGPSessions: []*resource.BGPSession{
			{Interface: "dxvif-1", Up: true, Routes: []resource.BGPRoute{{Prefix: prefix("192.168.50.0/24"), Length: 1}, {Prefix: prefix("192.168.60.0/24"), Length: 2}}},
			{Interface: "dxvif-2", Cause: "hold timer expired", Withdrawn: []netip.Prefix{prefix("192.168.50.0/24")}},
		},
	}
	for i, gateway := range []string{"vgw-1", "vgw-1", "vgw-2"} {
		in.VirtualInterfaces = append(in.VirtualInterfaces, &resource.VirtualInterface{
			Meta: meta, ID: fmt.Sprintf("dxvif-%d", i+1), Name: fmt.Sprintf("wire%d", i+1), Connection: "dxcon-1", ASN: 65000, Gateway: gateway,
			CustomerAddress: netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, byte(i + 1), 2}), 30),
		})
	}
	return in
}

// texts are the nodes and edges that on-premises networks have.
func texts(g Graph) (all []string) {
	for _, n := range g.Nodes {
		if n.Kind != Account && n.Kind != VPC {
			all = append(all, fmt.Sprintf("%s in %q: %s, %s (%s)", n.Kind, n.Parent, n.Label, n.Detail, n.State))
		}
	}
	for _, e := range g.Edges {
		all = append(all, fmt.Sprintf("%s to %s (%s)", e.From, e.To, e.State))
	}
	return all
}

func TestOnPremises(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input)
		filter Filter
		want   []string
	}{
		"everything": {want: []string{
			`on-premises in "": on-premises, office at EqDC2 ()`,
			`virtual-interface in "": wire1 dxvif-1, peer 169.254.1.2, AS 65000, BGP up (good)`,
			`virtual-interface in "": wire2 dxvif-2, peer 169.254.2.2, AS 65000, BGP down (bad)`,
			`virtual-interface in "": wire3 dxvif-3, peer 169.254.3.2, AS 65000, BGP down (bad)`,
			`prefix in "dxvif-1": 192.168.50.0/24, learned (good)`,
			`prefix in "dxvif-1": 192.168.60.0/24, learned (good)`,
			`prefix in "dxvif-2": 192.168.50.0/24, withdrawn (bad)`,
			`prefix in "dxvif-2": hold timer expired,  (bad)`,
			`prefix in "dxvif-3": no router has connected,  (bad)`,
			`vpn-gateway in "vpc-1": gateway vgw-1, AS 64512 ()`,
			"dxvif-1 to vgw-1 (good)", "dxvif-2 to vgw-1 (bad)",
			"on-premises/dxcon-1 to dxvif-1 (good)", "on-premises/dxcon-1 to dxvif-2 (bad)", "on-premises/dxcon-1 to dxvif-3 (bad)",
		}},
		"one VPC": {filter: Filter{VPC: "vpc-1"}, change: func(in *Input) { in.VirtualInterfaces = in.VirtualInterfaces[:1] }, want: []string{
			`on-premises in "": on-premises, office at EqDC2 ()`,
			`virtual-interface in "": wire1 dxvif-1, peer 169.254.1.2, AS 65000, BGP up (good)`,
			`prefix in "dxvif-1": 192.168.50.0/24, learned (good)`,
			`prefix in "dxvif-1": 192.168.60.0/24, learned (good)`,
			`vpn-gateway in "vpc-1": gateway vgw-1, AS 64512 ()`,
			"dxvif-1 to vgw-1 (good)", "on-premises/dxcon-1 to dxvif-1 (good)",
		}},
		"another VPC": {filter: Filter{VPC: "vpc-2"}},
	} {
		in := joined()
		if c.change != nil {
			c.change(&in)
		}
		if got := texts(Build(in).Select(c.filter)); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, c.want)
		}
	}
}

// TestManyPrefixes: a row stands for what does not fit.
func TestManyPrefixes(t *testing.T) {
	in := joined()
	for i := range 40 {
		in.BGPSessions[0].Routes = append(in.BGPSessions[0].Routes, resource.BGPRoute{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 24)})
	}
	rows := 0
	for _, n := range Build(in).Condense(8).Nodes {
		if n.Parent == "dxvif-1" {
			if rows++; rows == 8 && n.Kind != More {
				t.Errorf("the last row is %+v", n)
			}
		}
	}
	if rows != 8 {
		t.Errorf("%d rows", rows)
	}
}
