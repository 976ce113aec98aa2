package elbv2

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// CreateTargetGroup makes a target group. If there is one of the name with the
// same settings, that one is the answer.
func (s *Service) CreateTargetGroup(ctx context.Context, in *api.CreateTargetGroupInput) (*api.CreateTargetGroupOutput, error) {
	sc := scopeOf(ctx)
	wanted, err := readGroup(in)
	if err != nil {
		return nil, err
	}
	wanted.Meta = resource.Meta{Account: sc.account, Region: sc.region, Created: now()}
	if wanted.Tags, err = readTags(in.Tags); err != nil {
		return nil, err
	}
	var shown *api.TargetGroup
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := vpc.FindVPC(tx, sc.account, sc.region, wanted.VPC); err != nil {
			return invalid("The VPC ID '%s' is not found", wanted.VPC)
		}
		if old := sc.groupNamed(tx, wanted.Name); old != nil {
			if !sameSettings(old, wanted) {
				return wire.Errorf(400, "DuplicateTargetGroupName",
					"A target group with the same name '%s' exists, but with different settings", wanted.Name)
			}
			shown = showGroup(tx, old)
			return nil
		}
		if len(sc.groups(tx)) >= maxGroups {
			return wire.Errorf(400, "TooManyTargetGroups", "The maximum number of target groups, %d, has been reached", maxGroups)
		}
		wanted.ARN = sc.arn(groupPart + wanted.Name + "/" + newID())
		store.TargetGroups.Put(tx, wanted)
		shown = showGroup(tx, wanted)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateTargetGroupOutput{TargetGroups: []*api.TargetGroup{shown}}, nil
}

// defaultVersion is the protocol version of HTTP and HTTPS target groups that
// is not stored.
const defaultVersion = "HTTP1"

var protocolVersions = []string{defaultVersion, resource.VersionHTTP2, resource.VersionGRPC}

// readGroup reads what a request asks for, in so far as that can be told
// without looking anything up.
func readGroup(in *api.CreateTargetGroupInput) (*resource.TargetGroup, error) {
	g := &resource.TargetGroup{
		Name:       wire.Val(in.Name),
		Protocol:   wire.Val(in.Protocol),
		Port:       int(wire.Val(in.Port)),
		VPC:        wire.Val(in.VpcId),
		TargetType: "instance",
	}
	if err := checkName("Target group", g.Name); err != nil {
		return nil, err
	}
	set(&g.TargetType, in.TargetType)
	switch {
	case g.TargetType == "lambda":
		return nil, unsupported("Target groups with target type 'lambda' are not supported by Isthmus yet; 'instance', 'ip' and 'alb' are")
	case g.Protocol == "":
		return nil, invalid("A protocol must be specified")
	case !isHTTP(g.Protocol) && !slices.Contains(networkProtocols, g.Protocol):
		return nil, unsupported("Target groups with protocol '%s' are not supported by Isthmus yet; 'HTTP', 'HTTPS', 'TCP', 'UDP' and 'TCP_UDP' are", g.Protocol)
	case g.TargetType == resource.TargetALB && g.Protocol != "TCP":
		return nil, invalid("The protocol of a target group with target type 'alb' must be 'TCP', not '%s'", g.Protocol)
	case g.Port == 0:
		return nil, invalid("A port must be specified")
	case g.VPC == "":
		return nil, invalid("A VPC ID must be specified")
	case isHTTP(g.Protocol) && !slices.Contains(protocolVersions, cmp.Or(wire.Val(in.ProtocolVersion), defaultVersion)):
		return nil, invalid("Protocol version '%s' must be one of '%s'", *in.ProtocolVersion, strings.Join(protocolVersions, ", "))
	case !isHTTP(g.Protocol) && wire.Val(in.ProtocolVersion) != "":
		return nil, unsupported("A protocol version cannot be specified for target groups with protocol '%s'", g.Protocol)
	case wire.Val(in.IpAddressType) == "ipv6":
		return nil, unsupported("The IP address type 'ipv6' is not supported by Isthmus yet; 'ipv4' is")
	}
	if v := wire.Val(in.ProtocolVersion); v != defaultVersion {
		g.ProtocolVersion = v
	}
	var none resource.HealthCheck
	if g.TargetType == resource.TargetALB {
		none.Protocol = "HTTP"
	}
	var err error
	g.HealthCheck, err = changeHealthCheck(g, none, &api.ModifyTargetGroupInput{
		HealthCheckProtocol:        in.HealthCheckProtocol,
		HealthCheckPort:            in.HealthCheckPort,
		HealthCheckPath:            in.HealthCheckPath,
		HealthCheckEnabled:         in.HealthCheckEnabled,
		HealthCheckIntervalSeconds: in.HealthCheckIntervalSeconds,
		HealthCheckTimeoutSeconds:  in.HealthCheckTimeoutSeconds,
		HealthyThresholdCount:      in.HealthyThresholdCount,
		UnhealthyThresholdCount:    in.UnhealthyThresholdCount,
		Matcher:                    in.Matcher,
	})
	return g, err
}

// sameSettings says whether two groups would be the same if made now.
func sameSettings(a, b *resource.TargetGroup) bool {
	return a.Protocol == b.Protocol && a.ProtocolVersion == b.ProtocolVersion && a.Port == b.Port && a.VPC == b.VPC && a.TargetType == b.TargetType &&
		a.HealthCheck == b.HealthCheck && maps.Equal(a.Tags, b.Tags)
}

// groups are the target groups of the scope, read-only and sorted by ARN.
func (s scope) groups(r store.Reader) []*resource.TargetGroup {
	return slices.Collect(store.TargetGroups.ScanPrefix(r, s.arn(groupPart)))
}

// groupNamed is the target group with a name, read-only; nil if none.
func (s scope) groupNamed(r store.Reader, name string) *resource.TargetGroup {
	for g := range store.TargetGroups.ScanPrefix(r, s.arn(groupPart+name+"/")) {
		return g
	}
	return nil
}

// balancersOf are the ARNs of the load balancers that forward to a group: at
// most one.
func balancersOf(r store.Reader, group string) []string {
	arns := []string{}
	add := func(balancer string, actions []resource.Action) {
		if slices.Contains(resource.TargetGroups(actions), group) && !slices.Contains(arns, balancer) {
			arns = append(arns, balancer)
		}
	}
	for l := range store.Listeners.Scan(r) {
		add(l.LoadBalancer, l.DefaultActions)
	}
	for rule := range store.ListenerRules.Scan(r) {
		add(resource.LoadBalancerOf(rule.Listener), rule.Actions)
	}
	return arns
}

// groupsOf are the ARNs of the target groups that a load balancer forwards to,
// sorted.
func groupsOf(r store.Reader, balancer string) (arns []string) {
	for l := range store.Listeners.ScanPrefix(r, listenersOf(balancer)) {
		arns = append(arns, resource.TargetGroups(l.DefaultActions)...)
	}
	for rule := range store.ListenerRules.ScanPrefix(r, rulesOf(listenersOf(balancer))) {
		arns = append(arns, resource.TargetGroups(rule.Actions)...)
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

// DescribeTargetGroups lists target groups: all, those with the given ARNs or
// names, or those of a load balancer.
func (s *Service) DescribeTargetGroups(ctx context.Context, in *api.DescribeTargetGroupsInput) (*api.DescribeTargetGroupsOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	given := 0
	for _, is := range []bool{wire.Val(in.LoadBalancerArn) != "", len(in.TargetGroupArns) > 0, len(in.Names) > 0} {
		if is {
			given++
		}
	}
	if given > 1 {
		return nil, invalid("Only one of load balancer ARN, target group ARNs and target group names can be specified at the same time")
	}
	var found []*resource.TargetGroup
	switch {
	case wire.Val(in.LoadBalancerArn) != "":
		lb, err := sc.findBalancer(view, *in.LoadBalancerArn)
		if err != nil {
			return nil, err
		}
		for _, arn := range groupsOf(view, lb.ARN) {
			if g, ok := store.TargetGroups.Get(view, arn); ok {
				found = append(found, g)
			}
		}
	case len(in.TargetGroupArns) > 0:
		for _, arn := range in.TargetGroupArns {
			g, err := sc.findGroup(view, arn)
			if err != nil {
				return nil, err
			}
			found = append(found, g)
		}
	case len(in.Names) > 0:
		for _, name := range in.Names {
			g := sc.groupNamed(view, name)
			if g == nil {
				return nil, wire.Errorf(400, "TargetGroupNotFound", "Target groups '[%s]' not found", name)
			}
			found = append(found, g)
		}
	default:
		found = sc.groups(view)
	}
	found = sortUnique(found, (*resource.TargetGroup).Key)
	groups, next, err := page(found, (*resource.TargetGroup).Key, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	show := func(g *resource.TargetGroup) *api.TargetGroup { return showGroup(view, g) }
	return &api.DescribeTargetGroupsOutput{TargetGroups: showAll(groups, show), NextMarker: next}, nil
}

// ModifyTargetGroup changes the health check of a target group.
func (s *Service) ModifyTargetGroup(ctx context.Context, in *api.ModifyTargetGroupInput) (*api.ModifyTargetGroupOutput, error) {
	var shown *api.TargetGroup
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := scopeOf(ctx).findGroup(tx, wire.Val(in.TargetGroupArn))
		if err != nil {
			return err
		}
		if g.HealthCheck, err = changeHealthCheck(g, g.HealthCheck, in); err != nil {
			return err
		}
		store.TargetGroups.Put(tx, g)
		shown = showGroup(tx, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyTargetGroupOutput{TargetGroups: []*api.TargetGroup{shown}}, nil
}

// DeleteTargetGroup removes a target group that no listener forwards to. That
// there is none is no error.
func (s *Service) DeleteTargetGroup(ctx context.Context, in *api.DeleteTargetGroupInput) (*api.DeleteTargetGroupOutput, error) {
	arn := wire.Val(in.TargetGroupArn)
	if err := scopeOf(ctx).checkGroupARN(arn); err != nil {
		return nil, err
	}
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		if len(balancersOf(tx, arn)) > 0 {
			return wire.Errorf(400, "ResourceInUse", "Target group '%s' is currently in use by a listener or a rule", arn)
		}
		for _, h := range slices.Collect(store.TargetHealth.ScanPrefix(tx, arn+"|")) {
			store.TargetHealth.Delete(tx, h.Key())
		}
		store.TargetGroups.Delete(tx, arn)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteTargetGroupOutput{}, nil
}

func showGroup(r store.Reader, g *resource.TargetGroup) *api.TargetGroup {
	h := g.HealthCheck
	out := &api.TargetGroup{
		TargetGroupArn:             wire.Ptr(g.ARN),
		TargetGroupName:            wire.Ptr(g.Name),
		Protocol:                   wire.Ptr(g.Protocol),
		Port:                       wire.Ptr(int64(g.Port)),
		VpcId:                      wire.Ptr(g.VPC),
		HealthCheckProtocol:        wire.Ptr(h.Protocol),
		HealthCheckPort:            wire.Ptr(h.Port),
		HealthCheckEnabled:         wire.Ptr(h.Enabled),
		HealthCheckIntervalSeconds: wire.Ptr(int64(h.IntervalSeconds)),
		HealthCheckTimeoutSeconds:  wire.Ptr(int64(h.TimeoutSeconds)),
		HealthyThresholdCount:      wire.Ptr(int64(h.HealthyThreshold)),
		UnhealthyThresholdCount:    wire.Ptr(int64(h.UnhealthyThreshold)),
		LoadBalancerArns:           balancersOf(r, g.ARN),
		TargetType:                 wire.Ptr(g.TargetType),
		IpAddressType:              wire.Ptr("ipv4"),
	}
	if isHTTP(g.Protocol) {
		out.ProtocolVersion = wire.Ptr(cmp.Or(g.ProtocolVersion, defaultVersion))
	}
	if h.Protocol != "TCP" {
		out.HealthCheckPath = wire.Ptr(h.Path)
		out.Matcher = &api.Matcher{HttpCode: wire.Ptr(h.Matcher)}
		if g.ProtocolVersion == resource.VersionGRPC {
			out.Matcher = &api.Matcher{GrpcCode: wire.Ptr(h.Matcher)}
		}
	}
	return out
}
