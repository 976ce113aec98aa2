package alb

import (
	"math/rand/v2"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// choose picks a group by weight: roll is a number below the total. It is nil
// if no group has a weight.
func (f *forward) choose(roll int) *group {
	for _, w := range f.groups {
		if roll < w.weight {
			return w.group
		}
		roll -= w.weight
	}
	return nil
}

// bound is the group that a cookie names, unless it is no more given requests.
func (f *forward) bound(arn string) *group {
	for _, w := range f.groups {
		if w.ARN == arn && w.weight > 0 {
			return w.group
		}
	}
	return nil
}

// eligible are the targets of which one is chosen: the healthy ones, or all if
// none is (fail open).
func (g *group) eligible() []*target {
	if len(g.healthy) > 0 {
		return g.healthy
	}
	return g.registered
}

// choose picks a target. It is nil if none is registered.
func (g *group) choose() *target {
	targets := g.eligible()
	n := uint64(len(targets))
	if n == 0 {
		return nil
	}
	turn := g.turn.Add(1)
	switch g.Algorithm {
	case config.WeightedRandom:
		return targets[rand.IntN(len(targets))]
	case config.LeastOutstandingRequests:
		// Those that are equal take turns.
		least := targets[turn%n]
		for i := range n {
			if t := targets[(turn+i)%n]; t.outstanding.Load() < least.outstanding.Load() {
				least = t
			}
		}
		return least
	}
	return targets[turn%n]
}

// boundTo is the target that a cookie names, if it may be given requests of
// clients that are bound to it.
func (g *group) boundTo(address netip.AddrPort) *target {
	t := g.bound[address]
	if t == nil || t.Health == config.Healthy || t.Health == config.Draining || len(g.healthy) == 0 {
		return t
	}
	return nil
}
