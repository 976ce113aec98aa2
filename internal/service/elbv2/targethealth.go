package elbv2

import (
	"context"
	"slices"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// verdict is what is answered of a target's health.
type verdict struct{ state, reason, description string }

var (
	notRegistered = verdict{"unused", "Target.NotRegistered", "Target is not registered to the target group"}
	notInUse      = verdict{"unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"}
	zoneNotInUse  = verdict{"unused", "Target.NotInUse", "Target is in an Availability Zone that is not enabled for the load balancer"}
	terminated    = verdict{"unused", "Target.InvalidState", "Target is in the terminated state"}
	draining      = verdict{"draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"}
	registering   = verdict{"initial", "Elb.RegistrationInProgress", "Target registration is in progress"}
)

// DescribeTargetHealth tells the health of the targets of a group: of all, or
// of those that are named.
func (s *Service) DescribeTargetHealth(ctx context.Context, in *api.DescribeTargetHealthInput) (*api.DescribeTargetHealthOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	g, err := sc.findGroup(view, wire.Val(in.TargetGroupArn))
	if err != nil {
		return nil, err
	}
	out := &api.DescribeTargetHealthOutput{TargetHealthDescriptions: []*api.TargetHealthDescription{}}
	anomaly := anomaliesOf(view, g, in.Include)
	add := func(t resource.Target, v verdict) {
		h := showHealth(g, t, v)
		h.AnomalyDetection = anomaly(t)
		out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, h)
	}
	judge := judgeOf(view, g)
	if len(in.Targets) == 0 {
		for _, t := range g.Targets {
			add(t, judge(t))
		}
		return out, nil
	}
	for _, d := range in.Targets {
		id, port := wire.Val(d.Id), portOf(g, d)
		if i := findTarget(g, id, port); i >= 0 {
			add(g.Targets[i], judge(g.Targets[i]))
		} else {
			add(resource.Target{ID: id, Port: port}, notRegistered)
		}
	}
	return out, nil
}

// judgeOf returns the function that tells the health of targets of a group.
func judgeOf(r store.Reader, g *resource.TargetGroup) func(resource.Target) verdict {
	balancers := balancersOf(r, g.ARN)
	zones, application := map[string]bool{allZones: true}, false
	crossZone := attributeOf(groupAttributes(g), g.Attributes, crossZoneKey)
	for _, arn := range balancers {
		lb, ok := store.LoadBalancers.Get(r, arn)
		if !ok {
			continue
		}
		for _, z := range lb.Zones {
			zones[z.Zone] = true
		}
		application = lb.Type == resource.ApplicationLoadBalancer
		if !slices.Contains(yesNo, crossZone) {
			crossZone = attributeOf(balancerAttributes(lb.Type), lb.Attributes, crossZoneKey)
		}
	}
	return func(t resource.Target) verdict {
		switch {
		case t.DrainingUntil != 0:
			return draining
		case len(balancers) == 0:
			return notInUse
		case (crossZone != "true" || application) && !zones[t.Zone]:
			return zoneNotInUse
		}
		if g.TargetType == "instance" {
			if _, runs := store.Instances.Get(r, t.ID); !runs {
				return terminated
			}
		}
		if h, ok := store.TargetHealth.Get(r, resource.TargetHealthKey(g.ARN, t.ID, t.Port)); ok {
			return verdict{h.State, h.Reason, h.Description}
		}
		return registering
	}
}

// anomaliesOf returns the function that tells what the nodes of the group's
// load balancer found of a target, if that is asked for.
func anomaliesOf(r store.Reader, g *resource.TargetGroup, include []string) func(resource.Target) *api.AnomalyDetection {
	if len(include) == 0 || slices.Contains(networkProtocols, g.Protocol) {
		return func(resource.Target) *api.AnomalyDetection { return nil }
	}
	found := map[string]resource.TargetAnomaly{}
	for _, arn := range balancersOf(r, g.ARN) {
		lb, ok := store.LoadBalancers.Get(r, arn)
		if !ok {
			continue
		}
		for _, z := range lb.Zones {
			row, ok := store.NodeAnomalies.Get(r, z.Interface)
			if !ok {
				continue
			}
			for _, a := range row.Targets {
				before := found[a.Target]
				found[a.Target] = resource.TargetAnomaly{Anomalous: before.Anomalous || a.Anomalous, Mitigated: before.Mitigated || a.Mitigated}
			}
		}
	}
	return func(t resource.Target) *api.AnomalyDetection {
		a := found[resource.TargetHealthKey(g.ARN, t.ID, t.Port)]
		out := &api.AnomalyDetection{Result: wire.Ptr(api.AnomalyResultEnumNormal), MitigationInEffect: wire.Ptr(api.MitigationInEffectEnumNo)}
		if a.Anomalous {
			out.Result = wire.Ptr(api.AnomalyResultEnumAnomalous)
		}
		if a.Mitigated {
			out.MitigationInEffect = wire.Ptr(api.MitigationInEffectEnumYes)
		}
		return out
	}
}

func showHealth(g *resource.TargetGroup, t resource.Target, v verdict) *api.TargetHealthDescription {
	port := g.HealthCheck.Port
	if port == trafficPort {
		port = strconv.Itoa(t.Port)
	}
	out := &api.TargetHealthDescription{
		Target:          &api.TargetDescription{Id: wire.Ptr(t.ID), Port: wire.Ptr(int64(t.Port))},
		HealthCheckPort: wire.Ptr(port),
		TargetHealth:    &api.TargetHealth{State: wire.Ptr(v.state)},
	}
	if g.TargetType == "ip" && t.Zone != "" {
		out.Target.AvailabilityZone = wire.Ptr(t.Zone)
	}
	if v.reason != "" {
		out.TargetHealth.Reason = wire.Ptr(v.reason)
	}
	if v.description != "" {
		out.TargetHealth.Description = wire.Ptr(v.description)
	}
	return out
}
