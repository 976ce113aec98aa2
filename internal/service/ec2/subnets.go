package ec2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// CreateSubnet makes a subnet.
func (s *Service) CreateSubnet(ctx context.Context, in *ec2.CreateSubnetInput) (*ec2.CreateSubnetOutput, error) {
	if in.Ipv6CidrBlock != nil || wire.Val(in.Ipv6Native) || in.Ipv6IpamPoolId != nil {
		return nil, unsupported("IPv6 ranges are not supported.")
	}
	if in.OutpostArn != nil || in.Ipv4IpamPoolId != nil {
		return nil, unsupported("Outposts and IPAM pools are not supported.")
	}
	if in.CidrBlock == nil {
		return nil, missing("cidrBlock")
	}
	cidr, err := parseRange("cidrBlock", *in.CidrBlock)
	if err != nil {
		return nil, err
	}
	zone := wire.Val(in.AvailabilityZone)
	if id := wire.Val(in.AvailabilityZoneId); id != "" {
		if zone != "" {
			return nil, wire.Errorf(400, "InvalidParameterCombination", "Only one of AvailabilityZone and AvailabilityZoneId may be specified.")
		}
		if zone, err = zoneOf(callerOf(ctx).region, id); err != nil {
			return nil, err
		}
	}
	tags, err := tagsFor(kindSubnet.typ, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	var subnet *resource.Subnet
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		subnet, err = vpc.CreateSubnet(tx, vpc.SubnetSpec{
			Account: c.account, Region: c.region, VPC: wire.Val(in.VpcId), CIDR: cidr, Zone: zone, Tags: tags,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ec2.CreateSubnetOutput{Subnet: subnetShape(subnet)}, nil
}

// zoneOf returns the name of the zone with this id.
func zoneOf(region, id string) (string, error) {
	for _, z := range vpc.Zones(region) {
		if z.ID == id {
			return z.Name, nil
		}
	}
	return "", invalidValue("Value (%s) for parameter availabilityZoneId is invalid.", id)
}

// DeleteSubnet removes a subnet in which no address is taken, and its
// association with a route table.
func (s *Service) DeleteSubnet(ctx context.Context, in *ec2.DeleteSubnetInput) (*ec2.DeleteSubnetOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		subnet, err := find(tx, c, store.Subnets, kindSubnet, wire.Val(in.SubnetId))
		if err != nil {
			return err
		}
		if len(subnet.Taken) > 0 || linkPending(tx, subnet.ID) {
			return dependency("subnet", subnet.ID)
		}
		for _, t := range store.RouteTables.List(tx) {
			if i := associationOf(t, subnet.ID); i >= 0 {
				t.Associations = append(t.Associations[:i], t.Associations[i+1:]...)
				store.RouteTables.Put(tx, t)
			}
		}
		store.Subnets.Delete(tx, subnet.ID)
		return nil
	})
}

// linkPending says whether a VPC link has yet to make its ENI in a subnet.
func linkPending(r store.Reader, subnet string) bool {
	for l := range store.VPCLinksV2.Scan(r) {
		for _, id := range l.Subnets {
			if id == subnet {
				return true
			}
		}
	}
	return false
}

// ModifySubnetAttribute changes whether instances get public addresses; the
// other attributes can only be left as they are.
func (s *Service) ModifySubnetAttribute(ctx context.Context, in *ec2.ModifySubnetAttributeInput) (*ec2.ModifySubnetAttributeOutput, error) {
	for _, a := range []*ec2.AttributeBooleanValue{
		in.AssignIpv6AddressOnCreation, in.EnableDns64, in.MapCustomerOwnedIpOnLaunch,
		in.EnableResourceNameDnsARecordOnLaunch, in.EnableResourceNameDnsAAAARecordOnLaunch,
	} {
		if a != nil && wire.Val(a.Value) {
			return nil, unsupported("Of the attributes of a subnet only MapPublicIpOnLaunch can be turned on.")
		}
	}
	if t := wire.Val(in.PrivateDnsHostnameTypeOnLaunch); t != "" && t != ec2.HostnameTypeIpName {
		return nil, unsupported("Host names of type %s are not supported.", t)
	}
	return nil, s.update(ctx, nil, func(tx *store.Tx, c caller) error {
		subnet, err := find(tx, c, store.Subnets, kindSubnet, wire.Val(in.SubnetId))
		if err != nil {
			return err
		}
		if a := in.MapPublicIpOnLaunch; a != nil {
			subnet.MapPublicIPOnLaunch = wire.Val(a.Value)
		}
		store.Subnets.Put(tx, subnet)
		return nil
	})
}

// DescribeSubnets lists subnets.
func (s *Service) DescribeSubnets(ctx context.Context, in *ec2.DescribeSubnetsInput) (*ec2.DescribeSubnetsOutput, error) {
	rows, err := pick(s.db.View(), callerOf(ctx), store.Subnets, kindSubnet, in.SubnetIds)
	if err != nil {
		return nil, err
	}
	page, next, err := subnetListing.apply(shapes(rows, subnetShape), in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeSubnetsOutput{Subnets: page, NextToken: next}, err
}

func subnetShape(s *resource.Subnet) *ec2.Subnet {
	no := wire.Ptr(false)
	return &ec2.Subnet{
		SubnetId:                    &s.ID,
		SubnetArn:                   wire.Ptr("arn:aws:ec2:" + s.Region + ":" + s.Account + ":subnet/" + s.ID),
		VpcId:                       &s.VPC,
		OwnerId:                     &s.Account,
		AvailabilityZone:            &s.Zone,
		AvailabilityZoneId:          wire.Ptr(vpc.ZoneID(s.Region, s.Zone)),
		AvailableIpAddressCount:     wire.Ptr(int64(vpc.FreeAddresses(s))),
		CidrBlock:                   wire.Ptr(s.CIDR.String()),
		DefaultForAz:                no,
		MapPublicIpOnLaunch:         &s.MapPublicIPOnLaunch,
		MapCustomerOwnedIpOnLaunch:  no,
		AssignIpv6AddressOnCreation: no,
		EnableDns64:                 no,
		Ipv6Native:                  no,
		State:                       wire.Ptr(ec2.SubnetStateAvailable),
		PrivateDnsNameOptionsOnLaunch: &ec2.PrivateDnsNameOptionsOnLaunch{
			HostnameType:                    wire.Ptr(ec2.HostnameTypeIpName),
			EnableResourceNameDnsARecord:    no,
			EnableResourceNameDnsAAAARecord: no,
		},
		Tags: tagList(s.Tags),
	}
}

var subnetListing = listing[*ec2.Subnet]{
	id:   func(s *ec2.Subnet) *string { return s.SubnetId },
	tags: func(s *ec2.Subnet) []*ec2.Tag { return s.Tags },
	fields: fields[*ec2.Subnet]{
		"availability-zone":                 func(s *ec2.Subnet) []string { return text(s.AvailabilityZone) },
		"availabilityZone":                  func(s *ec2.Subnet) []string { return text(s.AvailabilityZone) },
		"availability-zone-id":              func(s *ec2.Subnet) []string { return text(s.AvailabilityZoneId) },
		"availabilityZoneId":                func(s *ec2.Subnet) []string { return text(s.AvailabilityZoneId) },
		"available-ip-address-count":        func(s *ec2.Subnet) []string { return number(s.AvailableIpAddressCount) },
		"cidr":                              func(s *ec2.Subnet) []string { return text(s.CidrBlock) },
		"cidr-block":                        func(s *ec2.Subnet) []string { return text(s.CidrBlock) },
		"cidrBlock":                         func(s *ec2.Subnet) []string { return text(s.CidrBlock) },
		"default-for-az":                    func(s *ec2.Subnet) []string { return boolean(s.DefaultForAz) },
		"defaultForAz":                      func(s *ec2.Subnet) []string { return boolean(s.DefaultForAz) },
		"map-public-ip-on-launch":           func(s *ec2.Subnet) []string { return boolean(s.MapPublicIpOnLaunch) },
		"map-customer-owned-ip-on-launch":   func(s *ec2.Subnet) []string { return boolean(s.MapCustomerOwnedIpOnLaunch) },
		"assign-ipv6-address-on-creation":   func(s *ec2.Subnet) []string { return boolean(s.AssignIpv6AddressOnCreation) },
		"enable-dns64":                      func(s *ec2.Subnet) []string { return boolean(s.EnableDns64) },
		"ipv6-native":                       func(s *ec2.Subnet) []string { return boolean(s.Ipv6Native) },
		"owner-id":                          func(s *ec2.Subnet) []string { return text(s.OwnerId) },
		"state":                             func(s *ec2.Subnet) []string { return text(s.State) },
		"subnet-arn":                        func(s *ec2.Subnet) []string { return text(s.SubnetArn) },
		"subnet-id":                         func(s *ec2.Subnet) []string { return text(s.SubnetId) },
		"vpc-id":                            func(s *ec2.Subnet) []string { return text(s.VpcId) },
		"outpost-arn":                       never[*ec2.Subnet],
		"customer-owned-ipv4-pool":          never[*ec2.Subnet],
		"enable-lni-at-device-index":        never[*ec2.Subnet],
		"ipv6-cidr-block-association.state": never[*ec2.Subnet],
		"private-dns-name-options-on-launch.hostname-type":                        always[*ec2.Subnet](ec2.HostnameTypeIpName),
		"private-dns-name-options-on-launch.enable-resource-name-dns-a-record":    always[*ec2.Subnet]("false"),
		"private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": always[*ec2.Subnet]("false"),
		"ipv6-cidr-block-association.association-id":                              never[*ec2.Subnet],
		"ipv6-cidr-block-association.ipv6-cidr-block":                             never[*ec2.Subnet],
	},
}
