package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/internal/health"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// Health compiles what the health checker probes: every registered target of
// every group that a listener or a rule forwards to, from each node of the
// load balancer that may choose it.
func Health(in Input) health.Config {
	interfaces := index(in.NetworkInterfaces)
	var c health.Config
	for _, u := range uses(in.LoadBalancers, in.Listeners, in.ListenerRules, in.TargetGroups) {
		if !u.group.HealthCheck.Enabled {
			continue
		}
		for _, z := range u.lb.Zones {
			source := interfaces[z.HealthInterface]
			if source == nil || len(source.Addresses) == 0 {
				continue
			}
			for _, t := range eligible(u.group.Targets, z.Zone, u.lb, u.group) {
				if t.DrainingUntil == 0 {
					c.Checks = append(c.Checks, check(u.port, u.group, z, source.Addresses[0], t))
				}
			}
		}
	}
	key := func(k health.Check) string { return k.TargetGroup + k.Target + strconv.Itoa(k.Port) + k.Node }
	slices.SortFunc(c.Checks, func(a, b health.Check) int {
		return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a.HostHeader, b.HostHeader))
	})
	// Several listeners and rules of one balancer may forward to one group.
	c.Checks = slices.CompactFunc(c.Checks, func(a, b health.Check) bool { return key(a) == key(b) })
	return c
}

func check(listener int, g *resource.TargetGroup, z resource.LoadBalancerZone, source netip.Addr, t resource.Target) health.Check {
	port := t.Port
	if n, err := strconv.Atoi(g.HealthCheck.Port); err == nil {
		port = n
	}
	h, node := g.HealthCheck, z.Interface
	if g.TargetType == resource.TargetALB { // one target with several addresses
		node += "/" + t.Address.String()
	}
	return health.Check{
		TargetGroup:        g.ARN,
		Target:             t.ID,
		Port:               t.Port,
		Registered:         t.Registered,
		Node:               node,
		Source:             source,
		Destination:        netip.AddrPortFrom(t.Address, uint16(port)),
		Protocol:           h.Protocol,
		Version:            g.ProtocolVersion,
		Proxy:              announcesClient(g),
		Path:               h.Path,
		Matcher:            h.Matcher,
		HostHeader:         fmt.Sprintf("%s:%d", z.Address, listener),
		Interval:           time.Duration(h.IntervalSeconds) * time.Second,
		Timeout:            time.Duration(h.TimeoutSeconds) * time.Second,
		HealthyThreshold:   h.HealthyThreshold,
		UnhealthyThreshold: h.UnhealthyThreshold,
	}
}
