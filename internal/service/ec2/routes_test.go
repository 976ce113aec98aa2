package ec2

import (
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// mainTable returns the main route table of a VPC and its association.
func (f fixture) mainTable(v string) (table, association string) {
	f.t.Helper()
	out := must[*ec2.DescribeRouteTablesOutput](f.t)(f.DescribeRouteTables(f.ctx, &ec2.DescribeRouteTablesInput{
		Filters: filters("vpc-id", v, "association.main", "true"),
	}))
	if len(out.RouteTables) != 1 {
		f.t.Fatalf("%d main tables of %s", len(out.RouteTables), v)
	}
	for _, a := range out.RouteTables[0].Associations {
		if *a.Main {
			association = *a.RouteTableAssociationId
		}
	}
	return *out.RouteTables[0].RouteTableId, association
}

// routes is the routes of a table in short.
func (f fixture) routes(table string) string {
	f.t.Helper()
	out := must[*ec2.DescribeRouteTablesOutput](f.t)(f.DescribeRouteTables(f.ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{table}}))
	var list []string
	for _, r := range out.RouteTables[0].Routes {
		list = append(list, *r.DestinationCidrBlock+" "+strings.SplitN(*r.GatewayId, "-", 2)[0]+" "+*r.State)
	}
	return strings.Join(list, ", ")
}

func TestRoutes(t *testing.T) {
	f := newFixture(t)
	v, w := f.vpc(f.ctx, "10.0.0.0/16"), f.vpc(f.ctx, "10.0.0.0/16")
	table, _ := f.mainTable(v)
	gateway := func(v string) string {
		id := *must[*ec2.CreateInternetGatewayOutput](t)(f.CreateInternetGateway(f.ctx, &ec2.CreateInternetGatewayInput{})).InternetGateway.InternetGatewayId
		must[*ec2.AttachInternetGatewayOutput](t)(f.AttachInternetGateway(f.ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &id, VpcId: &v}))
		return id
	}
	igw, foreign := gateway(v), gateway(w)
	steps := []struct {
		name          string
		call          func() error
		code, message string
		routes        string
	}{
		{"create", func() error {
			_, err := f.CreateRoute(f.ctx, &ec2.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("0.0.0.0/0"), GatewayId: &igw})
			return err
		}, "", "", "10.0.0.0/16 local active, 0.0.0.0/0 igw active"},
		{"create again", func() error {
			_, err := f.CreateRoute(f.ctx, &ec2.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("0.0.0.0/0"), GatewayId: &igw})
			return err
		}, "RouteAlreadyExists", "The route identified by 0.0.0.0/0 already exists.", ""},
		{"inside the VPC", func() error {
			_, err := f.CreateRoute(f.ctx, &ec2.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("10.0.1.0/24"), GatewayId: &igw})
			return err
		}, "InvalidParameterValue", "", ""},
		{"another VPC's gateway", func() error {
			_, err := f.CreateRoute(f.ctx, &ec2.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("11.0.0.0/8"), GatewayId: &foreign})
			return err
		}, "InvalidParameterValue", "route table " + table + " and network gateway " + foreign + " belong to different networks", ""},
		{"NAT gateway", func() error {
			_, err := f.CreateRoute(f.ctx, &ec2.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("11.0.0.0/8"), NatGatewayId: wire.Ptr("nat-1")})
			return err
		}, "UnsupportedOperation", "", ""},
		{"replace nothing", func() error {
			_, err := f.ReplaceRoute(f.ctx, &ec2.ReplaceRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("11.0.0.0/8"), GatewayId: &igw})
			return err
		}, "InvalidParameterValue", "There is no route defined for '11.0.0.0/8' in the route table. Use CreateRoute instead.", ""},
		{"replace", func() error {
			_, err := f.ReplaceRoute(f.ctx, &ec2.ReplaceRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("0.0.0.0/0"), GatewayId: &igw})
			return err
		}, "", "", "10.0.0.0/16 local active, 0.0.0.0/0 igw active"},
		{"delete local", func() error {
			_, err := f.DeleteRoute(f.ctx, &ec2.DeleteRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("10.0.0.0/16")})
			return err
		}, "InvalidParameterValue", "cannot remove local route 10.0.0.0/16 in route table " + table, ""},
		{"delete nothing", func() error {
			_, err := f.DeleteRoute(f.ctx, &ec2.DeleteRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("11.0.0.0/8")})
			return err
		}, "InvalidRoute.NotFound", "no route with destination-cidr-block 11.0.0.0/8 in route table " + table, ""},
		{"detach the gateway", func() error {
			_, err := f.DetachInternetGateway(f.ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &igw, VpcId: &v})
			return err
		}, "", "", "10.0.0.0/16 local active, 0.0.0.0/0 igw blackhole"},
		{"detach it again", func() error {
			_, err := f.DetachInternetGateway(f.ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &igw, VpcId: &v})
			return err
		}, "Gateway.NotAttached", "resource " + igw + " is not attached to network " + v, ""},
		{"delete the gateway", func() error {
			_, err := f.DeleteInternetGateway(f.ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: &igw})
			return err
		}, "", "", "10.0.0.0/16 local active, 0.0.0.0/0 igw blackhole"},
		{"delete", func() error {
			_, err := f.DeleteRoute(f.ctx, &ec2.DeleteRouteInput{RouteTableId: &table, DestinationCidrBlock: wire.Ptr("0.0.0.0/0")})
			return err
		}, "", "", "10.0.0.0/16 local active"},
		{"second gateway of a VPC", func() error {
			id := *must[*ec2.CreateInternetGatewayOutput](t)(f.CreateInternetGateway(f.ctx, &ec2.CreateInternetGatewayInput{})).InternetGateway.InternetGatewayId
			_, err := f.AttachInternetGateway(f.ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &id, VpcId: &w})
			return err
		}, "InvalidParameterValue", "Network " + w + " already has an internet gateway attached", ""},
	}
	for _, s := range steps {
		wantError(t, s.name, s.call(), s.code, s.message)
		if got := f.routes(table); s.routes != "" && got != s.routes {
			t.Errorf("%s: routes %s, want %s", s.name, got, s.routes)
		}
	}
}

func TestRouteTableAssociations(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	s := f.subnet(f.ctx, v, "10.0.0.0/24", "a")
	main, association := f.mainTable(v)
	create := func() string {
		return *must[*ec2.CreateRouteTableOutput](t)(f.CreateRouteTable(f.ctx, &ec2.CreateRouteTableInput{VpcId: &v})).RouteTable.RouteTableId
	}
	a, b := create(), create()
	tableOf := func() string {
		t.Helper()
		out := must[*ec2.DescribeRouteTablesOutput](t)(f.DescribeRouteTables(f.ctx, &ec2.DescribeRouteTablesInput{Filters: filters("association.subnet-id", s)}))
		if len(out.RouteTables) != 1 {
			t.Fatalf("the subnet has %d tables", len(out.RouteTables))
		}
		return *out.RouteTables[0].RouteTableId
	}
	id := *must[*ec2.AssociateRouteTableOutput](t)(f.AssociateRouteTable(f.ctx, &ec2.AssociateRouteTableInput{RouteTableId: &a, SubnetId: &s})).AssociationId
	again := *must[*ec2.AssociateRouteTableOutput](t)(f.AssociateRouteTable(f.ctx, &ec2.AssociateRouteTableInput{RouteTableId: &a, SubnetId: &s})).AssociationId
	if id != again || tableOf() != a {
		t.Errorf("associations %s, %s", id, again)
	}
	_, err := f.AssociateRouteTable(f.ctx, &ec2.AssociateRouteTableInput{RouteTableId: &b, SubnetId: &s})
	wantError(t, "two tables", err, "Resource.AlreadyAssociated", "the specified association for route table "+b+" conflicts with an existing association")
	next := must[*ec2.ReplaceRouteTableAssociationOutput](t)(f.ReplaceRouteTableAssociation(f.ctx, &ec2.ReplaceRouteTableAssociationInput{AssociationId: &id, RouteTableId: &b}))
	if tableOf() != b {
		t.Error("the subnet did not move")
	}
	_, err = f.DisassociateRouteTable(f.ctx, &ec2.DisassociateRouteTableInput{AssociationId: &id})
	wantError(t, "replaced association", err, "InvalidAssociationID.NotFound", "The association ID '"+id+"' does not exist")
	must[*ec2.DisassociateRouteTableOutput](t)(f.DisassociateRouteTable(f.ctx, &ec2.DisassociateRouteTableInput{AssociationId: next.NewAssociationId}))

	_, err = f.DisassociateRouteTable(f.ctx, &ec2.DisassociateRouteTableInput{AssociationId: &association})
	wantError(t, "main", err, "InvalidParameterValue", "cannot disassociate the main route table association "+association)
	_, err = f.DeleteRouteTable(f.ctx, &ec2.DeleteRouteTableInput{RouteTableId: &main})
	wantError(t, "delete main", err, "DependencyViolation", "")
	for _, to := range []string{a, a, main} {
		out := must[*ec2.ReplaceRouteTableAssociationOutput](t)(f.ReplaceRouteTableAssociation(f.ctx, &ec2.ReplaceRouteTableAssociationInput{AssociationId: &association, RouteTableId: &to}))
		association = *out.NewAssociationId
		if now, with := f.mainTable(v); now != to || with != association {
			t.Errorf("main table %s by %s, want %s by %s", now, with, to, association)
		}
	}
	w := f.vpc(f.ctx, "10.0.0.0/16")
	foreign, _ := f.mainTable(w)
	_, err = f.ReplaceRouteTableAssociation(f.ctx, &ec2.ReplaceRouteTableAssociationInput{AssociationId: &association, RouteTableId: &foreign})
	wantError(t, "another VPC's", err, "InvalidParameterValue", "")
}
