package ec2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// running is EC2's code for an instance that runs; others are not stored.
const running = 16

// DescribeInstances lists the programs that were started in the caller's
// networks, each as an instance in a reservation of its own.
func (s *Service) DescribeInstances(ctx context.Context, in *ec2.DescribeInstancesInput) (*ec2.DescribeInstancesOutput, error) {
	r := s.db.View()
	rows, err := pick(r, callerOf(ctx), store.Instances, kindInstance, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	items := shapes(rows, func(i *resource.Instance) *ec2.Instance { return instanceShape(r, i) })
	page, next, err := instanceListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeInstancesOutput{
		NextToken: next,
		Reservations: shapes(page, func(i *ec2.Instance) *ec2.Reservation {
			return &ec2.Reservation{
				ReservationId: wire.Ptr(vpc.StableID("r", *i.InstanceId)),
				OwnerId:       wire.Ptr(callerOf(ctx).account),
				Instances:     []*ec2.Instance{i},
			}
		}),
	}, err
}

func instanceShape(r store.Reader, i *resource.Instance) *ec2.Instance {
	out := &ec2.Instance{
		InstanceId: &i.ID,
		LaunchTime: &i.Created,
		State:      &ec2.InstanceState{Code: wire.Ptr(int64(running)), Name: wire.Ptr(ec2.InstanceStateNameRunning)},
		Monitoring: &ec2.Monitoring{State: wire.Ptr(ec2.MonitoringStateDisabled)},
		Tags:       tagList(i.Tags),
	}
	n, ok := store.NetworkInterfaces.Get(r, i.Interface)
	if !ok {
		return out
	}
	eni := interfaceShape(r, n)
	out.Placement = &ec2.Placement{AvailabilityZone: eni.AvailabilityZone, Tenancy: wire.Ptr(ec2.TenancyDefault)}
	out.VpcId, out.SubnetId = eni.VpcId, eni.SubnetId
	out.PrivateIpAddress, out.PrivateDnsName = eni.PrivateIpAddress, eni.PrivateDnsName
	out.SecurityGroups, out.SourceDestCheck = eni.Groups, eni.SourceDestCheck
	face := &ec2.InstanceNetworkInterface{
		NetworkInterfaceId: eni.NetworkInterfaceId, OwnerId: eni.OwnerId, VpcId: eni.VpcId, SubnetId: eni.SubnetId,
		MacAddress: eni.MacAddress, Description: eni.Description, InterfaceType: eni.InterfaceType, Status: eni.Status,
		SourceDestCheck: eni.SourceDestCheck, PrivateIpAddress: eni.PrivateIpAddress, PrivateDnsName: eni.PrivateDnsName,
		Groups: eni.Groups,
	}
	for _, a := range eni.PrivateIpAddresses {
		face.PrivateIpAddresses = append(face.PrivateIpAddresses, &ec2.InstancePrivateIpAddress{
			PrivateIpAddress: a.PrivateIpAddress, PrivateDnsName: a.PrivateDnsName, Primary: a.Primary,
		})
	}
	if a := eni.Attachment; a != nil {
		face.Attachment = &ec2.InstanceNetworkInterfaceAttachment{
			AttachmentId: a.AttachmentId, AttachTime: a.AttachTime, DeleteOnTermination: a.DeleteOnTermination,
			DeviceIndex: a.DeviceIndex, NetworkCardIndex: a.NetworkCardIndex, Status: a.Status,
		}
	}
	out.NetworkInterfaces = []*ec2.InstanceNetworkInterface{face}
	return out
}

func instanceGroups(get func(*ec2.GroupIdentifier) []string) func(*ec2.Instance) []string {
	return func(i *ec2.Instance) []string { return each(i.SecurityGroups, get) }
}

func instanceInterfaces(get func(*ec2.InstanceNetworkInterface) []string) func(*ec2.Instance) []string {
	return func(i *ec2.Instance) []string { return each(i.NetworkInterfaces, get) }
}

var instanceListing = listing[*ec2.Instance]{
	id:   func(i *ec2.Instance) *string { return i.InstanceId },
	tags: func(i *ec2.Instance) []*ec2.Tag { return i.Tags },
	fields: fields[*ec2.Instance]{
		"instance-id":         func(i *ec2.Instance) []string { return text(i.InstanceId) },
		"instance-state-code": func(i *ec2.Instance) []string { return number(i.State.Code) },
		"instance-state-name": func(i *ec2.Instance) []string { return text(i.State.Name) },
		"launch-time":         func(i *ec2.Instance) []string { return moment(i.LaunchTime) },
		"private-dns-name":    func(i *ec2.Instance) []string { return text(i.PrivateDnsName) },
		"private-ip-address":  func(i *ec2.Instance) []string { return text(i.PrivateIpAddress) },
		"source-dest-check":   func(i *ec2.Instance) []string { return boolean(i.SourceDestCheck) },
		"subnet-id":           func(i *ec2.Instance) []string { return text(i.SubnetId) },
		"vpc-id":              func(i *ec2.Instance) []string { return text(i.VpcId) },
		"availability-zone": func(i *ec2.Instance) []string {
			if i.Placement == nil {
				return nil
			}
			return text(i.Placement.AvailabilityZone)
		},
		"group-id":            instanceGroups(func(g *ec2.GroupIdentifier) []string { return text(g.GroupId) }),
		"group-name":          instanceGroups(func(g *ec2.GroupIdentifier) []string { return text(g.GroupName) }),
		"instance.group-id":   instanceGroups(func(g *ec2.GroupIdentifier) []string { return text(g.GroupId) }),
		"instance.group-name": instanceGroups(func(g *ec2.GroupIdentifier) []string { return text(g.GroupName) }),

		"network-interface.network-interface-id": instanceInterfaces(func(n *ec2.InstanceNetworkInterface) []string { return text(n.NetworkInterfaceId) }),
		"network-interface.mac-address":          instanceInterfaces(func(n *ec2.InstanceNetworkInterface) []string { return text(n.MacAddress) }),
		"network-interface.subnet-id":            instanceInterfaces(func(n *ec2.InstanceNetworkInterface) []string { return text(n.SubnetId) }),
		"network-interface.vpc-id":               instanceInterfaces(func(n *ec2.InstanceNetworkInterface) []string { return text(n.VpcId) }),
		"network-interface.addresses.private-ip-address": instanceInterfaces(func(n *ec2.InstanceNetworkInterface) []string {
			return each(n.PrivateIpAddresses, func(a *ec2.InstancePrivateIpAddress) []string { return text(a.PrivateIpAddress) })
		}),

		"architecture":       never[*ec2.Instance],
		"dns-name":           never[*ec2.Instance],
		"image-id":           never[*ec2.Instance],
		"instance-type":      never[*ec2.Instance],
		"ip-address":         never[*ec2.Instance],
		"key-name":           never[*ec2.Instance],
		"platform":           never[*ec2.Instance],
		"tenancy":            always[*ec2.Instance](ec2.TenancyDefault),
		"instance-lifecycle": never[*ec2.Instance],
	},
}
