package ec2

import (
	"context"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// CreateVpc makes a VPC with its main route table and default security group.
func (s *Service) CreateVpc(ctx context.Context, in *ec2.CreateVpcInput) (*ec2.CreateVpcOutput, error) {
	if wire.Val(in.AmazonProvidedIpv6CidrBlock) || in.Ipv6CidrBlock != nil || in.Ipv6IpamPoolId != nil || in.Ipv6Pool != nil {
		return nil, unsupported("IPv6 ranges are not supported.")
	}
	if in.Ipv4IpamPoolId != nil {
		return nil, unsupported("IPAM pools are not supported.")
	}
	if in.CidrBlock == nil {
		return nil, wire.Errorf(400, "MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
	}
	cidr, err := parseRange("cidrBlock", *in.CidrBlock)
	if err != nil {
		return nil, err
	}
	if t := wire.Val(in.InstanceTenancy); t != "" && t != ec2.TenancyDefault {
		return nil, wire.Errorf(400, "UnsupportedTenancy", "The tenancy value %s is not supported.", t)
	}
	tags, err := tagsFor(kindVPC.typ, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	var v *resource.VPC
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		v, err = vpc.CreateVPC(tx, vpc.VPCSpec{Account: c.account, Region: c.region, CIDR: cidr, Tags: tags})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ec2.CreateVpcOutput{Vpc: vpcShape(v)}, nil
}

// parseRange reads an IPv4 range and clears its host bits, as AWS does.
func parseRange(parameter, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, invalidValue("Value (%s) for parameter %s is invalid. This is not a valid CIDR block.", s, parameter)
	}
	return p.Masked(), nil
}

// DeleteVpc removes a VPC in which nothing is left but what came with it.
func (s *Service) DeleteVpc(ctx context.Context, in *ec2.DeleteVpcInput) (*ec2.DeleteVpcOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		v, err := find(tx, c, store.VPCs, kindVPC, wire.Val(in.VpcId))
		if err != nil {
			return err
		}
		if vpcInUse(tx, v) {
			return dependency("vpc", v.ID)
		}
		vpc.DeleteVPC(tx, v)
		return nil
	})
}

func vpcInUse(r store.Reader, v *resource.VPC) bool {
	for x := range store.Subnets.Scan(r) {
		if x.VPC == v.ID {
			return true
		}
	}
	for x := range store.InternetGateways.Scan(r) {
		if x.VPC == v.ID {
			return true
		}
	}
	for x := range store.VPNGateways.Scan(r) {
		if x.VPC == v.ID {
			return true
		}
	}
	for x := range store.RouteTables.Scan(r) {
		if x.VPC == v.ID && x.Main == "" {
			return true
		}
	}
	for x := range store.SecurityGroups.Scan(r) {
		if x.VPC == v.ID && x.ID != v.DefaultGroup {
			return true
		}
	}
	for x := range store.VPCEndpoints.Scan(r) {
		if x.VPC == v.ID {
			return true
		}
	}
	for x := range store.TargetGroups.Scan(r) {
		if x.VPC == v.ID {
			return true
		}
	}
	return false
}

// ModifyVpcAttribute turns the VPC's DNS on or off.
func (s *Service) ModifyVpcAttribute(ctx context.Context, in *ec2.ModifyVpcAttributeInput) (*ec2.ModifyVpcAttributeOutput, error) {
	if in.EnableDnsHostnames != nil && in.EnableDnsSupport != nil {
		return nil, wire.Errorf(400, "InvalidParameterCombination", "Fields for multiple attribute types specified: enableDnsSupport, enableDnsHostnames")
	}
	if in.EnableNetworkAddressUsageMetrics != nil && wire.Val(in.EnableNetworkAddressUsageMetrics.Value) {
		return nil, unsupported("Network address usage metrics are not supported.")
	}
	return nil, s.update(ctx, nil, func(tx *store.Tx, c caller) error {
		v, err := find(tx, c, store.VPCs, kindVPC, wire.Val(in.VpcId))
		if err != nil {
			return err
		}
		if a := in.EnableDnsSupport; a != nil {
			v.EnableDNSSupport = wire.Val(a.Value)
		}
		if a := in.EnableDnsHostnames; a != nil {
			v.EnableDNSHostnames = wire.Val(a.Value)
		}
		store.VPCs.Put(tx, v)
		return nil
	})
}

// DescribeVpcAttribute tells one attribute of a VPC.
func (s *Service) DescribeVpcAttribute(ctx context.Context, in *ec2.DescribeVpcAttributeInput) (*ec2.DescribeVpcAttributeOutput, error) {
	v, err := find(s.db.View(), callerOf(ctx), store.VPCs, kindVPC, wire.Val(in.VpcId))
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVpcAttributeOutput{VpcId: &v.ID}
	switch a := wire.Val(in.Attribute); a {
	case ec2.VpcAttributeNameEnableDnsSupport:
		out.EnableDnsSupport = &ec2.AttributeBooleanValue{Value: &v.EnableDNSSupport}
	case ec2.VpcAttributeNameEnableDnsHostnames:
		out.EnableDnsHostnames = &ec2.AttributeBooleanValue{Value: &v.EnableDNSHostnames}
	case ec2.VpcAttributeNameEnableNetworkAddressUsageMetrics:
		out.EnableNetworkAddressUsageMetrics = &ec2.AttributeBooleanValue{Value: wire.Ptr(false)}
	default:
		return nil, invalidValue("Value (%s) for parameter attribute is invalid. Unknown attribute.", a)
	}
	return out, nil
}

// DescribeVpcs lists VPCs.
func (s *Service) DescribeVpcs(ctx context.Context, in *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
	rows, err := pick(s.db.View(), callerOf(ctx), store.VPCs, kindVPC, in.VpcIds)
	if err != nil {
		return nil, err
	}
	page, next, err := vpcListing.apply(shapes(rows, vpcShape), in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeVpcsOutput{Vpcs: page, NextToken: next}, err
}

// shapes turns rows into what the wire shows of them.
func shapes[R, S any](rows []R, shape func(R) S) []S {
	list := make([]S, len(rows))
	for i, r := range rows {
		list[i] = shape(r)
	}
	return list
}

func vpcShape(v *resource.VPC) *ec2.Vpc {
	out := &ec2.Vpc{
		VpcId:           &v.ID,
		OwnerId:         &v.Account,
		CidrBlock:       wire.Ptr(v.CIDRs[0].String()),
		DhcpOptionsId:   wire.Ptr(dhcpOptionsID(v.Account, v.Region)),
		InstanceTenancy: wire.Ptr(ec2.TenancyDefault),
		IsDefault:       &v.Default,
		State:           wire.Ptr(ec2.VpcStateAvailable),
		Tags:            tagList(v.Tags),
	}
	for _, p := range v.CIDRs {
		out.CidrBlockAssociationSet = append(out.CidrBlockAssociationSet, &ec2.VpcCidrBlockAssociation{
			AssociationId:  wire.Ptr(vpc.StableID("vpc-cidr-assoc", v.ID, p.String())),
			CidrBlock:      wire.Ptr(p.String()),
			CidrBlockState: &ec2.VpcCidrBlockState{State: wire.Ptr(ec2.VpcCidrBlockStateCodeAssociated)},
		})
	}
	return out
}

var vpcListing = listing[*ec2.Vpc]{
	id:   func(v *ec2.Vpc) *string { return v.VpcId },
	tags: func(v *ec2.Vpc) []*ec2.Tag { return v.Tags },
	fields: fields[*ec2.Vpc]{
		"vpc-id":          func(v *ec2.Vpc) []string { return text(v.VpcId) },
		"owner-id":        func(v *ec2.Vpc) []string { return text(v.OwnerId) },
		"cidr":            func(v *ec2.Vpc) []string { return text(v.CidrBlock) },
		"cidr-block":      func(v *ec2.Vpc) []string { return text(v.CidrBlock) },
		"cidrBlock":       func(v *ec2.Vpc) []string { return text(v.CidrBlock) },
		"dhcp-options-id": func(v *ec2.Vpc) []string { return text(v.DhcpOptionsId) },
		"dhcpOptionsId":   func(v *ec2.Vpc) []string { return text(v.DhcpOptionsId) },
		"is-default":      func(v *ec2.Vpc) []string { return boolean(v.IsDefault) },
		"isDefault":       func(v *ec2.Vpc) []string { return boolean(v.IsDefault) },
		"state":           func(v *ec2.Vpc) []string { return text(v.State) },
		"cidr-block-association.cidr-block": func(v *ec2.Vpc) []string {
			return each(v.CidrBlockAssociationSet, func(a *ec2.VpcCidrBlockAssociation) []string { return text(a.CidrBlock) })
		},
		"cidr-block-association.association-id": func(v *ec2.Vpc) []string {
			return each(v.CidrBlockAssociationSet, func(a *ec2.VpcCidrBlockAssociation) []string { return text(a.AssociationId) })
		},
		"cidr-block-association.state":                always[*ec2.Vpc](ec2.VpcCidrBlockStateCodeAssociated),
		"ipv6-cidr-block-association.ipv6-cidr-block": never[*ec2.Vpc],
		"ipv6-cidr-block-association.ipv6-pool":       never[*ec2.Vpc],
		"ipv6-cidr-block-association.association-id":  never[*ec2.Vpc],
		"ipv6-cidr-block-association.state":           never[*ec2.Vpc],
	},
}
