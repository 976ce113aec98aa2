package alb

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

func TestAnomalous(t *testing.T) {
	for name, c := range map[string]struct {
		window []tally
		want   []bool
	}{
		"one fails":            {[]tally{{100, 0}, {100, 0}, {100, 50}}, []bool{false, false, true}},
		"all fail":             {[]tally{{100, 50}, {100, 50}, {100, 60}}, []bool{false, false, false}},
		"far more than others": {[]tally{{100, 10}, {100, 10}, {100, 40}}, []bool{false, false, true}},
		"now and then":         {[]tally{{1000, 0}, {1000, 0}, {1000, 50}}, []bool{false, false, false}},
		"two targets":          {[]tally{{100, 0}, {100, 100}}, []bool{false, false}},
		"few requests":         {[]tally{{100, 0}, {100, 0}, {9, 9}}, []bool{false, false, false}},
		"nothing beside it":    {[]tally{{0, 0}, {0, 0}, {100, 100}}, []bool{false, false, false}},
		"none":                 {nil, []bool{}},
	} {
		if got := anomalous(c.window); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestMitigation: a target that fails is given less and less, and its share
// back when it does not.
func TestMitigation(t *testing.T) {
	var failing atomic.Bool
	failing.Store(true)
	good := startHandler(t, func(w http.ResponseWriter, _ *http.Request) {})
	other := startHandler(t, func(w http.ResponseWriter, _ *http.Request) {})
	bad := startHandler(t, func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			w.WriteHeader(503)
		}
	})
	c := configuration(healthy(good, other, bad))
	g := c.TargetGroups["tg"]
	g.Algorithm, g.AnomalyMitigation = config.WeightedRandom, true
	c.TargetGroups["tg"] = g
	n := startNode(t, c)
	window := func() *target {
		t.Helper()
		group := n.b.current.Load().groups["tg"]
		sick := group.bound[bad]
		others := func() (n int64) {
			for _, t := range group.healthy {
				if t != sick {
					n += t.vitals.requests.Load()
				}
			}
			return n
		}
		// Enough requests for a verdict, by whatever weight.
		for sick.vitals.requests.Load() < minRequests || others() < minRequests {
			n.get("/")
		}
		group.detect()
		return sick
	}
	sick := window()
	if !sick.vitals.anomalous.Load() || sick.vitals.weight() != fullWeight/2 {
		t.Errorf("anomalous %v, weight %d", sick.vitals.anomalous.Load(), sick.vitals.weight())
	}
	for range 4 {
		sick = window()
	}
	if sick.vitals.weight() != leastWeight {
		t.Errorf("weight %d, want no less than %d", sick.vitals.weight(), leastWeight)
	}
	counts := 0
	for range 3400 {
		if random(n.b.current.Load().groups["tg"].healthy) == sick {
			counts++
		}
	}
	if counts < 100 || counts > 300 { // 200 on average
		t.Errorf("it is chosen %d times of 3400", counts)
	}
	want := []config.Anomaly{{TargetGroup: "tg", Target: bad.String(), Port: bad.Port(), Anomalous: true, Mitigated: true}}
	if got := n.b.current.Load().anomalies(); !slices.Equal(got, want) {
		t.Errorf("found %+v", got)
	}
	// It outlives the configuration, and ends with the failures.
	next := *c
	n.apply(&next)
	failing.Store(false)
	for range 3 {
		sick = window()
	}
	if sick.vitals.anomalous.Load() || sick.vitals.weight() != fullWeight || len(n.b.current.Load().anomalies()) != 0 {
		t.Errorf("anomalous %v, weight %d", sick.vitals.anomalous.Load(), sick.vitals.weight())
	}
}
