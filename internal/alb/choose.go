package alb

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

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

// failsOpen says whether too few targets are healthy for the others to be left
// out.
func (g *group) failsOpen() bool { return len(g.healthy) < max(1, g.MinimumHealthy) }

// eligible are the targets of which one is chosen.
func (g *group) eligible() []*target {
	if g.failsOpen() {
		return g.registered
	}
	return g.healthy
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
		return random(targets)
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
	if g.SlowStartSeconds > 0 {
		return g.warm(targets, turn, time.Now())
	}
	return targets[turn%n]
}

// warm is the target whose turn it is, but leaves out those in slow start as
// often as they are far from its end.
func (g *group) warm(targets []*target, turn uint64, now time.Time) *target {
	n := uint64(len(targets))
	for i := range n {
		if t := targets[(turn+i)%n]; rand.Float64() < t.share(now) {
			return t
		}
	}
	return targets[turn%n]
}

// share is what a target is given of its full share: from 0 to 1.
func (t *target) share(now time.Time) float64 {
	if t.slowStart == nil {
		return 1
	}
	return t.slowStart.share(now)
}

// slowStart is the time in which the share of a target grows.
type slowStart struct {
	begin    time.Time
	duration time.Duration
}

func (s *slowStart) share(now time.Time) float64 {
	return min(1, max(0, float64(now.Sub(s.begin))/float64(s.duration)))
}

// boundTo is the target that a cookie names, if it may be given requests of
// clients that are bound to it.
func (g *group) boundTo(address netip.AddrPort) *target {
	t := g.bound[address]
	if t == nil || t.Health == config.Healthy || t.Health == config.Draining || g.failsOpen() {
		return t
	}
	return nil
}

// lacks tells whether no target with the address is registered, of which a group
// that no rule names any more says nothing.
func (g *group) lacks(address netip.AddrPort) bool {
	return g != nil && g.bound[address] == nil && !slices.Contains(g.Unused, address)
}

// noTarget says why a request is given to no target: there is none in the group
// that was chosen, or no group to choose.
func noTarget(g *group) string {
	if g == nil {
		return "no-healthy-target: no target group has a weight"
	}
	return "no-healthy-target: no target is registered with " + g.ARN
}
