package ec2

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

func (f fixture) vgw(ctx context.Context) string {
	f.t.Helper()
	out := must[*ec2.CreateVpnGatewayOutput](f.t)(f.CreateVpnGateway(ctx, &ec2.CreateVpnGatewayInput{Type: wire.Ptr("ipsec.1")}))
	return *out.VpnGateway.VpnGatewayId
}

func (f fixture) attach(g, v string) error {
	_, err := f.AttachVpnGateway(f.ctx, &ec2.AttachVpnGatewayInput{VpnGatewayId: &g, VpcId: &v})
	return err
}

func (f fixture) detach(g, v string) error {
	_, err := f.DetachVpnGateway(f.ctx, &ec2.DetachVpnGatewayInput{VpnGatewayId: &g, VpcId: &v})
	return err
}

func (f fixture) propagate(table, g string) error {
	_, err := f.EnableVgwRoutePropagation(f.ctx, &ec2.EnableVgwRoutePropagationInput{RouteTableId: &table, GatewayId: &g})
	return err
}

func (f fixture) routeTo(table, to, g string) error {
	_, err := f.CreateRoute(f.ctx, &ec2.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: &to, GatewayId: &g})
	return err
}

// TestVPNGateways: what of virtual private gateways works, and what is refused.
func TestVPNGateways(t *testing.T) {
	f := newFixture(t)
	v, w := f.vpc(f.ctx, "10.0.0.0/16"), f.vpc(f.ctx, "10.0.0.0/16")
	g, h := f.vgw(f.ctx), f.vgw(f.ctx)
	foreign, foreignVPC := f.vgw(f.other), f.vpc(f.other, "10.0.0.0/16")
	table, _ := f.mainTable(v)
	other, _ := f.mainTable(w)
	unknown := func(id string) string { return "The vpnGateway ID '" + id + "' does not exist" }
	create := func(change func(*ec2.CreateVpnGatewayInput)) error {
		in := &ec2.CreateVpnGatewayInput{Type: wire.Ptr("ipsec.1")}
		change(in)
		_, err := f.CreateVpnGateway(f.ctx, in)
		return err
	}
	remove := func(g string) error {
		_, err := f.DeleteVpnGateway(f.ctx, &ec2.DeleteVpnGatewayInput{VpnGatewayId: &g})
		return err
	}
	steps := []struct {
		name          string
		err           error
		code, message string
	}{
		{"type", create(func(in *ec2.CreateVpnGatewayInput) { in.Type = wire.Ptr("ipsec.2") }), "InvalidParameterValue", ""},
		{"public ASN", create(func(in *ec2.CreateVpnGatewayInput) { in.AmazonSideAsn = wire.Ptr(int64(7224)) }), "InvalidParameterValue", ""},
		{"zone", create(func(in *ec2.CreateVpnGatewayInput) { in.AvailabilityZone = wire.Ptr("mars-1a") }), "InvalidParameterValue", "Invalid availability zone: [mars-1a]"},
		{"dry run", create(func(in *ec2.CreateVpnGatewayInput) { in.DryRun = wire.Ptr(true) }), "DryRunOperation", ""},

		{"attach an unknown one", f.attach("vgw-9", v), "InvalidVpnGatewayID.NotFound", unknown("vgw-9")},
		{"attach another account's", f.attach(foreign, v), "InvalidVpnGatewayID.NotFound", unknown(foreign)},
		{"attach to an unknown VPC", f.attach(g, "vpc-9"), "InvalidVpcID.NotFound", "The vpc ID 'vpc-9' does not exist"},
		{"attach to another account's VPC", f.attach(g, foreignVPC), "InvalidVpcID.NotFound", "The vpc ID '" + foreignVPC + "' does not exist"},
		{"propagate before attaching", f.propagate(table, g), "Gateway.NotAttached", "resource " + g + " is not attached to network " + v},
		{"route before attaching", f.routeTo(table, "192.168.0.0/16", g), "InvalidParameterValue", "route table " + table + " and network gateway " + g + " belong to different networks"},
		{"detach before attaching", f.detach(g, v), "InvalidVpnGatewayAttachment.NotFound", "The attachment with vpn gateway ID '" + g + "' and vpc ID '" + v + "' does not exist."},
		{"attach", f.attach(g, v), "", ""},
		{"attach again", f.attach(g, v), "", ""},
		{"attach to a second VPC", f.attach(g, w), "VpnGatewayAttachmentLimitExceeded", ""},
		{"attach a second one", f.attach(h, v), "VpnGatewayAttachmentLimitExceeded", "VPC " + v + " is already attached to vpn gateway " + g},
		{"detach from another VPC", f.detach(g, w), "InvalidVpnGatewayAttachment.NotFound", ""},
		{"delete", remove(g), "IncorrectState", "The vpnGateway '" + g + "' is attached to " + v + " and cannot be deleted."},
		{"propagate to another VPC", f.propagate(other, g), "Gateway.NotAttached", ""},
		{"propagate from an unknown one", f.propagate(table, "vgw-9"), "InvalidVpnGatewayID.NotFound", unknown("vgw-9")},
		{"propagate from another account's", f.propagate(table, foreign), "InvalidVpnGatewayID.NotFound", unknown(foreign)},
		{"propagate to an unknown table", f.propagate("rtb-9", g), "InvalidRouteTableID.NotFound", ""},
		{"route from another VPC", f.routeTo(other, "192.168.0.0/16", g), "InvalidParameterValue", ""},
		{"route to an unknown one", f.routeTo(table, "192.168.0.0/16", "vgw-9"), "InvalidVpnGatewayID.NotFound", unknown("vgw-9")},
		{"route to another account's", f.routeTo(table, "192.168.0.0/16", foreign), "InvalidVpnGatewayID.NotFound", unknown(foreign)},
		{"route within the VPC", f.routeTo(table, "10.0.9.0/24", g), "InvalidParameterValue", ""},
		{"delete another account's", remove(foreign), "InvalidVpnGatewayID.NotFound", unknown(foreign)},
		{"delete one that is free", remove(h), "", ""},
		{"delete it again", remove(h), "InvalidVpnGatewayID.NotFound", unknown(h)},
	}
	for _, s := range steps {
		wantError(t, s.name, s.err, s.code, s.message)
	}
	_, err := f.DeleteVpc(f.ctx, &ec2.DeleteVpcInput{VpcId: &v})
	wantError(t, "delete the VPC", err, "DependencyViolation", "")
	all := must[*ec2.DescribeVpnGatewaysOutput](t)(f.DescribeVpnGateways(f.ctx, &ec2.DescribeVpnGatewaysInput{Filters: filters("attachment.vpc-id", v)})).VpnGateways
	if len(all) != 1 || *all[0].VpnGatewayId != g || *all[0].AmazonSideAsn != 64512 || *all[0].VpcAttachments[0].State != "attached" {
		t.Errorf("gateways of the VPC: %v", all)
	}
}

// TestPropagatedRoutes: a route table has what a gateway has learned and it has
// no route of its own for, as long as it is told to.
func TestPropagatedRoutes(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	g := f.vgw(f.ctx)
	table, _ := f.mainTable(v)
	// shown are the learned routes, and the gateways that propagate.
	shown := func() (routes, gateways string) {
		out := must[*ec2.DescribeRouteTablesOutput](t)(f.DescribeRouteTables(f.ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{table}})).RouteTables[0]
		var list, from []string
		for _, r := range out.Routes {
			list = append(list, *r.DestinationCidrBlock+" "+strings.SplitN(*r.GatewayId, "-", 2)[0]+" "+*r.Origin+" "+*r.State)
		}
		for _, p := range out.PropagatingVgws {
			from = append(from, *p.GatewayId)
		}
		return strings.Join(list, ", "), strings.Join(from, " ")
	}
	check := func(name, routes, gateways string) {
		t.Helper()
		routes = strings.TrimSuffix("10.0.0.0/16 local CreateRouteTable active, "+routes, ", ")
		if r, g := shown(); r != routes || g != gateways {
			t.Errorf("%s: routes %s, propagated by %q; want %s, %q", name, r, g, routes, gateways)
		}
	}
	learn := func(up bool, prefixes ...string) {
		f.edit(func(tx *store.Tx) {
			s := &resource.BGPSession{Interface: "dxvif-1", Up: up, Since: time.Now()}
			for _, p := range prefixes {
				s.Routes = append(s.Routes, resource.BGPRoute{Prefix: netip.MustParsePrefix(p), Length: 1})
			}
			store.BGPSessions.Put(tx, s)
		})
	}
	f.edit(func(tx *store.Tx) {
		store.VirtualInterfaces.Put(tx, &resource.VirtualInterface{Meta: resource.Meta{Account: testAccount, Region: testRegion}, ID: "dxvif-1", Gateway: g,
			AmazonAddress: netip.MustParsePrefix("10.1.0.1/30"), CustomerAddress: netip.MustParsePrefix("10.1.0.2/30")})
	})
	learn(true, "10.0.3.0/24", "172.16.0.0/12", "192.168.50.0/24") // the first lies within the VPC
	wantError(t, "attach", f.attach(g, v), "", "")
	check("without propagation", "", "")
	wantError(t, "propagate", f.propagate(table, g), "", "")
	wantError(t, "propagate again", f.propagate(table, g), "", "")
	learned := "172.16.0.0/12 vgw EnableVgwRoutePropagation active, 192.168.50.0/24 vgw EnableVgwRoutePropagation active"
	check("with propagation", learned, g)
	if n := must[*ec2.DescribeRouteTablesOutput](t)(f.DescribeRouteTables(f.ctx, &ec2.DescribeRouteTablesInput{
		Filters: filters("route.origin", "EnableVgwRoutePropagation", "route.gateway-id", g)})).RouteTables; len(n) != 1 {
		t.Errorf("%d tables have routes of the gateway", len(n))
	}

	wantError(t, "static", f.routeTo(table, "172.16.0.0/12", g), "", "")
	if r, _ := shown(); strings.Count(r, "172.16.0.0/12") != 1 || !strings.Contains(r, "172.16.0.0/12 vgw CreateRoute active") {
		t.Errorf("with a static route for the same range: %s", r)
	}
	wantError(t, "static again", f.routeTo(table, "172.16.0.0/12", g), "RouteAlreadyExists", "The route identified by 172.16.0.0/12 already exists.")
	_, err := f.DeleteRoute(f.ctx, &ec2.DeleteRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("172.16.0.0/12")})
	wantError(t, "delete the static one", err, "", "")
	check("without the static one", learned, g)
	_, err = f.DeleteRoute(f.ctx, &ec2.DeleteRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("172.16.0.0/12")})
	wantError(t, "delete a learned one", err, "InvalidRoute.NotFound", "")

	learn(false)
	check("without a session", "", g)
	learn(true, "192.168.50.0/24")
	wantError(t, "static", f.routeTo(table, "0.0.0.0/0", g), "", "")
	if _, err := f.DisableVgwRoutePropagation(f.ctx, &ec2.DisableVgwRoutePropagationInput{RouteTableId: &table, GatewayId: &g}); err != nil {
		t.Error(err)
	}
	check("propagation disabled", "0.0.0.0/0 vgw CreateRoute active", "")
	wantError(t, "propagate", f.propagate(table, g), "", "")
	_, err = f.DeleteVpnGateway(f.ctx, &ec2.DeleteVpnGatewayInput{VpnGatewayId: &g})
	wantError(t, "delete while attached", err, "IncorrectState", "")
	wantError(t, "detach", f.detach(g, v), "", "")
	check("detached", "0.0.0.0/0 vgw CreateRoute blackhole", "")
	_, err = f.DeleteVpnGateway(f.ctx, &ec2.DeleteVpnGatewayInput{VpnGatewayId: &g})
	wantError(t, "delete with a virtual interface", err, "IncorrectState", "The vpnGateway '"+g+"' has virtual interface dxvif-1 and cannot be deleted.")

	w := f.vpc(f.ctx, "10.1.0.0/16")
	wantError(t, "attach to a VPC with the wire's addresses", f.attach(g, w), "InvalidParameterValue",
		"The addresses 10.1.0.1/30 and 10.1.0.2/30 of virtual interface dxvif-1 of "+g+" overlap with a range of "+w)
	f.edit(func(tx *store.Tx) {
		x, _ := store.VirtualInterfaces.Get(tx, "dxvif-1")
		x.AmazonAddress, x.CustomerAddress = netip.MustParsePrefix("10.2.0.1/24"), netip.MustParsePrefix("10.2.0.2/24")
		store.VirtualInterfaces.Put(tx, x)
	})
	w = f.vpc(f.ctx, "10.2.0.128/28")
	wantError(t, "attach to a VPC within the wire's range", f.attach(g, w), "InvalidParameterValue",
		"The addresses 10.2.0.1/24 and 10.2.0.2/24 of virtual interface dxvif-1 of "+g+" overlap with a range of "+w)
	if slices.ContainsFunc(store.VPNGateways.List(f.db.View()), func(g *resource.VPNGateway) bool { return g.VPC != "" }) {
		t.Error("it is attached")
	}
}

// TestCLIVPNGateway joins a virtual private gateway to a VPC with the AWS CLI.
func TestCLIVPNGateway(t *testing.T) {
	t.Parallel()
	c := newCLI(t, newFixture(t))
	vpc := c.get("Vpc.VpcId", "ec2 create-vpc --cidr-block 10.0.0.0/16")
	table := c.get("RouteTables.0.RouteTableId", "ec2 describe-route-tables --filters Name=vpc-id,Values="+vpc)
	vgw := c.get("VpnGateway.VpnGatewayId", "ec2 create-vpn-gateway --type ipsec.1 --amazon-side-asn 65001")
	if got := c.get("VpcAttachment.State", "ec2 attach-vpn-gateway --vpn-gateway-id "+vgw+" --vpc-id "+vpc); got != "attached" {
		t.Errorf("attachment %s", got)
	}
	c.get("", "ec2 enable-vgw-route-propagation --route-table-id "+table+" --gateway-id "+vgw)
	if got := c.get("RouteTables.0.PropagatingVgws.0.GatewayId", "ec2 describe-route-tables --route-table-ids "+table); got != vgw {
		t.Errorf("propagated by %s", got)
	}
	c.fails("IncorrectState", "cannot be deleted", "ec2 delete-vpn-gateway --vpn-gateway-id "+vgw)
	c.get("", "ec2 detach-vpn-gateway --vpn-gateway-id "+vgw+" --vpc-id "+vpc)
	c.get("", "ec2 delete-vpn-gateway --vpn-gateway-id "+vgw)
	c.fails("InvalidVpnGatewayID.NotFound", "The vpnGateway ID '"+vgw+"' does not exist", "ec2 describe-vpn-gateways --vpn-gateway-ids "+vgw)
}
