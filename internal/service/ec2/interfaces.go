package ec2

import (
	"context"
	"net/netip"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// maxInterfaceGroups is AWS's default quota of groups of an interface.
const maxInterfaceGroups = 5

// CreateNetworkInterface makes an interface, in the VPC's default group if none
// is given.
func (s *Service) CreateNetworkInterface(ctx context.Context, in *ec2.CreateNetworkInterfaceInput) (*ec2.CreateNetworkInterfaceOutput, error) {
	if len(in.Ipv6Addresses) > 0 || wire.Val(in.Ipv6AddressCount) > 0 || len(in.Ipv4Prefixes) > 0 || wire.Val(in.Ipv4PrefixCount) > 0 ||
		len(in.Ipv6Prefixes) > 0 || wire.Val(in.Ipv6PrefixCount) > 0 {
		return nil, unsupported("Interfaces have IPv4 addresses only.")
	}
	if t := wire.Val(in.InterfaceType); t != "" {
		return nil, unsupported("Interfaces of type %s are not supported.", t)
	}
	if in.SubnetId == nil {
		return nil, missing("subnetId")
	}
	if len(in.Groups) > maxInterfaceGroups {
		return nil, errTooManyGroups()
	}
	primary, secondary, err := requestedAddresses(in)
	if err != nil {
		return nil, err
	}
	tags, err := tagsFor(kindInterface.typ, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	var out *ec2.NetworkInterface
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		groups := in.Groups
		if len(groups) == 0 {
			subnet, err := find(tx, c, store.Subnets, kindSubnet, *in.SubnetId)
			if err != nil {
				return err
			}
			if v, ok := store.VPCs.Get(tx, subnet.VPC); ok {
				groups = []string{v.DefaultGroup}
			}
		}
		n, err := vpc.CreateInterface(tx, vpc.InterfaceSpec{
			Account: c.account, Region: c.region, Subnet: *in.SubnetId, Address: primary,
			Groups: groups, Description: wire.Val(in.Description), Tags: tags,
		})
		if err != nil {
			return err
		}
		if _, err := vpc.AssignAddresses(tx, n, secondary, int(wire.Val(in.SecondaryPrivateIpAddressCount))); err != nil {
			return err
		}
		out = interfaceShape(tx, n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ec2.CreateNetworkInterfaceOutput{NetworkInterface: out, ClientToken: in.ClientToken}, nil
}

func errTooManyGroups() error {
	return wire.Errorf(400, "SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
}

// requestedAddresses returns the primary address that a request wants, zero if
// any will do, and the others.
func requestedAddresses(in *ec2.CreateNetworkInterfaceInput) (primary netip.Addr, others []netip.Addr, err error) {
	if in.PrivateIpAddress != nil {
		if primary, err = parseAddress(*in.PrivateIpAddress); err != nil {
			return primary, nil, err
		}
	}
	for _, a := range in.PrivateIpAddresses {
		addr, err := parseAddress(wire.Val(a.PrivateIpAddress))
		switch {
		case err != nil:
			return primary, nil, err
		case !wire.Val(a.Primary):
			others = append(others, addr)
		case primary.IsValid() && primary != addr:
			return primary, nil, wire.Errorf(400, "InvalidParameterCombination", "Only one primary private IP address can be specified")
		default:
			primary = addr
		}
	}
	return primary, others, nil
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return netip.Addr{}, invalidValue("Invalid value '%s' for address. Must be a valid IPv4 address.", s)
	}
	return a, nil
}

// findOwn returns an interface that the caller may change: one that no service
// of AWS manages.
func findOwn(r store.Reader, c caller, id string) (*resource.NetworkInterface, error) {
	n, err := find(r, c, store.NetworkInterfaces, kindInterface, id)
	if err == nil && n.Requester != "" {
		return nil, wire.Errorf(403, "AuthFailure", "You do not have permission to access the specified resource.")
	}
	return n, err
}

// DeleteNetworkInterface removes an interface that nothing is attached to.
func (s *Service) DeleteNetworkInterface(ctx context.Context, in *ec2.DeleteNetworkInterfaceInput) (*ec2.DeleteNetworkInterfaceOutput, error) {
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		n, err := find(tx, c, store.NetworkInterfaces, kindInterface, wire.Val(in.NetworkInterfaceId))
		if err != nil {
			return err
		}
		if n.Attachment != nil || n.Requester != "" {
			return invalidValue("Network interface '%s' is currently in use.", n.ID)
		}
		vpc.DeleteInterface(tx, n.ID)
		return nil
	})
}

// ModifyNetworkInterfaceAttribute changes one attribute of an interface.
func (s *Service) ModifyNetworkInterfaceAttribute(ctx context.Context, in *ec2.ModifyNetworkInterfaceAttributeInput) (*ec2.ModifyNetworkInterfaceAttributeOutput, error) {
	if len(in.Groups) > maxInterfaceGroups {
		return nil, errTooManyGroups()
	}
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		n, err := findOwn(tx, c, wire.Val(in.NetworkInterfaceId))
		if err != nil {
			return err
		}
		if in.Description != nil {
			n.Description = wire.Val(in.Description.Value)
		}
		if in.SourceDestCheck != nil {
			n.SourceDestCheck = wire.Val(in.SourceDestCheck.Value)
		}
		if len(in.Groups) > 0 {
			if n.Groups, err = vpc.CheckGroups(tx, c.account, c.region, n.VPC, in.Groups); err != nil {
				return err
			}
		}
		store.NetworkInterfaces.Put(tx, n)
		return nil
	})
}

// DescribeNetworkInterfaceAttribute tells one attribute of an interface.
func (s *Service) DescribeNetworkInterfaceAttribute(ctx context.Context, in *ec2.DescribeNetworkInterfaceAttributeInput) (*ec2.DescribeNetworkInterfaceAttributeOutput, error) {
	r := s.db.View()
	n, err := find(r, callerOf(ctx), store.NetworkInterfaces, kindInterface, wire.Val(in.NetworkInterfaceId))
	if err != nil {
		return nil, err
	}
	shape := interfaceShape(r, n)
	out := &ec2.DescribeNetworkInterfaceAttributeOutput{NetworkInterfaceId: &n.ID}
	switch a := wire.Val(in.Attribute); a {
	case ec2.NetworkInterfaceAttributeDescription:
		out.Description = &ec2.AttributeValue{Value: shape.Description}
	case ec2.NetworkInterfaceAttributeGroupSet:
		out.Groups = shape.Groups
	case ec2.NetworkInterfaceAttributeSourceDestCheck:
		out.SourceDestCheck = &ec2.AttributeBooleanValue{Value: shape.SourceDestCheck}
	case ec2.NetworkInterfaceAttributeAttachment:
		out.Attachment = shape.Attachment
	case ec2.NetworkInterfaceAttributeAssociatePublicIpAddress:
		out.AssociatePublicIpAddress = wire.Ptr(false)
	default:
		return nil, invalidValue("Value (%s) for parameter attribute is invalid. Unknown attribute.", a)
	}
	return out, nil
}

// AssignPrivateIpAddresses gives an interface more addresses.
func (s *Service) AssignPrivateIpAddresses(ctx context.Context, in *ec2.AssignPrivateIpAddressesInput) (*ec2.AssignPrivateIpAddressesOutput, error) {
	if len(in.Ipv4Prefixes) > 0 || wire.Val(in.Ipv4PrefixCount) > 0 {
		return nil, unsupported("Interfaces have single addresses only.")
	}
	count := int(wire.Val(in.SecondaryPrivateIpAddressCount))
	if (count > 0) == (len(in.PrivateIpAddresses) > 0) {
		return nil, wire.Errorf(400, "InvalidParameterCombination", "Either the private IP addresses or their number must be specified, and not both")
	}
	var wanted []netip.Addr
	for _, x := range in.PrivateIpAddresses {
		a, err := parseAddress(x)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, a)
	}
	var added []netip.Addr
	err := s.update(ctx, nil, func(tx *store.Tx, c caller) error {
		n, err := findOwn(tx, c, wire.Val(in.NetworkInterfaceId))
		if err != nil {
			return err
		}
		added, err = vpc.AssignAddresses(tx, n, wanted, count)
		return err
	})
	return &ec2.AssignPrivateIpAddressesOutput{
		NetworkInterfaceId: in.NetworkInterfaceId,
		AssignedPrivateIpAddresses: shapes(added, func(a netip.Addr) *ec2.AssignedPrivateIpAddress {
			return &ec2.AssignedPrivateIpAddress{PrivateIpAddress: wire.Ptr(a.String())}
		}),
	}, err
}

// UnassignPrivateIpAddresses takes addresses other than the primary from an
// interface.
func (s *Service) UnassignPrivateIpAddresses(ctx context.Context, in *ec2.UnassignPrivateIpAddressesInput) (*ec2.UnassignPrivateIpAddressesOutput, error) {
	return nil, s.update(ctx, nil, func(tx *store.Tx, c caller) error {
		n, err := findOwn(tx, c, wire.Val(in.NetworkInterfaceId))
		if err != nil {
			return err
		}
		var gone []netip.Addr
		for _, x := range in.PrivateIpAddresses {
			a, err := parseAddress(x)
			if err != nil {
				return err
			}
			if !slices.Contains(n.Addresses[1:], a) {
				return invalidValue("Some of the specified addresses are not assigned to interface %s", n.ID)
			}
			gone = append(gone, a)
		}
		vpc.UnassignAddresses(tx, n, gone)
		return nil
	})
}
