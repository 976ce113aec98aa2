package ec2

import (
	"context"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// CreateInternetGateway makes an internet gateway of no VPC yet.
func (s *Service) CreateInternetGateway(ctx context.Context, in *ec2.CreateInternetGatewayInput) (*ec2.CreateInternetGatewayOutput, error) {
	tags, err := tagsFor(kindInternetGateway.typ, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	var g *resource.InternetGateway
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		g = &resource.InternetGateway{
			Meta: resource.Meta{Account: c.account, Region: c.region, Created: time.Now().UTC(), Tags: tags},
			ID:   vpc.NewID("igw"),
		}
		store.InternetGateways.Put(tx, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ec2.CreateInternetGatewayOutput{InternetGateway: gatewayShape(g)}, nil
}

// DeleteInternetGateway removes a gateway that is not attached.
func (s *Service) DeleteInternetGateway(ctx context.Context, in *ec2.DeleteInternetGatewayInput) (*ec2.DeleteInternetGatewayOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.InternetGateways, kindInternetGateway, wire.Val(in.InternetGatewayId))
		if err != nil {
			return err
		}
		if g.VPC != "" {
			return dependency("internetGateway", g.ID)
		}
		store.InternetGateways.Delete(tx, g.ID)
		// Routes to it lead nowhere now, as AWS shows them.
		for _, t := range store.RouteTables.List(tx) {
			changed := false
			for i := range t.Routes {
				if r := &t.Routes[i]; r.Target == g.ID && r.Kind != resource.RouteBlackhole {
					r.Kind, changed = resource.RouteBlackhole, true
				}
			}
			if changed {
				store.RouteTables.Put(tx, t)
			}
		}
		return nil
	})
}

// AttachInternetGateway gives a VPC a gateway; it can have one.
func (s *Service) AttachInternetGateway(ctx context.Context, in *ec2.AttachInternetGatewayInput) (*ec2.AttachInternetGatewayOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.InternetGateways, kindInternetGateway, wire.Val(in.InternetGatewayId))
		if err != nil {
			return err
		}
		v, err := find(tx, c, store.VPCs, kindVPC, wire.Val(in.VpcId))
		if err != nil {
			return err
		}
		if g.VPC != "" {
			return wire.Errorf(400, "Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.ID, g.VPC)
		}
		for other := range store.InternetGateways.Scan(tx) {
			if other.VPC == v.ID {
				return invalidValue("Network %s already has an internet gateway attached", v.ID)
			}
		}
		g.VPC = v.ID
		store.InternetGateways.Put(tx, g)
		return nil
	})
}

// DetachInternetGateway takes a gateway from its VPC.
func (s *Service) DetachInternetGateway(ctx context.Context, in *ec2.DetachInternetGatewayInput) (*ec2.DetachInternetGatewayOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.InternetGateways, kindInternetGateway, wire.Val(in.InternetGatewayId))
		if err != nil {
			return err
		}
		v, err := find(tx, c, store.VPCs, kindVPC, wire.Val(in.VpcId))
		if err != nil {
			return err
		}
		if g.VPC != v.ID {
			return wire.Errorf(400, "Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, v.ID)
		}
		g.VPC = ""
		store.InternetGateways.Put(tx, g)
		return nil
	})
}

// DescribeInternetGateways lists internet gateways.
func (s *Service) DescribeInternetGateways(ctx context.Context, in *ec2.DescribeInternetGatewaysInput) (*ec2.DescribeInternetGatewaysOutput, error) {
	rows, err := pick(s.db.View(), callerOf(ctx), store.InternetGateways, kindInternetGateway, in.InternetGatewayIds)
	if err != nil {
		return nil, err
	}
	page, next, err := gatewayListing.apply(shapes(rows, gatewayShape), in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeInternetGatewaysOutput{InternetGateways: page, NextToken: next}, err
}

func gatewayShape(g *resource.InternetGateway) *ec2.InternetGateway {
	out := &ec2.InternetGateway{InternetGatewayId: &g.ID, OwnerId: &g.Account, Tags: tagList(g.Tags)}
	if g.VPC != "" {
		// EC2 has a word of its own for an attached internet gateway.
		out.Attachments = []*ec2.InternetGatewayAttachment{{VpcId: &g.VPC, State: wire.Ptr("available")}}
	}
	return out
}

var gatewayListing = listing[*ec2.InternetGateway]{
	id:   func(g *ec2.InternetGateway) *string { return g.InternetGatewayId },
	tags: func(g *ec2.InternetGateway) []*ec2.Tag { return g.Tags },
	fields: fields[*ec2.InternetGateway]{
		"internet-gateway-id": func(g *ec2.InternetGateway) []string { return text(g.InternetGatewayId) },
		"owner-id":            func(g *ec2.InternetGateway) []string { return text(g.OwnerId) },
		"attachment.state": func(g *ec2.InternetGateway) []string {
			return each(g.Attachments, func(a *ec2.InternetGatewayAttachment) []string { return text(a.State) })
		},
		"attachment.vpc-id": func(g *ec2.InternetGateway) []string {
			return each(g.Attachments, func(a *ec2.InternetGatewayAttachment) []string { return text(a.VpcId) })
		},
	},
}
