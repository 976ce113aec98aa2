package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bench is a checker whose probes and reports are the test's. It runs on the
// fake clock of a synctest bubble.
type bench struct {
	t       *testing.T
	configs chan Config

	mu       sync.Mutex
	outcomes map[string]Outcome // by "target node", else by target; absent: passes
	probes   map[string][]time.Duration
	started  time.Time
	underway int
	most     int
	refuse   error // what Report returns
	reports  []Report
	latest   map[string]Report
	slow     time.Duration // how long a probe takes
}

func start(t *testing.T, maxProbes int) *bench {
	b := &bench{
		t:        t,
		configs:  make(chan Config),
		outcomes: map[string]Outcome{},
		probes:   map[string][]time.Duration{},
		latest:   map[string]Report{},
		started:  time.Now(),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, Options{Configs: b.configs, Report: b.report, Probe: b.probe, MaxProbes: maxProbes, Log: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return b
}

func (b *bench) probe(ctx context.Context, c Check) Outcome {
	b.mu.Lock()
	name := c.Target + " " + c.Node
	b.probes[name] = append(b.probes[name], time.Since(b.started))
	b.underway++
	b.most = max(b.most, b.underway)
	slow := b.slow
	b.mu.Unlock()

	select {
	case <-time.After(slow):
	case <-ctx.Done():
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	b.underway--
	if o, ok := b.outcomes[name]; ok {
		return o
	}
	return b.outcomes[c.Target]
}

func (b *bench) report(ctx context.Context, reports []Report) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return b.refuse
	}
	for _, r := range reports {
		b.reports = append(b.reports, r)
		b.latest[r.Target] = r
	}
	return nil
}

func (b *bench) set(target string, o Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcomes[target] = o
}

// take returns the reports since it was last called.
func (b *bench) take() []Report {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.reports
	b.reports = nil
	return taken
}

func (b *bench) wantState(target, state string) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := b.latest[target].State; got != state {
		b.t.Errorf("after %v: %s is %q, want %q", time.Since(b.started), target, got, state)
	}
}

func check(target, node string) Check {
	return Check{
		TargetGroup: "tg", Target: target, Port: 80, Node: node, Protocol: "TCP",
		Interval: 10 * time.Second, Timeout: 5 * time.Second, HealthyThreshold: 3, UnhealthyThreshold: 2,
	}
}

func TestCheckerFollowsATarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 0)
		b.configs <- Config{[]Check{check("a", "n1")}}
		b.wantState("a", Healthy) // without any time having passed

		b.set("a", refused)
		time.Sleep(12 * time.Second)
		b.wantState("a", Healthy)
		time.Sleep(11 * time.Second)
		b.wantState("a", Unhealthy)
		if got := b.latest["a"]; got.Reason != ReasonFailed || got.Description != refused.Description {
			t.Errorf("report = %+v, want the cause %+v", got, refused)
		}

		b.set("a", pass)
		time.Sleep(23 * time.Second)
		b.wantState("a", Unhealthy)
		time.Sleep(12 * time.Second)
		b.wantState("a", Healthy)
		if got := b.take(); len(got) != 3 {
			t.Errorf("reports = %+v, want three: only changes are reported", got)
		}
	})
}

func TestProbesKeepToTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 0)
		b.slow = 4 * time.Second
		b.configs <- Config{[]Check{check("a", "n1"), check("a", "n2")}}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		for name, times := range b.probes {
			if times[0] != 0 {
				t.Errorf("%s: first probe after %v", name, times[0])
			}
			for i, at := range times[1:] {
				if gap := at - times[i]; gap < 9*time.Second || gap > 11*time.Second {
					t.Errorf("%s: %v between probes, want 10 s give or take a tenth", name, gap)
				}
			}
			if len(times) < 55 || len(times) > 66 {
				t.Errorf("%s: %d probes in ten minutes", name, len(times))
			}
		}
		if fmt.Sprint(b.probes["a n1"]) == fmt.Sprint(b.probes["a n2"]) {
			t.Error("two checks that began together stayed together")
		}
	})
}

func TestTargetThatStartsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 0)
		b.set("a", refused)
		b.configs <- Config{[]Check{check("a", "n1")}}
		time.Sleep(900 * time.Millisecond)
		b.wantState("a", Initial)
		b.set("a", pass)
		time.Sleep(1200 * time.Millisecond)
		b.wantState("a", Healthy)
	})
}

func TestOneNodeTakesATargetOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 0)
		b.set("a n2", timeout)
		both := Config{[]Check{check("a", "n1"), check("a", "n2")}}
		b.configs <- both
		b.wantState("a", Healthy)
		time.Sleep(40 * time.Second)
		b.wantState("a", Unhealthy)

		// Without the node that cannot reach it, it is healthy at once.
		b.configs <- Config{[]Check{check("a", "n1")}}
		b.wantState("a", Healthy)

		// A node that comes back has to find out first.
		b.configs <- both
		time.Sleep(time.Second)
		b.wantState("a", Healthy)
	})
}

func TestSettingsChangeButStateStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 0)
		c := check("a", "n1")
		b.configs <- Config{[]Check{c}}
		b.wantState("a", Healthy)
		b.set("a", refused)
		c.Path, c.Interval = "/changed", 5*time.Second
		b.configs <- Config{[]Check{c}}
		time.Sleep(time.Second)
		b.wantState("a", Healthy)
		time.Sleep(5 * time.Second)
		b.wantState("a", Unhealthy)

		// Registered anew, it starts anew.
		c.Registered = 1
		b.set("a", pass)
		b.configs <- Config{[]Check{c}}
		b.wantState("a", Healthy)
		if got := b.latest["a"].Registered; got != 1 {
			t.Errorf("report is of registration %d", got)
		}
	})
}

func TestWithdrawnChecksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 0)
		b.slow = 4 * time.Second
		b.configs <- Config{[]Check{check("a", "n1"), check("b", "n1")}}
		time.Sleep(time.Second)
		b.configs <- Config{[]Check{check("b", "n1")}} // in the middle of a's first probe
		time.Sleep(time.Minute)
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if n := len(b.probes["a n1"]); n != 1 {
			t.Errorf("%d probes of a withdrawn check", n)
		}
		if r, reported := b.latest["a"]; reported {
			t.Errorf("reported a withdrawn target: %+v", r)
		}
		if b.latest["b"].State != Healthy {
			t.Errorf("b is %q", b.latest["b"].State)
		}
	})
}

func TestEverythingIsReportedAgain(t *testing.T) {
	const n = maxBatch + 20
	var config Config
	for i := range n {
		config.Checks = append(config.Checks, check(fmt.Sprint("t", i), "n1"))
	}
	synctest.Test(t, func(t *testing.T) {
		b := start(t, 0)
		b.configs <- config
		if got := len(b.take()); got != n {
			t.Fatalf("%d reports, want %d", got, n)
		}
		b.configs <- config // as after a new connection
		if got := len(b.take()); got != n {
			t.Fatalf("%d reports after the configuration came again, want %d", got, n)
		}
		// What can't be delivered is not lost, nor is what was under way
		// at the time.
		b.mu.Lock()
		b.refuse = errors.New("gone")
		b.mu.Unlock()
		b.set("t7", refused)
		time.Sleep(30 * time.Second)
		if got := len(b.take()); got != 0 {
			t.Fatalf("%d reports got through", got)
		}
		b.mu.Lock()
		b.refuse = nil
		b.mu.Unlock()
		time.Sleep(2 * reportRetry)
		if got := len(b.take()); got != n {
			t.Fatalf("%d reports after deliveries work again, want %d", got, n)
		}
		b.wantState("t7", Unhealthy)
	})
}

func TestProbesAreBounded(t *testing.T) {
	const n, bound = 5000, 100
	var config Config
	for i := range n {
		config.Checks = append(config.Checks, check(fmt.Sprint("t", i), "n1"))
	}
	synctest.Test(t, func(t *testing.T) {
		b := start(t, bound)
		b.slow = 100 * time.Millisecond
		b.configs <- config
		time.Sleep(6 * time.Second)
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.most != bound {
			t.Errorf("up to %d probes at once, want %d", b.most, bound)
		}
		if len(b.latest) != n {
			t.Errorf("%d of %d targets reported", len(b.latest), n)
		}
	})
}
