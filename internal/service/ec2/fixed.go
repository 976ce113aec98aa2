package ec2

import (
	"context"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// This file has what AWS shows of every network and nobody can change here.

// DescribeNetworkAcls lists the default network ACL of each VPC, which lets
// everything pass.
func (s *Service) DescribeNetworkAcls(ctx context.Context, in *ec2.DescribeNetworkAclsInput) (*ec2.DescribeNetworkAclsOutput, error) {
	c, r := callerOf(ctx), s.db.View()
	vpcs, err := pick(r, c, store.VPCs, kindVPC, nil)
	if err != nil {
		return nil, err
	}
	subnets := make(map[string][]*resource.Subnet)
	for n := range store.Subnets.Scan(r) {
		subnets[n.VPC] = append(subnets[n.VPC], n)
	}
	items := shapes(vpcs, func(v *resource.VPC) *ec2.NetworkAcl { return defaultACL(v, subnets[v.ID]) })
	if items, err = named(items, aclListing.id, kindACL, in.NetworkAclIds); err != nil {
		return nil, err
	}
	page, next, err := aclListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeNetworkAclsOutput{NetworkAcls: page, NextToken: next}, err
}

// named returns the items with these ids, all if there are none, sorted.
func named[T any](items []T, id func(T) *string, k kind, ids []string) ([]T, error) {
	slices.SortFunc(items, func(a, b T) int {
		if *id(a) < *id(b) {
			return -1
		}
		return 1
	})
	if len(ids) == 0 {
		return items, nil
	}
	var picked []T
	var absent []string
	for _, want := range sortedUnique(ids) {
		i := slices.IndexFunc(items, func(item T) bool { return *id(item) == want })
		if i < 0 {
			absent = append(absent, want)
			continue
		}
		picked = append(picked, items[i])
	}
	if len(absent) > 0 {
		return nil, k.notFound(absent...)
	}
	return picked, nil
}

// The numbers that AWS gives to the rules of a default ACL.
const (
	aclAllow = 100
	aclRest  = 32767
)

func defaultACL(v *resource.VPC, subnets []*resource.Subnet) *ec2.NetworkAcl {
	acl := &ec2.NetworkAcl{
		NetworkAclId: wire.Ptr(vpc.StableID("acl", v.ID)),
		IsDefault:    wire.Ptr(true),
		OwnerId:      &v.Account,
		VpcId:        &v.ID,
		Tags:         tagList(nil),
	}
	for _, egress := range []bool{true, false} {
		for _, e := range []struct {
			number int64
			action string
		}{{aclAllow, ec2.RuleActionAllow}, {aclRest, ec2.RuleActionDeny}} {
			acl.Entries = append(acl.Entries, &ec2.NetworkAclEntry{
				CidrBlock: wire.Ptr("0.0.0.0/0"), Egress: wire.Ptr(egress), Protocol: wire.Ptr("-1"),
				RuleAction: wire.Ptr(e.action), RuleNumber: wire.Ptr(e.number),
			})
		}
	}
	for _, n := range subnets {
		acl.Associations = append(acl.Associations, &ec2.NetworkAclAssociation{
			NetworkAclAssociationId: wire.Ptr(vpc.StableID("aclassoc", n.ID)), NetworkAclId: acl.NetworkAclId, SubnetId: &n.ID,
		})
	}
	return acl
}

func aclEntries(get func(*ec2.NetworkAclEntry) []string) func(*ec2.NetworkAcl) []string {
	return func(a *ec2.NetworkAcl) []string { return each(a.Entries, get) }
}

func aclAssociations(get func(*ec2.NetworkAclAssociation) []string) func(*ec2.NetworkAcl) []string {
	return func(a *ec2.NetworkAcl) []string { return each(a.Associations, get) }
}

var aclListing = listing[*ec2.NetworkAcl]{
	id:   func(a *ec2.NetworkAcl) *string { return a.NetworkAclId },
	tags: func(a *ec2.NetworkAcl) []*ec2.Tag { return a.Tags },
	fields: fields[*ec2.NetworkAcl]{
		"default":        func(a *ec2.NetworkAcl) []string { return boolean(a.IsDefault) },
		"network-acl-id": func(a *ec2.NetworkAcl) []string { return text(a.NetworkAclId) },
		"owner-id":       func(a *ec2.NetworkAcl) []string { return text(a.OwnerId) },
		"vpc-id":         func(a *ec2.NetworkAcl) []string { return text(a.VpcId) },

		"association.association-id": aclAssociations(func(a *ec2.NetworkAclAssociation) []string { return text(a.NetworkAclAssociationId) }),
		"association.network-acl-id": aclAssociations(func(a *ec2.NetworkAclAssociation) []string { return text(a.NetworkAclId) }),
		"association.subnet-id":      aclAssociations(func(a *ec2.NetworkAclAssociation) []string { return text(a.SubnetId) }),

		"entry.cidr":            aclEntries(func(e *ec2.NetworkAclEntry) []string { return text(e.CidrBlock) }),
		"entry.egress":          aclEntries(func(e *ec2.NetworkAclEntry) []string { return boolean(e.Egress) }),
		"entry.protocol":        aclEntries(func(e *ec2.NetworkAclEntry) []string { return text(e.Protocol) }),
		"entry.rule-action":     aclEntries(func(e *ec2.NetworkAclEntry) []string { return text(e.RuleAction) }),
		"entry.rule-number":     aclEntries(func(e *ec2.NetworkAclEntry) []string { return number(e.RuleNumber) }),
		"entry.icmp.code":       never[*ec2.NetworkAcl],
		"entry.icmp.type":       never[*ec2.NetworkAcl],
		"entry.ipv6-cidr":       never[*ec2.NetworkAcl],
		"entry.port-range.from": never[*ec2.NetworkAcl],
		"entry.port-range.to":   never[*ec2.NetworkAcl],
	},
}

// dhcpOptionsID is the id of the DHCP options that an account has by default.
func dhcpOptionsID(account, region string) string { return vpc.StableID("dopt", account, region) }

// DescribeDhcpOptions lists the default DHCP options, which all VPCs use.
func (s *Service) DescribeDhcpOptions(ctx context.Context, in *ec2.DescribeDhcpOptionsInput) (*ec2.DescribeDhcpOptionsOutput, error) {
	c := callerOf(ctx)
	item := func(key, value string) *ec2.DhcpConfiguration {
		return &ec2.DhcpConfiguration{Key: wire.Ptr(key), Values: []*ec2.AttributeValue{{Value: wire.Ptr(value)}}}
	}
	items, err := named([]*ec2.DhcpOptions{{
		DhcpOptionsId: wire.Ptr(dhcpOptionsID(c.account, c.region)),
		OwnerId:       wire.Ptr(c.account),
		Tags:          tagList(nil),
		DhcpConfigurations: []*ec2.DhcpConfiguration{
			item("domain-name", resource.HostDomain(c.region)), item("domain-name-servers", "AmazonProvidedDNS"),
		},
	}}, dhcpListing.id, kindDHCPOptions, in.DhcpOptionsIds)
	if err != nil {
		return nil, err
	}
	page, next, err := dhcpListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeDhcpOptionsOutput{DhcpOptions: page, NextToken: next}, err
}

var dhcpListing = listing[*ec2.DhcpOptions]{
	id:   func(d *ec2.DhcpOptions) *string { return d.DhcpOptionsId },
	tags: func(d *ec2.DhcpOptions) []*ec2.Tag { return d.Tags },
	fields: fields[*ec2.DhcpOptions]{
		"dhcp-options-id": func(d *ec2.DhcpOptions) []string { return text(d.DhcpOptionsId) },
		"owner-id":        func(d *ec2.DhcpOptions) []string { return text(d.OwnerId) },
		"key": func(d *ec2.DhcpOptions) []string {
			return each(d.DhcpConfigurations, func(c *ec2.DhcpConfiguration) []string { return text(c.Key) })
		},
		"value": func(d *ec2.DhcpOptions) []string {
			return each(d.DhcpConfigurations, func(c *ec2.DhcpConfiguration) []string {
				return each(c.Values, func(v *ec2.AttributeValue) []string { return text(v.Value) })
			})
		},
	},
}

// DescribePrefixLists lists nothing: there are no gateway endpoints, whose
// services prefix lists stand for.
func (s *Service) DescribePrefixLists(_ context.Context, in *ec2.DescribePrefixListsInput) (*ec2.DescribePrefixListsOutput, error) {
	if len(in.PrefixListIds) > 0 {
		return nil, kindPrefixList.notFound(in.PrefixListIds...)
	}
	return &ec2.DescribePrefixListsOutput{}, nil
}

// DescribeVpcClassicLink lists nothing, as AWS does since EC2-Classic is gone.
func (s *Service) DescribeVpcClassicLink(ctx context.Context, in *ec2.DescribeVpcClassicLinkInput) (*ec2.DescribeVpcClassicLinkOutput, error) {
	_, err := pick(s.db.View(), callerOf(ctx), store.VPCs, kindVPC, in.VpcIds)
	return &ec2.DescribeVpcClassicLinkOutput{}, err
}

// DescribeVpcClassicLinkDnsSupport lists nothing, like DescribeVpcClassicLink.
func (s *Service) DescribeVpcClassicLinkDnsSupport(ctx context.Context, in *ec2.DescribeVpcClassicLinkDnsSupportInput) (*ec2.DescribeVpcClassicLinkDnsSupportOutput, error) {
	_, err := pick(s.db.View(), callerOf(ctx), store.VPCs, kindVPC, in.VpcIds)
	return &ec2.DescribeVpcClassicLinkDnsSupportOutput{}, err
}
