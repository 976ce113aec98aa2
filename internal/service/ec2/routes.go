package ec2

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// routeTarget is where a request wants a route to lead.
type routeTarget struct {
	gateway *string
	// others are the targets of other kinds, which there are none of.
	others []*string
}

// destination reads the range of a route.
func destination(v4, v6, list *string) (netip.Prefix, error) {
	switch {
	case v6 != nil || list != nil:
		return netip.Prefix{}, unsupported("Routes lead to IPv4 ranges only.")
	case v4 == nil:
		return netip.Prefix{}, missing("destinationCidrBlock")
	}
	return parseRange("destinationCidrBlock", *v4)
}

// routeTo makes the route of table t to a target.
func routeTo(r store.Reader, c caller, t *resource.RouteTable, to netip.Prefix, target routeTarget) (resource.Route, error) {
	for _, x := range target.others {
		if x != nil {
			return resource.Route{}, unsupported("Routes can lead to internet gateways and virtual private gateways only, not to %s.", *x)
		}
	}
	if target.gateway == nil {
		return resource.Route{}, missing("gatewayId")
	}
	if strings.HasPrefix(*target.gateway, kindVPNGateway.prefix) {
		g, err := find(r, c, store.VPNGateways, kindVPNGateway, *target.gateway)
		if err != nil {
			return resource.Route{}, err
		}
		if g.VPC != t.VPC {
			return resource.Route{}, invalidValue("route table %s and network gateway %s belong to different networks", t.ID, g.ID)
		}
		return resource.Route{Destination: to, Kind: resource.RouteVPNGateway, Target: g.ID}, nil
	}
	g, err := find(r, c, store.InternetGateways, kindInternetGateway, *target.gateway)
	if err != nil {
		return resource.Route{}, err
	}
	if g.VPC != t.VPC {
		return resource.Route{}, invalidValue("route table %s and network gateway %s belong to different networks", t.ID, g.ID)
	}
	return resource.Route{Destination: to, Kind: resource.RouteInternetGateway, Target: g.ID}, nil
}

// CreateRoute adds a route.
func (s *Service) CreateRoute(ctx context.Context, in *ec2.CreateRouteInput) (*ec2.CreateRouteOutput, error) {
	to, err := destination(in.DestinationCidrBlock, in.DestinationIpv6CidrBlock, in.DestinationPrefixListId)
	if err != nil {
		return nil, err
	}
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		t, err := find(tx, c, store.RouteTables, kindRouteTable, wire.Val(in.RouteTableId))
		if err != nil {
			return err
		}
		route, err := routeTo(tx, c, t, to, routeTarget{gateway: in.GatewayId, others: []*string{
			in.VpcEndpointId, in.EgressOnlyInternetGatewayId, in.InstanceId, in.NatGatewayId, in.TransitGatewayId, in.LocalGatewayId,
			in.CarrierGatewayId, in.NetworkInterfaceId, in.VpcPeeringConnectionId, in.CoreNetworkArn,
		}})
		if err != nil {
			return err
		}
		if err := checkDestination(tx, t, to); err != nil {
			return err
		}
		if routeIndex(t, to) >= 0 {
			return wire.Errorf(400, "RouteAlreadyExists", "The route identified by %s already exists.", to)
		}
		t.Routes = append(t.Routes, route)
		store.RouteTables.Put(tx, t)
		return nil
	})
	return &ec2.CreateRouteOutput{Return: wire.Ptr(err == nil)}, err
}

// checkDestination says whether a range may have a route of its own: it must
// not lie within the VPC, whose local routes lead there.
func checkDestination(r store.Reader, t *resource.RouteTable, to netip.Prefix) error {
	v, ok := store.VPCs.Get(r, t.VPC)
	if !ok {
		return kindVPC.notFound(t.VPC)
	}
	for _, p := range v.CIDRs {
		if p.Bits() <= to.Bits() && p.Contains(to.Addr()) {
			return invalidValue("The destination CIDR block %s is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance.", to)
		}
	}
	return nil
}

func routeIndex(t *resource.RouteTable, to netip.Prefix) int {
	return slices.IndexFunc(t.Routes, func(r resource.Route) bool { return r.Destination == to })
}

// ReplaceRoute makes a route lead elsewhere.
func (s *Service) ReplaceRoute(ctx context.Context, in *ec2.ReplaceRouteInput) (*ec2.ReplaceRouteOutput, error) {
	to, err := destination(in.DestinationCidrBlock, in.DestinationIpv6CidrBlock, in.DestinationPrefixListId)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		t, err := find(tx, c, store.RouteTables, kindRouteTable, wire.Val(in.RouteTableId))
		if err != nil {
			return err
		}
		if wire.Val(in.LocalTarget) {
			return unsupported("Local routes cannot be replaced.")
		}
		route, err := routeTo(tx, c, t, to, routeTarget{gateway: in.GatewayId, others: []*string{
			in.VpcEndpointId, in.EgressOnlyInternetGatewayId, in.InstanceId, in.NatGatewayId, in.TransitGatewayId, in.LocalGatewayId,
			in.CarrierGatewayId, in.NetworkInterfaceId, in.VpcPeeringConnectionId, in.CoreNetworkArn,
		}})
		if err != nil {
			return err
		}
		i := routeIndex(t, to)
		if i < 0 {
			return invalidValue("There is no route defined for '%s' in the route table. Use CreateRoute instead.", to)
		}
		t.Routes[i] = route
		store.RouteTables.Put(tx, t)
		return nil
	})
}

// DeleteRoute removes a route; the local ones stay.
func (s *Service) DeleteRoute(ctx context.Context, in *ec2.DeleteRouteInput) (*ec2.DeleteRouteOutput, error) {
	to, err := destination(in.DestinationCidrBlock, in.DestinationIpv6CidrBlock, in.DestinationPrefixListId)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		t, err := find(tx, c, store.RouteTables, kindRouteTable, wire.Val(in.RouteTableId))
		if err != nil {
			return err
		}
		if v, ok := store.VPCs.Get(tx, t.VPC); ok && slices.Contains(v.CIDRs, to) {
			return invalidValue("cannot remove local route %s in route table %s", to, t.ID)
		}
		i := routeIndex(t, to)
		if i < 0 {
			return wire.Errorf(400, "InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", to, t.ID)
		}
		t.Routes = slices.Delete(t.Routes, i, i+1)
		store.RouteTables.Put(tx, t)
		return nil
	})
}

// CreateRouteTable makes a route table with the local routes alone.
func (s *Service) CreateRouteTable(ctx context.Context, in *ec2.CreateRouteTableInput) (*ec2.CreateRouteTableOutput, error) {
	tags, err := tagsFor(kindRouteTable.typ, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	var out *ec2.RouteTable
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		v, err := find(tx, c, store.VPCs, kindVPC, wire.Val(in.VpcId))
		if err != nil {
			return err
		}
		out = routeTableShape(tx, vpc.CreateRouteTable(tx, v, tags))
		return nil
	})
	return &ec2.CreateRouteTableOutput{RouteTable: out, ClientToken: in.ClientToken}, err
}

// DeleteRouteTable removes a route table that no subnet uses.
func (s *Service) DeleteRouteTable(ctx context.Context, in *ec2.DeleteRouteTableInput) (*ec2.DeleteRouteTableOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		t, err := find(tx, c, store.RouteTables, kindRouteTable, wire.Val(in.RouteTableId))
		if err != nil {
			return err
		}
		if t.Main != "" || len(t.Associations) > 0 {
			return dependency("routeTable", t.ID)
		}
		store.RouteTables.Delete(tx, t.ID)
		return nil
	})
}

// associationOf returns the place of a subnet's association in a table, -1 if
// there is none.
func associationOf(t *resource.RouteTable, subnet string) int {
	return slices.IndexFunc(t.Associations, func(a resource.RouteTableAssociation) bool { return a.Subnet == subnet })
}

// AssociateRouteTable makes a subnet use a route table instead of the main one.
func (s *Service) AssociateRouteTable(ctx context.Context, in *ec2.AssociateRouteTableInput) (*ec2.AssociateRouteTableOutput, error) {
	if in.GatewayId != nil {
		return nil, unsupported("Route tables of gateways are not supported.")
	}
	if in.SubnetId == nil {
		return nil, missing("subnetId")
	}
	var id string
	err := s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		t, err := find(tx, c, store.RouteTables, kindRouteTable, wire.Val(in.RouteTableId))
		if err != nil {
			return err
		}
		subnet, err := find(tx, c, store.Subnets, kindSubnet, *in.SubnetId)
		if err != nil {
			return err
		}
		if subnet.VPC != t.VPC {
			return invalidValue("route table %s and subnet %s belong to different networks", t.ID, subnet.ID)
		}
		if i := associationOf(t, subnet.ID); i >= 0 {
			id = t.Associations[i].ID
			return nil
		}
		for other := range store.RouteTables.Scan(tx) {
			if other.VPC == t.VPC && associationOf(other, subnet.ID) >= 0 {
				return wire.Errorf(400, "Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.ID)
			}
		}
		id = vpc.NewID("rtbassoc")
		t.Associations = append(t.Associations, resource.RouteTableAssociation{ID: id, Subnet: subnet.ID})
		store.RouteTables.Put(tx, t)
		return nil
	})
	return &ec2.AssociateRouteTableOutput{AssociationId: &id, AssociationState: associatedState()}, err
}

func associatedState() *ec2.RouteTableAssociationState {
	return &ec2.RouteTableAssociationState{State: wire.Ptr(ec2.RouteTableAssociationStateCodeAssociated)}
}

// findAssociation returns the caller's route table with this association, and
// its place among the table's; -1 if it is that of the main table.
func findAssociation(tx *store.Tx, c caller, id string) (*resource.RouteTable, int, error) {
	for t := range store.RouteTables.Scan(tx) {
		if !c.owns(t.Metadata()) {
			continue
		}
		i := slices.IndexFunc(t.Associations, func(a resource.RouteTableAssociation) bool { return a.ID == id })
		if i >= 0 || t.Main == id {
			own, _ := store.RouteTables.Get(tx, t.ID)
			return own, i, nil
		}
	}
	return nil, 0, wire.Errorf(400, "InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
}

// DisassociateRouteTable makes a subnet use the main route table again.
func (s *Service) DisassociateRouteTable(ctx context.Context, in *ec2.DisassociateRouteTableInput) (*ec2.DisassociateRouteTableOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		id := wire.Val(in.AssociationId)
		t, i, err := findAssociation(tx, c, id)
		if err != nil {
			return err
		}
		if i < 0 {
			return invalidValue("cannot disassociate the main route table association %s", id)
		}
		t.Associations = slices.Delete(t.Associations, i, i+1)
		store.RouteTables.Put(tx, t)
		return nil
	})
}

// ReplaceRouteTableAssociation makes a subnet use another table, or makes
// another table the main one.
func (s *Service) ReplaceRouteTableAssociation(ctx context.Context, in *ec2.ReplaceRouteTableAssociationInput) (*ec2.ReplaceRouteTableAssociationOutput, error) {
	id := vpc.NewID("rtbassoc")
	err := s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		from, i, err := findAssociation(tx, c, wire.Val(in.AssociationId))
		if err != nil {
			return err
		}
		to, err := find(tx, c, store.RouteTables, kindRouteTable, wire.Val(in.RouteTableId))
		if err != nil {
			return err
		}
		if to.VPC != from.VPC {
			return invalidValue("route table %s and network %s belong to different networks", to.ID, from.VPC)
		}
		if to.ID == from.ID {
			to = from
		}
		if i < 0 {
			from.Main = ""
			to.Main = id
		} else {
			subnet := from.Associations[i].Subnet
			from.Associations = slices.Delete(from.Associations, i, i+1)
			to.Associations = append(to.Associations, resource.RouteTableAssociation{ID: id, Subnet: subnet})
		}
		store.RouteTables.Put(tx, from)
		store.RouteTables.Put(tx, to)
		return nil
	})
	return &ec2.ReplaceRouteTableAssociationOutput{NewAssociationId: &id, AssociationState: associatedState()}, err
}
