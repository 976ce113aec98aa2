package ec2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// DescribeNetworkInterfaces lists interfaces.
func (s *Service) DescribeNetworkInterfaces(ctx context.Context, in *ec2.DescribeNetworkInterfacesInput) (*ec2.DescribeNetworkInterfacesOutput, error) {
	r := s.db.View()
	rows, err := pick(r, callerOf(ctx), store.NetworkInterfaces, kindInterface, in.NetworkInterfaceIds)
	if err != nil {
		return nil, err
	}
	items := shapes(rows, func(n *resource.NetworkInterface) *ec2.NetworkInterface { return interfaceShape(r, n) })
	page, next, err := interfaceListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeNetworkInterfacesOutput{NetworkInterfaces: page, NextToken: next}, err
}

func interfaceShape(r store.Reader, n *resource.NetworkInterface) *ec2.NetworkInterface {
	out := &ec2.NetworkInterface{
		NetworkInterfaceId: &n.ID,
		OwnerId:            &n.Account,
		VpcId:              &n.VPC,
		SubnetId:           &n.Subnet,
		MacAddress:         &n.MAC,
		Description:        &n.Description,
		InterfaceType:      wire.Ptr(string(n.Type)),
		SourceDestCheck:    &n.SourceDestCheck,
		PrivateIpAddress:   wire.Ptr(n.Addresses[0].String()),
		RequesterManaged:   wire.Ptr(n.Requester != ""),
		Groups:             groupIdentifiers(r, n.Groups),
		Attachment:         attachmentShape(n),
		Status:             wire.Ptr(ec2.NetworkInterfaceStatusAvailable),
		RequesterId:        optional(n.Requester),
		TagSet:             tagList(n.Tags),
	}
	if out.Attachment != nil {
		out.Status = wire.Ptr(ec2.NetworkInterfaceStatusInUse)
	}
	if subnet, ok := store.Subnets.Get(r, n.Subnet); ok {
		out.AvailabilityZone = &subnet.Zone
	}
	v, ok := store.VPCs.Get(r, n.VPC)
	named := ok && v.EnableDNSHostnames
	for i, a := range n.Addresses {
		address := &ec2.NetworkInterfacePrivateIpAddress{PrivateIpAddress: wire.Ptr(a.String()), Primary: wire.Ptr(i == 0)}
		if named {
			address.PrivateDnsName = wire.Ptr(resource.HostName(a, n.Region))
		}
		out.PrivateIpAddresses = append(out.PrivateIpAddresses, address)
	}
	out.PrivateDnsName = out.PrivateIpAddresses[0].PrivateDnsName
	return out
}

func groupIdentifiers(r store.Reader, ids []string) []*ec2.GroupIdentifier {
	return shapes(ids, func(id string) *ec2.GroupIdentifier {
		out := &ec2.GroupIdentifier{GroupId: wire.Ptr(id)}
		if g, ok := store.SecurityGroups.Get(r, id); ok {
			out.GroupName = &g.Name
		}
		return out
	})
}

// attachmentShape is what an interface is attached to; nil if to nothing. What
// AWS's services manage is attached to something of theirs.
func attachmentShape(n *resource.NetworkInterface) *ec2.NetworkInterfaceAttachment {
	out := &ec2.NetworkInterfaceAttachment{
		AttachTime:          &n.Created,
		DeleteOnTermination: wire.Ptr(false),
		NetworkCardIndex:    wire.Ptr(int64(0)),
		Status:              wire.Ptr(ec2.AttachmentStatusAttached),
	}
	switch {
	case n.Requester != "":
		out.AttachmentId = wire.Ptr(vpc.StableID("ela-attach", n.ID))
		out.InstanceOwnerId = wire.Ptr("amazon-aws")
		out.DeviceIndex = wire.Ptr(int64(1))
	case n.Attachment != nil:
		out.AttachmentId = &n.Attachment.ID
		out.InstanceOwnerId = &n.Account
		out.DeviceIndex = wire.Ptr(int64(0))
		out.InstanceId = optional(n.Attachment.Instance)
		out.DeleteOnTermination = wire.Ptr(n.Attachment.Instance != "")
	default:
		return nil
	}
	return out
}

// attached is a filter for a field of the attachment.
func attached(get func(*ec2.NetworkInterfaceAttachment) []string) func(*ec2.NetworkInterface) []string {
	return func(n *ec2.NetworkInterface) []string {
		if n.Attachment == nil {
			return nil
		}
		return get(n.Attachment)
	}
}

var interfaceListing = listing[*ec2.NetworkInterface]{
	id:   func(n *ec2.NetworkInterface) *string { return n.NetworkInterfaceId },
	tags: func(n *ec2.NetworkInterface) []*ec2.Tag { return n.TagSet },
	fields: fields[*ec2.NetworkInterface]{
		"availability-zone":    func(n *ec2.NetworkInterface) []string { return text(n.AvailabilityZone) },
		"description":          func(n *ec2.NetworkInterface) []string { return text(n.Description) },
		"interface-type":       func(n *ec2.NetworkInterface) []string { return text(n.InterfaceType) },
		"mac-address":          func(n *ec2.NetworkInterface) []string { return text(n.MacAddress) },
		"network-interface-id": func(n *ec2.NetworkInterface) []string { return text(n.NetworkInterfaceId) },
		"owner-id":             func(n *ec2.NetworkInterface) []string { return text(n.OwnerId) },
		"private-dns-name":     func(n *ec2.NetworkInterface) []string { return text(n.PrivateDnsName) },
		"private-ip-address":   func(n *ec2.NetworkInterface) []string { return text(n.PrivateIpAddress) },
		"requester-id":         func(n *ec2.NetworkInterface) []string { return text(n.RequesterId) },
		"requester-managed":    func(n *ec2.NetworkInterface) []string { return boolean(n.RequesterManaged) },
		"source-dest-check":    func(n *ec2.NetworkInterface) []string { return boolean(n.SourceDestCheck) },
		"status":               func(n *ec2.NetworkInterface) []string { return text(n.Status) },
		"subnet-id":            func(n *ec2.NetworkInterface) []string { return text(n.SubnetId) },
		"vpc-id":               func(n *ec2.NetworkInterface) []string { return text(n.VpcId) },
		"group-id": func(n *ec2.NetworkInterface) []string {
			return each(n.Groups, func(g *ec2.GroupIdentifier) []string { return text(g.GroupId) })
		},
		"group-name": func(n *ec2.NetworkInterface) []string {
			return each(n.Groups, func(g *ec2.GroupIdentifier) []string { return text(g.GroupName) })
		},
		"addresses.private-ip-address": func(n *ec2.NetworkInterface) []string {
			return each(n.PrivateIpAddresses, func(a *ec2.NetworkInterfacePrivateIpAddress) []string { return text(a.PrivateIpAddress) })
		},
		"addresses.primary": func(n *ec2.NetworkInterface) []string {
			return each(n.PrivateIpAddresses, func(a *ec2.NetworkInterfacePrivateIpAddress) []string { return boolean(a.Primary) })
		},

		"attachment.attach-time":           attached(func(a *ec2.NetworkInterfaceAttachment) []string { return moment(a.AttachTime) }),
		"attachment.attachment-id":         attached(func(a *ec2.NetworkInterfaceAttachment) []string { return text(a.AttachmentId) }),
		"attachment.delete-on-termination": attached(func(a *ec2.NetworkInterfaceAttachment) []string { return boolean(a.DeleteOnTermination) }),
		"attachment.device-index":          attached(func(a *ec2.NetworkInterfaceAttachment) []string { return number(a.DeviceIndex) }),
		"attachment.instance-id":           attached(func(a *ec2.NetworkInterfaceAttachment) []string { return text(a.InstanceId) }),
		"attachment.instance-owner-id":     attached(func(a *ec2.NetworkInterfaceAttachment) []string { return text(a.InstanceOwnerId) }),
		"attachment.status":                attached(func(a *ec2.NetworkInterfaceAttachment) []string { return text(a.Status) }),

		"addresses.association.owner-id":  never[*ec2.NetworkInterface],
		"addresses.association.public-ip": never[*ec2.NetworkInterface],
		"association.allocation-id":       never[*ec2.NetworkInterface],
		"association.association-id":      never[*ec2.NetworkInterface],
		"association.ip-owner-id":         never[*ec2.NetworkInterface],
		"association.public-dns-name":     never[*ec2.NetworkInterface],
		"association.public-ip":           never[*ec2.NetworkInterface],
		"attachment.nat-gateway-id":       never[*ec2.NetworkInterface],
		"ipv6-addresses.ipv6-address":     never[*ec2.NetworkInterface],
	},
}
