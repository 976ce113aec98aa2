package ec2

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// CreateVpnGateway makes a virtual private gateway of no VPC yet.
func (s *Service) CreateVpnGateway(ctx context.Context, in *ec2.CreateVpnGatewayInput) (*ec2.CreateVpnGatewayOutput, error) {
	tags, err := tagsFor(kindVPNGateway.typ, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	if t := wire.Val(in.Type); t != ec2.GatewayTypeIpsec1 {
		return nil, invalidValue("Value (%s) for parameter type is invalid. Supported types: [ipsec.1].", t)
	}
	asn := int64(vpc.DefaultAmazonASN)
	if in.AmazonSideAsn != nil {
		asn = *in.AmazonSideAsn
	}
	if !vpc.PrivateASN(asn) {
		return nil, invalidValue("Value (%d) for parameter amazonSideAsn is invalid. It must be a private ASN: 64512-65534 or 4200000000-4294967294.", asn)
	}
	var g *resource.VPNGateway
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		zone := wire.Val(in.AvailabilityZone)
		if zone != "" && vpc.ZoneID(c.region, zone) == "" {
			return invalidValue("Invalid availability zone: [%s]", zone)
		}
		g = &resource.VPNGateway{
			Meta: resource.Meta{Account: c.account, Region: c.region, Created: time.Now().UTC(), Tags: tags},
			ID:   vpc.NewID("vgw"), ASN: asn, Zone: zone,
		}
		store.VPNGateways.Put(tx, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ec2.CreateVpnGatewayOutput{VpnGateway: vpnGatewayShape(g)}, nil
}

// DeleteVpnGateway removes a gateway that nothing is attached to.
func (s *Service) DeleteVpnGateway(ctx context.Context, in *ec2.DeleteVpnGatewayInput) (*ec2.DeleteVpnGatewayOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.VPNGateways, kindVPNGateway, wire.Val(in.VpnGatewayId))
		if err != nil {
			return err
		}
		if g.VPC != "" {
			return wire.Errorf(400, "IncorrectState", "The vpnGateway '%s' is attached to %s and cannot be deleted.", g.ID, g.VPC)
		}
		for v := range store.VirtualInterfaces.Scan(tx) {
			if v.Gateway == g.ID {
				return wire.Errorf(400, "IncorrectState", "The vpnGateway '%s' has virtual interface %s and cannot be deleted.", g.ID, v.ID)
			}
		}
		store.VPNGateways.Delete(tx, g.ID)
		return nil
	})
}

// AttachVpnGateway gives a VPC a gateway; it can have one.
func (s *Service) AttachVpnGateway(ctx context.Context, in *ec2.AttachVpnGatewayInput) (*ec2.AttachVpnGatewayOutput, error) {
	err := s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.VPNGateways, kindVPNGateway, wire.Val(in.VpnGatewayId))
		if err != nil {
			return err
		}
		v, err := find(tx, c, store.VPCs, kindVPC, wire.Val(in.VpcId))
		if err != nil {
			return err
		}
		if g.VPC == v.ID {
			return nil
		}
		if g.VPC != "" {
			return wire.Errorf(400, "VpnGatewayAttachmentLimitExceeded", "The maximum number of virtual private gateway attachments has been reached.")
		}
		for other := range store.VPNGateways.Scan(tx) {
			if other.VPC == v.ID {
				return wire.Errorf(400, "VpnGatewayAttachmentLimitExceeded", "VPC %s is already attached to vpn gateway %s", v.ID, other.ID)
			}
		}
		for x := range store.VirtualInterfaces.Scan(tx) {
			if x.Gateway == g.ID && v.Overlaps(x.AmazonAddress.Masked()) {
				return invalidValue("The addresses %s and %s of virtual interface %s of %s overlap with a range of %s", x.AmazonAddress, x.CustomerAddress, x.ID, g.ID, v.ID)
			}
		}
		g.VPC = v.ID
		store.VPNGateways.Put(tx, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ec2.AttachVpnGatewayOutput{VpcAttachment: vpnAttachment(*in.VpcId)}, nil
}

// DetachVpnGateway takes a gateway from its VPC, and its learned routes from
// the VPC's tables.
func (s *Service) DetachVpnGateway(ctx context.Context, in *ec2.DetachVpnGatewayInput) (*ec2.DetachVpnGatewayOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.VPNGateways, kindVPNGateway, wire.Val(in.VpnGatewayId))
		if err != nil {
			return err
		}
		if id := wire.Val(in.VpcId); g.VPC == "" || g.VPC != id {
			return wire.Errorf(400, "InvalidVpnGatewayAttachment.NotFound", "The attachment with vpn gateway ID '%s' and vpc ID '%s' does not exist.", g.ID, id)
		}
		g.VPC = ""
		store.VPNGateways.Put(tx, g)
		for v := range store.VirtualInterfaces.Scan(tx) {
			if v.Gateway == g.ID {
				store.BGPSessions.Delete(tx, v.ID)
			}
		}
		for _, t := range store.RouteTables.List(tx) {
			t.Propagating = without(t.Propagating, g.ID)
			store.RouteTables.Put(tx, t) // writes nothing if nothing changed
		}
		return nil
	})
}

func without(list []string, gone string) []string {
	list = slices.DeleteFunc(list, func(s string) bool { return s == gone })
	if len(list) == 0 {
		return nil
	}
	return list
}

// EnableVgwRoutePropagation gives a table the routes that a gateway learns.
func (s *Service) EnableVgwRoutePropagation(ctx context.Context, in *ec2.EnableVgwRoutePropagationInput) (*ec2.EnableVgwRoutePropagationOutput, error) {
	return nil, s.propagation(ctx, in.DryRun, in.RouteTableId, in.GatewayId, func(t *resource.RouteTable, g *resource.VPNGateway) error {
		if g.VPC != t.VPC {
			return wire.Errorf(400, "Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, t.VPC)
		}
		if !slices.Contains(t.Propagating, g.ID) {
			t.Propagating = append(t.Propagating, g.ID)
		}
		return nil
	})
}

// DisableVgwRoutePropagation takes a gateway's learned routes from a table.
func (s *Service) DisableVgwRoutePropagation(ctx context.Context, in *ec2.DisableVgwRoutePropagationInput) (*ec2.DisableVgwRoutePropagationOutput, error) {
	return nil, s.propagation(ctx, in.DryRun, in.RouteTableId, in.GatewayId, func(t *resource.RouteTable, g *resource.VPNGateway) error {
		t.Propagating = without(t.Propagating, g.ID)
		return nil
	})
}

func (s *Service) propagation(ctx context.Context, dryRun *bool, table, gateway *string, change func(*resource.RouteTable, *resource.VPNGateway) error) error {
	return s.update(ctx, dryRun, func(tx *store.Tx, c caller) error {
		t, err := find(tx, c, store.RouteTables, kindRouteTable, wire.Val(table))
		if err != nil {
			return err
		}
		g, err := find(tx, c, store.VPNGateways, kindVPNGateway, wire.Val(gateway))
		if err != nil {
			return err
		}
		if err := change(t, g); err != nil {
			return err
		}
		store.RouteTables.Put(tx, t)
		return nil
	})
}

// DescribeVpnGateways lists virtual private gateways.
func (s *Service) DescribeVpnGateways(ctx context.Context, in *ec2.DescribeVpnGatewaysInput) (*ec2.DescribeVpnGatewaysOutput, error) {
	rows, err := pick(s.db.View(), callerOf(ctx), store.VPNGateways, kindVPNGateway, in.VpnGatewayIds)
	if err != nil {
		return nil, err
	}
	all, _, err := vpnGatewayListing.apply(shapes(rows, vpnGatewayShape), in.Filters, nil, nil)
	return &ec2.DescribeVpnGatewaysOutput{VpnGateways: all}, err
}

func vpnGatewayShape(g *resource.VPNGateway) *ec2.VpnGateway {
	out := &ec2.VpnGateway{
		VpnGatewayId: &g.ID, AmazonSideAsn: &g.ASN, AvailabilityZone: optional(g.Zone), Tags: tagList(g.Tags),
		State: wire.Ptr(ec2.VpnStateAvailable), Type: wire.Ptr(ec2.GatewayTypeIpsec1),
	}
	if g.VPC != "" {
		out.VpcAttachments = []*ec2.VpcAttachment{vpnAttachment(g.VPC)}
	}
	return out
}

func vpnAttachment(vpc string) *ec2.VpcAttachment {
	return &ec2.VpcAttachment{VpcId: &vpc, State: wire.Ptr(ec2.AttachmentStatusAttached)}
}

func vpnAttachments(get func(*ec2.VpcAttachment) []string) func(*ec2.VpnGateway) []string {
	return func(g *ec2.VpnGateway) []string { return each(g.VpcAttachments, get) }
}

var vpnGatewayListing = listing[*ec2.VpnGateway]{
	id:   func(g *ec2.VpnGateway) *string { return g.VpnGatewayId },
	tags: func(g *ec2.VpnGateway) []*ec2.Tag { return g.Tags },
	fields: fields[*ec2.VpnGateway]{
		"amazon-side-asn":   func(g *ec2.VpnGateway) []string { return []string{strconv.FormatInt(*g.AmazonSideAsn, 10)} },
		"attachment.state":  vpnAttachments(func(a *ec2.VpcAttachment) []string { return text(a.State) }),
		"attachment.vpc-id": vpnAttachments(func(a *ec2.VpcAttachment) []string { return text(a.VpcId) }),
		"availability-zone": func(g *ec2.VpnGateway) []string { return text(g.AvailabilityZone) },
		"state":             func(g *ec2.VpnGateway) []string { return text(g.State) },
		"type":              func(g *ec2.VpnGateway) []string { return text(g.Type) },
		"vpn-gateway-id":    func(g *ec2.VpnGateway) []string { return text(g.VpnGatewayId) },
	},
}
