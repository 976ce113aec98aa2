package health

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	pass    = Outcome{}
	refused = Outcome{ReasonFailed, "Health checks failed: connection refused"}
	timeout = Outcome{ReasonTimeout, "Request timed out"}
	broken  = Outcome{ReasonInternal, "Health checks failed due to an internal error: bind"}
)

// probeEvery plays outcomes at a fixed interval: "+" passes, "-" fails, "?" is
// inconclusive.
func probeEvery(interval time.Duration, c *Check, outcomes string) view {
	var v view
	now := time.Unix(0, 0)
	for _, o := range outcomes {
		v = v.next(map[rune]Outcome{'+': pass, '-': refused, '?': broken}[o], c, now)
		now = now.Add(interval)
	}
	return v
}

func TestViewStates(t *testing.T) {
	c := &Check{Interval: 30 * time.Second, HealthyThreshold: 3, UnhealthyThreshold: 2}
	for _, tc := range []struct {
		outcomes, want string
	}{
		{"", ""},
		{"+", Healthy},
		{"-", ""},
		{"-+", Healthy},
		{"--", Unhealthy},
		{"+-", Healthy},
		{"+-+-+-", Healthy},
		{"+--", Unhealthy},
		{"--+", Unhealthy},
		{"--++", Unhealthy},
		{"--+++", Healthy},
		{"--++-++", Unhealthy},
		{"--++-+++", Healthy},
		{"?", ""},
		{"???", ""},
		{"?+", Healthy},
		{"+????", Healthy},
		{"+-?-", Unhealthy},
		{"--????", Unhealthy},
	} {
		if got := probeEvery(c.Interval, c, tc.outcomes); got.state != tc.want {
			t.Errorf("%q: state %q, want %q", tc.outcomes, got.state, tc.want)
		}
	}
}

// While a target starts it is probed more often than the interval says; that
// must not use up its threshold early.
func TestInitialFailuresCountByTime(t *testing.T) {
	c := &Check{Interval: 30 * time.Second, HealthyThreshold: 5, UnhealthyThreshold: 2}
	var v view
	start := time.Unix(0, 0)
	now := start
	var delays []time.Duration
	for v.state == "" {
		v = v.next(refused, c, now)
		delays = append(delays, v.delay(c))
		now = now.Add(v.delay(c))
	}
	if took := now.Add(-delays[len(delays)-1]).Sub(start); took < 27*time.Second || took > 60*time.Second {
		t.Errorf("became unhealthy after %v, want about 30 s", took)
	}
	if delays[0] != firstRetry || delays[1] != 2*firstRetry || delays[len(delays)-1] != c.Interval {
		t.Errorf("delays = %v, want them to double from %v up to %v", delays, firstRetry, c.Interval)
	}
}

func TestDelayOfProbesThatCannotBeSent(t *testing.T) {
	c := &Check{Interval: 5 * time.Second, HealthyThreshold: 2, UnhealthyThreshold: 2}
	for _, before := range []string{"", "+", "--"} {
		if got := probeEvery(c.Interval, c, before+"?").delay(c); got != firstRetry {
			t.Errorf("after %q and one inconclusive probe: delay %v, want %v", before, got, firstRetry)
		}
		if got := probeEvery(c.Interval, c, before+"??????????").delay(c); got != c.Interval {
			t.Errorf("after %q and many inconclusive probes: delay %v, want the interval", before, got)
		}
	}
}

func TestMerge(t *testing.T) {
	fresh, starting := view{}, view{cause: refused}
	healthy, unhealthy := view{state: Healthy}, view{state: Unhealthy, cause: timeout}
	for _, c := range []struct {
		name                string
		views               []view
		state, reason, says string
	}{
		{"nothing known", []view{fresh, fresh}, "", "", ""},
		{"starting", []view{fresh, starting}, Initial, ReasonInitial, "Initial health checks in progress: " + refused.Description},
		{"one healthy", []view{fresh, healthy, starting}, Healthy, "", ""},
		{"all healthy", []view{healthy, healthy}, Healthy, "", ""},
		{"all unhealthy", []view{unhealthy, unhealthy}, Unhealthy, ReasonTimeout, timeout.Description},
		{"one of two", []view{healthy, unhealthy}, Unhealthy, ReasonTimeout, timeout.Description + " (1 of 2 load balancer nodes)"},
		{"cause of the unhealthy", []view{starting, unhealthy}, Unhealthy, ReasonTimeout, timeout.Description + " (1 of 2 load balancer nodes)"},
	} {
		state, reason, says, ok := merge(c.views)
		if state != c.state || reason != c.reason || says != c.says || ok != (c.state != "") {
			t.Errorf("%s: merge = %q, %q, %q, %v; want %q, %q, %q", c.name, state, reason, says, ok, c.state, c.reason, c.says)
		}
	}
}

// A healthy target needs the threshold's number of failures in a row to become
// unhealthy, and the other way round: whatever came before.
func TestThresholdsHoldForAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Check{
			Interval:           5 * time.Second,
			HealthyThreshold:   rapid.IntRange(2, 10).Draw(t, "healthy"),
			UnhealthyThreshold: rapid.IntRange(2, 10).Draw(t, "unhealthy"),
		}
		history := rapid.StringOfN(rapid.SampledFrom([]rune("+-?")), 0, 60, -1).Draw(t, "history")
		before := probeEvery(c.Interval, c, history)
		conclusive := strings.ReplaceAll(history, "?", "")
		switch before.state {
		case Healthy:
			if strings.HasSuffix(conclusive, strings.Repeat("-", c.UnhealthyThreshold)) {
				t.Fatalf("healthy after %q with threshold %d", history, c.UnhealthyThreshold)
			}
		case Unhealthy:
			if strings.HasSuffix(conclusive, strings.Repeat("+", c.HealthyThreshold)) {
				t.Fatalf("unhealthy after %q with threshold %d", history, c.HealthyThreshold)
			}
			if before.cause != refused {
				t.Fatalf("unhealthy because of %v", before.cause)
			}
		default:
			if strings.Contains(conclusive, "+") {
				t.Fatalf("initial after %q", history)
			}
		}
	})
}
