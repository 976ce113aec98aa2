package elbv2

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// requester is who AWS names as the maker of a load balancer's interfaces.
const requester = "amazon-elb"

// node is a load balancer's place in one subnet, as a request asks for it.
type node struct {
	subnet  string
	address netip.Addr // zero: any
	zone    string     // found by place, like vpc
	vpc     string
}

// readNodes reads the subnets of a request, given as ids or as mappings.
func readNodes(subnets []string, mappings []*api.SubnetMapping) ([]node, error) {
	if (len(subnets) > 0) == (len(mappings) > 0) {
		return nil, invalid("Exactly one of subnets and subnet mappings must be specified")
	}
	var nodes []node
	for _, id := range subnets {
		nodes = append(nodes, node{subnet: id})
	}
	for _, m := range mappings {
		n := node{subnet: wire.Val(m.SubnetId)}
		switch {
		case n.subnet == "":
			return nil, invalid("A subnet ID must be specified")
		case wire.Val(m.AllocationId) != "":
			return nil, unsupported("An allocation ID cannot be specified for an internal load balancer")
		case wire.Val(m.IPv6Address) != "":
			return nil, unsupported("An IPv6 address cannot be specified for a load balancer with the IP address type 'ipv4'")
		}
		if text := wire.Val(m.PrivateIPv4Address); text != "" {
			address, err := netip.ParseAddr(text)
			if err != nil || !address.Is4() {
				return nil, invalid("'%s' is not a valid IPv4 address", text)
			}
			n.address = address
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// place finds the zones of nodes and checks that these may be nodes of one
// load balancer of a type.
func (s scope) place(r store.Reader, kind string, nodes []node) error {
	zones := map[string]bool{}
	for i := range nodes {
		n := &nodes[i]
		subnet, err := vpc.FindSubnet(r, s.account, s.region, n.subnet)
		if err != nil {
			return networkError(err)
		}
		n.zone, n.vpc = subnet.Zone, subnet.VPC
		switch {
		case n.vpc != nodes[0].vpc:
			return unsupported("All subnets must belong to the same VPC: '%s'", nodes[0].vpc)
		case zones[n.zone]:
			return unsupported("A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		}
		if kind == resource.ApplicationLoadBalancer && n.address.IsValid() {
			return unsupported("A private IPv4 address cannot be specified for load balancers of type 'application'")
		}
		zones[n.zone] = true
	}
	if kind == resource.ApplicationLoadBalancer && len(zones) < 2 {
		return invalid("At least two subnets in two different Availability Zones must be specified")
	}
	return nil
}

// sameNodes says whether a request asks for the nodes that there are.
func sameNodes(zones []resource.LoadBalancerZone, nodes []node) bool {
	if len(zones) != len(nodes) {
		return false
	}
	for _, n := range nodes {
		if !slices.ContainsFunc(zones, n.is) {
			return false
		}
	}
	return true
}

// is says whether a node is the one that is asked for.
func (n node) is(z resource.LoadBalancerZone) bool {
	return z.Subnet == n.subnet && z.Chosen == n.address.IsValid() && (!z.Chosen || z.Address == n.address)
}

// createNode makes a node: its interface in the subnet, and the one in API
// Gateway's VPC from which its health checks are sent. The interface of an
// Application Load Balancer's node has a device, and a process behind it.
func createNode(tx *store.Tx, lb *resource.LoadBalancer, n node) (resource.LoadBalancerZone, error) {
	none := resource.LoadBalancerZone{}
	if err := vpc.EnsureServiceVPC(tx, lb.Region); err != nil {
		return none, err
	}
	service, ok := vpc.ServiceVPC(tx, lb.Region)
	if !ok {
		return none, errors.New("create load balancer node: there is no service VPC")
	}
	spec := vpc.InterfaceSpec{
		Account: lb.Account, Region: lb.Region, Subnet: n.subnet, Address: n.address, Groups: lb.Groups,
		Description: "ELB " + typeAndName(lb), Type: resource.InterfaceNLB, Requester: requester, Owner: lb.ARN,
	}
	if lb.Type == resource.ApplicationLoadBalancer {
		spec.Type, spec.Attachment = resource.InterfacePlain, &resource.Attachment{ID: vpc.NewID("ela-attach")}
	}
	eni, err := vpc.CreateInterface(tx, spec)
	if err != nil {
		return none, networkError(err)
	}
	health, err := vpc.CreateInterface(tx, vpc.InterfaceSpec{
		Account: service.VPC.Account, Region: lb.Region, Subnet: service.Health.Subnet,
		Description: spec.Description + " health checks", Type: resource.InterfaceNLB, Requester: requester, Owner: lb.ARN,
		NAT: eni.ID, Carrier: service.Health.ID,
	})
	if err != nil {
		return none, fmt.Errorf("create interface for health checks: %w", err)
	}
	return resource.LoadBalancerZone{
		Zone:            n.zone,
		Subnet:          n.subnet,
		Interface:       eni.ID,
		Address:         eni.Addresses[0],
		Chosen:          n.address.IsValid(),
		HealthInterface: health.ID,
	}, nil
}

func deleteNode(tx *store.Tx, z resource.LoadBalancerZone) {
	vpc.DeleteInterface(tx, z.HealthInterface)
	vpc.DeleteInterface(tx, z.Interface)
	store.NodeAnomalies.Delete(tx, z.Interface)
}

func showZones(zones []resource.LoadBalancerZone) []*api.AvailabilityZone {
	return showAll(zones, func(z resource.LoadBalancerZone) *api.AvailabilityZone {
		out := &api.AvailabilityZone{
			ZoneName:              wire.Ptr(z.Zone),
			SubnetId:              wire.Ptr(z.Subnet),
			LoadBalancerAddresses: []*api.LoadBalancerAddress{},
		}
		// AWS names the address of a node only if it was asked for.
		if z.Chosen {
			out.LoadBalancerAddresses = append(out.LoadBalancerAddresses, &api.LoadBalancerAddress{PrivateIPv4Address: wire.Ptr(z.Address.String())})
		}
		return out
	})
}

// SetSubnets replaces the subnets of a load balancer. Zones may be added and
// removed; a node that stays keeps its subnet and address. The state stays:
// "provisioning" is only the initial one.
func (s *Service) SetSubnets(ctx context.Context, in *api.SetSubnetsInput) (*api.SetSubnetsOutput, error) {
	sc := scopeOf(ctx)
	nodes, err := readNodes(in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	if err := checkAddressType(in.IpAddressType); err != nil {
		return nil, err
	}
	if err := checkSourceNAT(in.EnablePrefixForIpv6SourceNat); err != nil {
		return nil, err
	}
	var lb *resource.LoadBalancer
	_, err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if lb, err = sc.findBalancer(tx, wire.Val(in.LoadBalancerArn)); err != nil {
			return err
		}
		if err := sc.place(tx, lb.Type, nodes); err != nil {
			return err
		}
		if nodes[0].vpc != lb.VPC {
			return unsupported("All subnets must belong to the same VPC: '%s'", lb.VPC)
		}
		var zones []resource.LoadBalancerZone
		for _, n := range nodes {
			z, err := moveNode(tx, lb, n)
			if err != nil {
				return err
			}
			zones = append(zones, z)
		}
		for _, z := range lb.Zones {
			if slices.Contains(zones, z) {
				continue
			}
			if vpc.LoadBalancerInService(tx, lb.ARN) {
				return unsupported("Availability Zone '%s' cannot be removed from load balancer '%s' because it is associated with an endpoint service", z.Zone, lb.ARN)
			}
			deleteNode(tx, z)
		}
		lb.Zones = zones
		store.LoadBalancers.Put(tx, lb)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.SetSubnetsOutput{AvailabilityZones: showZones(lb.Zones), IpAddressType: wire.Ptr("ipv4")}, nil
}

// moveNode returns the node of a load balancer that is asked for, made if its
// zone has none. An address that is not named in the request stays.
func moveNode(tx *store.Tx, lb *resource.LoadBalancer, n node) (resource.LoadBalancerZone, error) {
	i := slices.IndexFunc(lb.Zones, func(z resource.LoadBalancerZone) bool { return z.Zone == n.zone })
	if i < 0 {
		return createNode(tx, lb, n)
	}
	z := lb.Zones[i]
	if lb.Type == resource.ApplicationLoadBalancer && z.Subnet != n.subnet {
		return createNode(tx, lb, n)
	}
	if z.Subnet != n.subnet || n.address.IsValid() && n.address != z.Address {
		return z, unsupported("The subnet and the address of load balancer '%s' in Availability Zone '%s' cannot be changed", lb.ARN, z.Zone)
	}
	return z, nil
}

// SetIpAddressType accepts the one type that there is.
func (s *Service) SetIpAddressType(ctx context.Context, in *api.SetIpAddressTypeInput) (*api.SetIpAddressTypeOutput, error) {
	if _, err := scopeOf(ctx).findBalancer(s.db.View(), wire.Val(in.LoadBalancerArn)); err != nil {
		return nil, err
	}
	if err := checkAddressType(in.IpAddressType); err != nil {
		return nil, err
	}
	return &api.SetIpAddressTypeOutput{IpAddressType: wire.Ptr("ipv4")}, nil
}

// SetSecurityGroups replaces the security groups of a load balancer that has
// some, and says whether they apply to traffic from PrivateLink.
func (s *Service) SetSecurityGroups(ctx context.Context, in *api.SetSecurityGroupsInput) (*api.SetSecurityGroupsOutput, error) {
	sc := scopeOf(ctx)
	var lb *resource.LoadBalancer
	_, err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if lb, err = sc.findBalancer(tx, wire.Val(in.LoadBalancerArn)); err != nil {
			return err
		}
		switch {
		case lb.Type == resource.ApplicationLoadBalancer && len(in.SecurityGroups) == 0:
			return invalid("A security group must be specified")
		case lb.Type == resource.ApplicationLoadBalancer && in.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != nil:
			return unsupported("Security group rules on PrivateLink traffic can be set for load balancers of type 'network' only")
		case len(lb.Groups) == 0:
			return unsupported("You cannot set security groups on a Network Load Balancer which was created without any security groups.")
		case len(in.SecurityGroups) == 0:
			return unsupported("A Network Load Balancer which was created with security groups must keep at least one.")
		}
		if lb.Groups, err = sc.checkSecurityGroups(tx, lb.VPC, in.SecurityGroups); err != nil {
			return err
		}
		if e := wire.Val(in.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic); e != "" {
			lb.EnforceOnPrivateLink = e == "on"
		}
		for _, z := range lb.Zones {
			if eni, ok := store.NetworkInterfaces.Get(tx, z.Interface); ok {
				eni.Groups = lb.Groups
				store.NetworkInterfaces.Put(tx, eni)
			}
		}
		store.LoadBalancers.Put(tx, lb)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &api.SetSecurityGroupsOutput{SecurityGroupIds: lb.Groups}
	if lb.Type == resource.NetworkLoadBalancer {
		out.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic = wire.Ptr(onOff(lb.EnforceOnPrivateLink))
	}
	return out, nil
}
