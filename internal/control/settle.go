package control

import (
	"slices"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// unsettled names the rows of a snapshot whose state waits for the data plane.
// named are endpoints that wait for the resolver too; nobody calls the others,
// which are a VPC link's, by name.
type unsettled struct {
	endpoints, named, balancers, linksV1, linksV2, virtualInterfaces []string
	// draining are targets as the snapshot has them, by the ARNs of their groups.
	draining map[string][]resource.Target
}

func (u unsettled) empty() bool {
	return len(u.endpoints)+len(u.named)+len(u.balancers)+len(u.linksV1)+len(u.linksV2)+len(u.virtualInterfaces)+len(u.draining) == 0
}

// findUnsettled finds them, but for the load balancers that do not serve yet,
// and the target groups of which they have not heard.
func findUnsettled(r store.Reader, serves func(*resource.LoadBalancer) bool, heard func(*resource.TargetGroup) bool) (u unsettled) {
	for e := range store.VPCEndpoints.Scan(r) {
		switch {
		case e.State != resource.EndpointPending:
		case e.ManagedBy != "":
			u.endpoints = append(u.endpoints, e.ID)
		default:
			u.named = append(u.named, e.ID)
		}
	}
	for l := range store.LoadBalancers.Scan(r) {
		if l.State == "provisioning" && serves(l) {
			u.balancers = append(u.balancers, l.ARN)
		}
	}
	for l := range store.VPCLinksV1.Scan(r) {
		if l.Status == resource.VPCLinkPending && l.Endpoint != "" {
			u.linksV1 = append(u.linksV1, l.ID)
		}
	}
	for l := range store.VPCLinksV2.Scan(r) {
		if l.Status == resource.VPCLinkPending && len(l.Interfaces) > 0 {
			u.linksV2 = append(u.linksV2, l.ID)
		}
	}
	for v := range store.VirtualInterfaces.Scan(r) {
		if !v.Provisioned {
			u.virtualInterfaces = append(u.virtualInterfaces, v.ID)
		}
	}
	u.draining = map[string][]resource.Target{}
	for g := range store.TargetGroups.Scan(r) {
		for _, t := range g.Targets {
			if t.DrainingSeconds != 0 && heard(g) {
				u.draining[g.ARN] = append(u.draining[g.ARN], t)
			}
		}
	}
	return u
}

// settle moves on the states of rows that the data plane now serves: an answer
// that says so must not come before a packet can flow.
func settle(tx *store.Tx, u unsettled, now time.Time) error {
	for _, id := range slices.Concat(u.endpoints, u.named) {
		if e, ok := store.VPCEndpoints.Get(tx, id); ok && e.State == resource.EndpointPending {
			e.State = resource.EndpointAvailable
			store.VPCEndpoints.Put(tx, e)
		}
	}
	for _, arn := range u.balancers {
		if l, ok := store.LoadBalancers.Get(tx, arn); ok && l.State == "provisioning" {
			l.State = "active"
			store.LoadBalancers.Put(tx, l)
		}
	}
	for _, id := range u.linksV1 {
		if l, ok := store.VPCLinksV1.Get(tx, id); ok && l.Status == resource.VPCLinkPending {
			l.Status, l.StatusMessage = resource.VPCLinkAvailable, linkV1Ready
			store.VPCLinksV1.Put(tx, l)
		}
	}
	for _, id := range u.linksV2 {
		if l, ok := store.VPCLinksV2.Get(tx, id); ok && l.Status == resource.VPCLinkPending {
			l.Status, l.StatusMessage = resource.VPCLinkAvailable, linkV2Ready
			store.VPCLinksV2.Put(tx, l)
		}
	}
	for _, id := range u.virtualInterfaces {
		if v, ok := store.VirtualInterfaces.Get(tx, id); ok {
			v.Provisioned = true
			store.VirtualInterfaces.Put(tx, v)
		}
	}
	for arn, draining := range u.draining {
		g, ok := store.TargetGroups.Get(tx, arn)
		if !ok {
			continue
		}
		for i := range g.Targets {
			if t := &g.Targets[i]; slices.Contains(draining, *t) {
				t.DrainFrom(now, t.DrainingSeconds)
				t.DrainingSeconds = 0
			}
		}
		store.TargetGroups.Put(tx, g)
	}
	return nil
}

// drained removes targets whose deregistration delay is over, and health rows
// of targets that are gone.
func drained(now time.Time) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		for _, g := range store.TargetGroups.List(tx) {
			kept := g.Targets[:0]
			for _, t := range g.Targets {
				if at := t.DrainedAt(); at.IsZero() || at.After(now) {
					kept = append(kept, t)
				}
			}
			if len(kept) < len(g.Targets) {
				g.Targets = kept
				store.TargetGroups.Put(tx, g)
			}
		}
		for _, h := range store.TargetHealth.List(tx) {
			if !registered(tx, h) {
				store.TargetHealth.Delete(tx, h.Key())
			}
		}
		return nil
	}
}

// nextDrained is when drained has something to do next; the zero time: never.
func nextDrained(r store.Reader) (next time.Time) {
	for g := range store.TargetGroups.Scan(r) {
		for _, t := range g.Targets {
			if at := t.DrainedAt(); !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	for h := range store.TargetHealth.Scan(r) {
		if !registered(r, h) {
			return time.Unix(1, 0)
		}
	}
	return next
}

func registered(r store.Reader, h *resource.TargetHealth) bool {
	g, ok := store.TargetGroups.Get(r, h.TargetGroup)
	if !ok {
		return false
	}
	for _, t := range g.Targets {
		if t.ID == h.Target && t.Port == h.Port {
			return true
		}
	}
	return false
}
