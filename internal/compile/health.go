package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/internal/health"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// Health compiles what the health checker probes: every registered target of
// every group that a listener forwards to, from each node of the listener's
// load balancer that may choose it.
func Health(in Input) health.Config {
	groups, balancers, interfaces := index(in.TargetGroups), index(in.LoadBalancers), index(in.NetworkInterfaces)
	var c health.Config
	for _, l := range in.Listeners {
		lb, group := balancers[l.LoadBalancer], groups[l.TargetGroup]
		if lb == nil || group == nil || !group.HealthCheck.Enabled {
			continue
		}
		for _, z := range lb.Zones {
			source := interfaces[z.HealthInterface]
			if source == nil || len(source.Addresses) == 0 {
				continue
			}
			for _, t := range inZone(group.Targets, z.Zone, crossZone(lb, group)) {
				if t.DrainingUntil == 0 {
					c.Checks = append(c.Checks, check(l, group, z, source.Addresses[0], t))
				}
			}
		}
	}
	key := func(k health.Check) string { return k.TargetGroup + k.Target + strconv.Itoa(k.Port) + k.Node }
	slices.SortFunc(c.Checks, func(a, b health.Check) int {
		if key(a) < key(b) {
			return -1
		}
		return 1
	})
	// Several listeners of one balancer may forward to one group.
	c.Checks = slices.CompactFunc(c.Checks, func(a, b health.Check) bool { return key(a) == key(b) })
	return c
}

func check(l *resource.Listener, g *resource.TargetGroup, z resource.LoadBalancerZone, source netip.Addr, t resource.Target) health.Check {
	port := t.Port
	if n, err := strconv.Atoi(g.HealthCheck.Port); err == nil {
		port = n
	}
	h := g.HealthCheck
	return health.Check{
		TargetGroup:        g.ARN,
		Target:             t.ID,
		Port:               t.Port,
		Registered:         t.Registered,
		Node:               z.Interface,
		Source:             source,
		Destination:        netip.AddrPortFrom(t.Address, uint16(port)),
		Protocol:           h.Protocol,
		Path:               h.Path,
		Matcher:            h.Matcher,
		HostHeader:         fmt.Sprintf("%s:%d", z.Address, l.Port),
		Interval:           time.Duration(h.IntervalSeconds) * time.Second,
		Timeout:            time.Duration(h.TimeoutSeconds) * time.Second,
		HealthyThreshold:   h.HealthyThreshold,
		UnhealthyThreshold: h.UnhealthyThreshold,
	}
}
