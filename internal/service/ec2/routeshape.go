package ec2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// DescribeRouteTables lists route tables.
func (s *Service) DescribeRouteTables(ctx context.Context, in *ec2.DescribeRouteTablesInput) (*ec2.DescribeRouteTablesOutput, error) {
	r := s.db.View()
	rows, err := pick(r, callerOf(ctx), store.RouteTables, kindRouteTable, in.RouteTableIds)
	if err != nil {
		return nil, err
	}
	items := shapes(rows, func(t *resource.RouteTable) *ec2.RouteTable { return routeTableShape(r, t) })
	page, next, err := routeTableListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeRouteTablesOutput{RouteTables: page, NextToken: next}, err
}

func routeTableShape(r store.Reader, t *resource.RouteTable) *ec2.RouteTable {
	out := &ec2.RouteTable{RouteTableId: &t.ID, VpcId: &t.VPC, OwnerId: &t.Account, Tags: tagList(t.Tags)}
	if v, ok := store.VPCs.Get(r, t.VPC); ok {
		for _, p := range v.CIDRs {
			out.Routes = append(out.Routes, &ec2.Route{
				DestinationCidrBlock: wire.Ptr(p.String()), GatewayId: wire.Ptr("local"),
				Origin: wire.Ptr(ec2.RouteOriginCreateRouteTable), State: wire.Ptr(ec2.RouteStateActive),
			})
		}
	}
	for _, route := range t.Routes {
		x := &ec2.Route{
			DestinationCidrBlock: wire.Ptr(route.Destination.String()),
			GatewayId:            optional(route.Target),
			Origin:               wire.Ptr(ec2.RouteOriginCreateRoute), State: wire.Ptr(ec2.RouteStateActive),
		}
		if !gatewayOf(r, route.Target, t.VPC) {
			x.State = wire.Ptr(ec2.RouteStateBlackhole)
		}
		out.Routes = append(out.Routes, x)
	}
	for _, id := range t.Propagating {
		out.PropagatingVgws = append(out.PropagatingVgws, &ec2.PropagatingVgw{GatewayId: &id})
		for _, l := range propagated(r, t, id) {
			out.Routes = append(out.Routes, &ec2.Route{
				DestinationCidrBlock: wire.Ptr(l.Prefix.String()), GatewayId: &id,
				Origin: wire.Ptr(ec2.RouteOriginEnableVgwRoutePropagation), State: wire.Ptr(ec2.RouteStateActive),
			})
		}
	}
	add := func(id, subnet string) {
		out.Associations = append(out.Associations, &ec2.RouteTableAssociation{
			RouteTableAssociationId: &id, RouteTableId: &t.ID, SubnetId: optional(subnet),
			Main: wire.Ptr(subnet == ""), AssociationState: associatedState(),
		})
	}
	if t.Main != "" {
		add(t.Main, "")
	}
	for _, a := range t.Associations {
		add(a.ID, a.Subnet)
	}
	return out
}

// gatewayOf says whether a gateway is that of a VPC.
func gatewayOf(r store.Reader, gateway, vpc string) bool {
	if g, ok := store.VPNGateways.Get(r, gateway); ok {
		return g.VPC == vpc
	}
	g, ok := store.InternetGateways.Get(r, gateway)
	return ok && g.VPC == vpc
}

// propagated are the routes that a table has from a virtual private gateway.
func propagated(r store.Reader, t *resource.RouteTable, gateway string) []resource.LearnedRoute {
	v, ok := store.VPCs.Get(r, t.VPC)
	if !ok || !gatewayOf(r, gateway, t.VPC) {
		return nil
	}
	sessions := map[string]*resource.BGPSession{}
	for s := range store.BGPSessions.Scan(r) {
		sessions[s.Interface] = s
	}
	return t.Propagated(v, resource.LearnedRoutes(gateway, store.VirtualInterfaces.List(r), sessions))
}

func tableRoutes(get func(*ec2.Route) []string) func(*ec2.RouteTable) []string {
	return func(t *ec2.RouteTable) []string { return each(t.Routes, get) }
}

func tableAssociations(get func(*ec2.RouteTableAssociation) []string) func(*ec2.RouteTable) []string {
	return func(t *ec2.RouteTable) []string { return each(t.Associations, get) }
}

var routeTableListing = listing[*ec2.RouteTable]{
	id:   func(t *ec2.RouteTable) *string { return t.RouteTableId },
	tags: func(t *ec2.RouteTable) []*ec2.Tag { return t.Tags },
	fields: fields[*ec2.RouteTable]{
		"owner-id":       func(t *ec2.RouteTable) []string { return text(t.OwnerId) },
		"route-table-id": func(t *ec2.RouteTable) []string { return text(t.RouteTableId) },
		"vpc-id":         func(t *ec2.RouteTable) []string { return text(t.VpcId) },

		"association.gateway-id":                 never[*ec2.RouteTable],
		"association.main":                       tableAssociations(func(a *ec2.RouteTableAssociation) []string { return boolean(a.Main) }),
		"association.route-table-association-id": tableAssociations(func(a *ec2.RouteTableAssociation) []string { return text(a.RouteTableAssociationId) }),
		"association.route-table-id":             tableAssociations(func(a *ec2.RouteTableAssociation) []string { return text(a.RouteTableId) }),
		"association.subnet-id":                  tableAssociations(func(a *ec2.RouteTableAssociation) []string { return text(a.SubnetId) }),

		"route.destination-cidr-block": tableRoutes(func(r *ec2.Route) []string { return text(r.DestinationCidrBlock) }),
		"route.gateway-id":             tableRoutes(func(r *ec2.Route) []string { return text(r.GatewayId) }),
		"route.origin":                 tableRoutes(func(r *ec2.Route) []string { return text(r.Origin) }),
		"route.state":                  tableRoutes(func(r *ec2.Route) []string { return text(r.State) }),

		"route.destination-ipv6-cidr-block":     never[*ec2.RouteTable],
		"route.destination-prefix-list-id":      never[*ec2.RouteTable],
		"route.egress-only-internet-gateway-id": never[*ec2.RouteTable],
		"route.instance-id":                     never[*ec2.RouteTable],
		"route.nat-gateway-id":                  never[*ec2.RouteTable],
		"route.transit-gateway-id":              never[*ec2.RouteTable],
		"route.vpc-peering-connection-id":       never[*ec2.RouteTable],
	},
}
