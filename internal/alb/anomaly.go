package alb

import (
	"cmp"
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// Anomaly detection ("Automatic target weights" in the user guide): a target
// that fails far more often than the others of its group is anomalous, and gets
// less while mitigation is on. AWS does not publish its measure; this one is
// the share of failed requests in a window of time.

const (
	anomalyWindow = 10 * time.Second
	// What a window must hold for a verdict: targets that are healthy, and
	// requests to a target.
	minCompared = 3
	minRequests = 10
	// A target is anomalous if so many times the others' share of its requests
	// fail, and at least so many of them.
	anomalyFactor = 3.0
	anomalyShare  = 0.1

	fullWeight  = 1024
	leastWeight = fullWeight / 8
)

// vitals are what is known of how a target fares, over all snapshots.
type vitals struct {
	requests, failures atomic.Int64 // in this window
	anomalous          atomic.Bool
	// reduced is what mitigation takes of the target's full weight.
	reduced atomic.Int32
}

// add counts a request that the target has answered, or failed to.
func (v *vitals) add(failed bool) {
	v.requests.Add(1)
	if failed {
		v.failures.Add(1)
	}
}

func (v *vitals) weight() int { return fullWeight - int(v.reduced.Load()) }

// tally is a target's window.
type tally struct{ requests, failures int64 }

// anomalous says which targets fail far more often than the others together.
func anomalous(list []tally) []bool {
	out := make([]bool, len(list))
	var all tally
	for _, t := range list {
		all.requests, all.failures = all.requests+t.requests, all.failures+t.failures
	}
	for i, t := range list {
		others := all.requests - t.requests
		if len(list) < minCompared || t.requests < minRequests || others < minRequests {
			continue
		}
		share, usual := float64(t.failures)/float64(t.requests), float64(all.failures-t.failures)/float64(others)
		out[i] = share >= anomalyShare && share >= anomalyFactor*usual
	}
	return out
}

// detect ends a window: what it held decides on the targets' weights.
func (g *group) detect() {
	var window []tally
	for _, t := range g.healthy {
		window = append(window, tally{t.vitals.requests.Swap(0), t.vitals.failures.Swap(0)})
	}
	for i, is := range anomalous(window) {
		v := g.healthy[i].vitals
		v.anomalous.Store(is)
		switch weight := v.weight(); {
		case !g.AnomalyMitigation:
			v.reduced.Store(0)
		case is:
			v.reduced.Store(int32(fullWeight - max(leastWeight, weight/2)))
		default:
			v.reduced.Store(int32(fullWeight - min(fullWeight, weight*2)))
		}
	}
	for _, t := range g.registered {
		if t.Health != config.Healthy {
			t.vitals.anomalous.Store(false)
			t.vitals.reduced.Store(0)
		}
	}
}

// random picks one by weight.
func random(targets []*target) *target {
	total := 0
	for _, t := range targets {
		total += t.vitals.weight()
	}
	roll := rand.IntN(total)
	for _, t := range targets {
		if roll -= t.vitals.weight(); roll < 0 {
			return t
		}
	}
	return targets[len(targets)-1] // a weight has changed meanwhile
}

// anomalies are the targets that are anomalous, or have not their full weight
// back, sorted.
func (s *snapshot) anomalies() []config.Anomaly {
	out := []config.Anomaly{}
	for arn, g := range s.groups {
		for _, t := range g.healthy {
			a := config.Anomaly{
				TargetGroup: arn, Target: t.ID, Port: t.Address.Port(),
				Anomalous: t.vitals.anomalous.Load(), Mitigated: t.vitals.weight() < fullWeight,
			}
			if a.Anomalous || a.Mitigated {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, func(a, b config.Anomaly) int {
		return cmp.Or(cmp.Compare(a.TargetGroup, b.TargetGroup), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	return out
}

// watch ends a window again and again until ctx ends, and reports what it
// found when that has changed.
func (b *Balancer) watch(ctx context.Context, report func(context.Context, []config.Anomaly) error) {
	var reported []config.Anomaly
	ticker := time.NewTicker(anomalyWindow)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s := b.current.Load()
		for _, g := range s.groups {
			g.detect()
		}
		if found := s.anomalies(); reported == nil || !reflect.DeepEqual(found, reported) {
			if err := report(ctx, found); err != nil {
				b.options.Log.Warn("report anomalies", "error", err)
				continue
			}
			reported = found
		}
	}
}
