package compile

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/maglev"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Idle times of NLB, in seconds. That of UDP can't be changed.
const (
	defaultTCPIdle = 350
	udpIdle        = 120
)

// balance adds the listeners of all Network Load Balancers' nodes, and what
// they choose from.
func (c *compiler) balance(t *tables.Tables) {
	groups := index(c.in.TargetGroups)
	healthy := healthyTargets(c.in.TargetHealth)
	for _, l := range c.in.Listeners {
		lb, group := c.balancers[l.LoadBalancer], groups[groupOf(l)]
		if lb == nil || group == nil || lb.Type == resource.ApplicationLoadBalancer {
			continue
		}
		choosable := choosable(group, healthy)
		member := hashText(group.ARN)
		for _, target := range slices.Concat(choosable, draining(group)) {
			t.Members = append(t.Members, tables.Member{Group: member, Target: addrPort(target)})
		}
		for _, z := range lb.Zones {
			node := c.interfaces[z.Interface]
			if node == nil {
				continue
			}
			set := targetSet(eligible(choosable, z.Zone, lb, group))
			if set.ID != 0 {
				t.TargetSets = append(t.TargetSets, set)
			}
			for _, protocol := range protocols(l.Protocol) {
				t.Listeners = append(t.Listeners, tables.Listener{
					ENI:            node.Number,
					Protocol:       protocol,
					Port:           uint16(l.Port),
					Targets:        set.ID,
					Group:          member,
					Idle:           idleTimeout(l, protocol),
					PreserveClient: preservesClient(group),
					Proxy:          protocol == tables.TCP && announcesClient(group),
					ID:             l.ARN,
				})
			}
		}
	}
}

// choosable are the targets that new flows may go to: the healthy ones, or, if
// no target is healthy anywhere, all (NLB fails open).
func choosable(g *resource.TargetGroup, healthy map[string]bool) []resource.Target {
	var registered, good []resource.Target
	for _, t := range g.Targets {
		if t.DrainingUntil != 0 {
			continue
		}
		registered = append(registered, t)
		if healthy[resource.TargetHealthKey(g.ARN, t.ID, t.Port)] {
			good = append(good, t)
		}
	}
	if len(good) == 0 {
		return registered
	}
	return good
}

// draining are the targets that keep the flows they have.
func draining(g *resource.TargetGroup) []resource.Target {
	return slices.DeleteFunc(slices.Clone(g.Targets), func(t resource.Target) bool { return t.DrainingUntil == 0 })
}

// eligible leaves out what the node in a zone may not choose: other zones'
// targets, unless the balancer works across zones. An Application Load Balancer
// does so across its own zones only.
func eligible(targets []resource.Target, zone string, lb *resource.LoadBalancer, group *resource.TargetGroup) []resource.Target {
	chosen := chosenIn(zone, lb, group)
	return slices.DeleteFunc(slices.Clone(targets), func(t resource.Target) bool { return !chosen(t) })
}

// chosenIn tells of a target whether it is one of them.
func chosenIn(zone string, lb *resource.LoadBalancer, group *resource.TargetGroup) func(resource.Target) bool {
	cross, own := crossZone(lb, group), lb.Type == resource.ApplicationLoadBalancer
	return func(t resource.Target) bool {
		switch {
		case t.Zone == zone || t.Zone == "all":
			return true
		case cross && own:
			return slices.ContainsFunc(lb.Zones, func(z resource.LoadBalancerZone) bool { return z.Zone == t.Zone })
		}
		return cross
	}
}

// preservesClient: by default client addresses are preserved for instances and
// load balancers, and for addresses unless the protocol is TCP.
func preservesClient(g *resource.TargetGroup) bool {
	if v := g.Attributes["preserve_client_ip.enabled"]; v != "" {
		return v == "true"
	}
	return g.TargetType != "ip" || g.Protocol != "TCP"
}

// announcesClient says whether targets are told of their clients by PROXY
// headers.
func announcesClient(g *resource.TargetGroup) bool {
	return g.Attributes["proxy_protocol_v2.enabled"] == "true"
}

func idleTimeout(l *resource.Listener, protocol uint8) uint16 {
	if protocol == tables.UDP {
		return udpIdle
	}
	if n, err := strconv.ParseUint(l.Attributes["tcp.idle_timeout.seconds"], 10, 16); err == nil {
		return uint16(n)
	}
	return defaultTCPIdle
}

func protocols(listener string) []uint8 {
	switch listener {
	case "TCP":
		return []uint8{tables.TCP}
	case "UDP":
		return []uint8{tables.UDP}
	case "TCP_UDP":
		return []uint8{tables.TCP, tables.UDP}
	}
	return nil
}

// targetSet spreads targets over the slots of a Maglev table; its ID is zero
// if there are none.
func targetSet(targets []resource.Target) tables.TargetSet {
	if len(targets) == 0 {
		return tables.TargetSet{}
	}
	var s tables.TargetSet
	for _, t := range targets {
		s.Targets = append(s.Targets, addrPort(t))
	}
	slices.SortFunc(s.Targets, netip.AddrPort.Compare)
	s.Targets = slices.Compact(s.Targets)
	s.Slots = maglev.Table(s.Targets, maglev.Size(len(s.Targets)))
	h := fnv.New64a()
	for _, t := range s.Targets {
		b, _ := t.MarshalBinary()
		h.Write(b)
	}
	s.ID = max(h.Sum64(), 1)
	return s
}

// servingZones are the nodes of a balancer that its name leads to. A zone in
// which one of the target groups has too few healthy targets is left out,
// unless that is so in every zone.
func servingZones(lb *resource.LoadBalancer, groups []*resource.TargetGroup, healthy map[string]bool) []resource.LoadBalancerZone {
	var serving []resource.LoadBalancerZone
	for _, z := range lb.Zones {
		if !slices.ContainsFunc(groups, func(g *resource.TargetGroup) bool { return failsOver(lb, g, z.Zone, healthy) }) {
			serving = append(serving, z)
		}
	}
	if len(serving) == 0 {
		return lb.Zones
	}
	return serving
}

// failsOver says whether a group has too few healthy targets for a zone to be
// in the balancer's name.
func failsOver(lb *resource.LoadBalancer, group *resource.TargetGroup, zone string, healthy map[string]bool) bool {
	registered, good := 0, 0
	for _, t := range eligible(group.Targets, zone, lb, group) {
		if t.DrainingUntil == 0 {
			registered++
			if healthy[resource.TargetHealthKey(group.ARN, t.ID, t.Port)] {
				good++
			}
		}
	}
	return good < minimumHealthy(group.Attributes, "dns_failover", registered)
}

// minimumHealthy is how many of a group's targets must be healthy so that an
// action ("dns_failover", "unhealthy_state_routing") is not taken: the greater
// of a number, 1 by default, and a percentage of those that are registered.
func minimumHealthy(set map[string]string, action string, registered int) int {
	prefix := "target_group_health." + action + ".minimum_healthy_targets."
	least := 1
	if v := set[prefix+"count"]; v != "" {
		least, _ = strconv.Atoi(v) // 0 for "off"
	}
	if percentage, err := strconv.Atoi(set[prefix+"percentage"]); err == nil {
		least = max(least, (registered*percentage+99)/100)
	}
	return least
}

// healthyTargets are the keys of the healthy ones.
func healthyTargets(rows []*resource.TargetHealth) map[string]bool {
	healthy := map[string]bool{}
	for _, h := range rows {
		healthy[h.Key()] = h.State == "healthy"
	}
	return healthy
}

func addrPort(t resource.Target) netip.AddrPort {
	return netip.AddrPortFrom(t.Address, uint16(t.Port))
}

func hashText(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return max(h.Sum64(), 1)
}
