package elbv2

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// allZones is the zone of a target that every node may use.
const allZones = "all"

// RegisterTargets adds targets to a group. One that is there stays as it is;
// one that is being deregistered begins anew.
func (s *Service) RegisterTargets(ctx context.Context, in *api.RegisterTargetsInput) (*api.RegisterTargetsOutput, error) {
	sc := scopeOf(ctx)
	if len(in.Targets) == 0 {
		return nil, invalid("A target must be specified")
	}
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := sc.findGroup(tx, wire.Val(in.TargetGroupArn))
		if err != nil {
			return err
		}
		for _, d := range in.Targets {
			t, err := sc.readTarget(tx, g, d)
			if err != nil {
				return err
			}
			register(tx, g, t)
		}
		if len(g.Targets) > maxTargets {
			return wire.Errorf(400, "TooManyTargets", "A target group can have at most %d targets", maxTargets)
		}
		store.TargetGroups.Put(tx, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.RegisterTargetsOutput{}, nil
}

// register puts a target into a group, unless it is there. What is known of
// the health of an earlier registration is forgotten.
func register(tx *store.Tx, g *resource.TargetGroup, t resource.Target) {
	i := findTarget(g, t.ID, t.Port)
	switch {
	case i < 0:
		g.Targets = append(g.Targets, t)
	case g.Targets[i].DrainingUntil != 0:
		g.Targets[i] = t
	default:
		return
	}
	store.TargetHealth.Delete(tx, resource.TargetHealthKey(g.ARN, t.ID, t.Port))
}

// findTarget is the index of a target in its group, negative if it is not
// there.
func findTarget(g *resource.TargetGroup, id string, port int) int {
	return slices.IndexFunc(g.Targets, func(t resource.Target) bool { return t.ID == id && t.Port == port })
}

// portOf is the port that a request names for a target: the group's if none.
func portOf(g *resource.TargetGroup, d *api.TargetDescription) int {
	if d.Port != nil {
		return int(*d.Port)
	}
	return g.Port
}

// readTarget reads a target of a request and finds its address and zone.
func (s scope) readTarget(r store.Reader, g *resource.TargetGroup, d *api.TargetDescription) (resource.Target, error) {
	t := resource.Target{ID: wire.Val(d.Id), Port: portOf(g, d), Registered: time.Now().UnixNano()}
	var err error
	if g.TargetType == resource.TargetALB {
		t.Zone = allZones
		return t, s.checkBalancerTarget(r, g, t, wire.Val(d.AvailabilityZone))
	}
	if g.TargetType == "instance" {
		t.Address, t.Zone, err = s.findInstance(r, g, t.ID, wire.Val(d.AvailabilityZone))
	} else {
		t.Address, t.Zone, err = s.findAddress(r, g, t.ID, wire.Val(d.AvailabilityZone))
	}
	return t, err
}

// checkBalancerTarget checks an Application Load Balancer that is to be the
// target of a group, the only one.
func (s scope) checkBalancerTarget(r store.Reader, g *resource.TargetGroup, t resource.Target, zone string) error {
	lb, err := s.findBalancer(r, t.ID)
	switch {
	case err != nil:
		return err
	case zone != "":
		return invalid("An Availability Zone cannot be specified for target groups with target type 'alb'")
	case lb.Type != resource.ApplicationLoadBalancer:
		return wire.Errorf(400, "InvalidTarget", "The following targets are not Application Load Balancers: '%s'", t.ID)
	case lb.VPC != g.VPC:
		return wire.Errorf(400, "InvalidTarget", "The following targets are not in the target group VPC '%s': '%s'", g.VPC, t.ID)
	case onPort(listeners(r, lb.ARN), t.Port) == nil:
		return invalid("If the target type is ALB, the target must have at least one listener that matches the target group port or any specified port overrides")
	case slices.ContainsFunc(g.Targets, func(o resource.Target) bool { return o.ID != t.ID || o.Port != t.Port }):
		return wire.Errorf(400, "TooManyTargets", "A target group with target type 'alb' can have at most 1 target")
	}
	return nil
}

// isTarget says whether a load balancer is registered with a target group.
func isTarget(r store.Reader, balancer string) bool {
	for g := range store.TargetGroups.Scan(r) {
		if slices.ContainsFunc(g.Targets, func(t resource.Target) bool { return t.ID == balancer }) {
			return true
		}
	}
	return false
}

// findInstance finds the address and the zone of an instance.
func (s scope) findInstance(r store.Reader, g *resource.TargetGroup, id, zone string) (netip.Addr, string, error) {
	none := netip.Addr{}
	if zone != "" {
		return none, "", invalid("An Availability Zone cannot be specified for target groups with target type 'instance'")
	}
	instance, ok := store.Instances.Get(r, id)
	if !ok || !vpc.Owned(instance.Meta, s.account, s.region) {
		return none, "", wire.Errorf(400, "InvalidTarget", "The following targets are not in a running state and cannot be registered: '%s'", id)
	}
	eni, err := vpc.FindInterface(r, s.account, s.region, instance.Interface)
	if err != nil {
		return none, "", networkError(err)
	}
	if eni.VPC != g.VPC {
		return none, "", wire.Errorf(400, "InvalidTarget", "The following targets are not in the target group VPC '%s': '%s'", g.VPC, id)
	}
	subnet, err := vpc.FindSubnet(r, s.account, s.region, eni.Subnet)
	if err != nil {
		return none, "", networkError(err)
	}
	return eni.Addresses[0], subnet.Zone, nil
}

// privateRanges are the ranges outside the VPC from which AWS takes targets.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

// findAddress reads an address and finds its zone: that of its subnet, or the
// one that is given for an address outside the subnets of the VPC.
func (s scope) findAddress(r store.Reader, g *resource.TargetGroup, id, zone string) (netip.Addr, string, error) {
	address, err := netip.ParseAddr(id)
	if err != nil || !address.Is4() {
		return netip.Addr{}, "", invalid("The IP address '%s' is not a valid IPv4 address", id)
	}
	for subnet := range store.Subnets.Scan(r) {
		if subnet.VPC != g.VPC || !subnet.CIDR.Contains(address) {
			continue
		}
		if zone != "" && zone != subnet.Zone {
			return address, "", invalid("The IP address '%s' is within the VPC, and cannot have its Availability Zone overridden to '%s' from '%s'", id, zone, subnet.Zone)
		}
		return address, subnet.Zone, nil
	}
	contains := func(p netip.Prefix) bool { return p.Contains(address) }
	switch {
	case !slices.ContainsFunc(privateRanges, contains):
		return address, "", invalid("The IP address '%s' is neither within the subnets of the VPC nor within the ranges of RFC 1918 and RFC 6598", id)
	case zone == "":
		return address, "", invalid("The Availability Zone is required for IP address '%s' because it is not in the VPC", id)
	case zone != allZones && vpc.ZoneID(s.region, zone) == "":
		return address, "", invalid("You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, since the IP address '%s' is outside the VPC", id)
	}
	return address, zone, nil
}

// DeregisterTargets begins to take targets out of a group: they get no new
// connections, and are gone after the deregistration delay. Targets of a group
// that no listener forwards to are gone at once. That there is no such target
// is no error.
func (s *Service) DeregisterTargets(ctx context.Context, in *api.DeregisterTargetsInput) (*api.DeregisterTargetsOutput, error) {
	if len(in.Targets) == 0 {
		return nil, invalid("A target must be specified")
	}
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := scopeOf(ctx).findGroup(tx, wire.Val(in.TargetGroupArn))
		if err != nil {
			return err
		}
		delay := deregistrationDelay(g)
		if len(balancersOf(tx, g.ARN)) == 0 {
			delay = 0
		}
		for _, d := range in.Targets {
			deregister(tx, g, wire.Val(d.Id), portOf(g, d), delay)
		}
		store.TargetGroups.Put(tx, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeregisterTargetsOutput{}, nil
}

// deregister begins the draining of a target, for a delay in seconds.
func deregister(tx *store.Tx, g *resource.TargetGroup, id string, port, delay int) {
	i := findTarget(g, id, port)
	switch {
	case i < 0 || delay > 0 && g.Targets[i].DrainingUntil != 0:
		return
	case delay > 0:
		g.Targets[i].DrainFrom(time.Now(), delay)
		g.Targets[i].DrainingSeconds = delay
	default:
		g.Targets = slices.Delete(g.Targets, i, i+1)
	}
	store.TargetHealth.Delete(tx, resource.TargetHealthKey(g.ARN, id, port))
}

// deregistrationDelay is in seconds.
func deregistrationDelay(g *resource.TargetGroup) int {
	seconds, err := strconv.Atoi(attributeOf(groupAttributes(g), g.Attributes, "deregistration_delay.timeout_seconds"))
	if err != nil {
		return 0
	}
	return seconds
}
