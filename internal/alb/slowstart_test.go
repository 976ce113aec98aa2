package alb

import (
	"net/netip"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/loopback"
)

// TestSlowStart: a target enters slow start when it becomes healthy beside
// others that are warm, and leaves it with time or when it is unhealthy.
func TestSlowStart(t *testing.T) {
	at := []netip.AddrPort{loopback.Refusing(t), loopback.Refusing(t), loopback.Refusing(t)}
	b := New(Options{})
	apply := func(health ...config.Health) *group {
		t.Helper()
		c := configuration(healthy(at[:len(health)]...))
		g := c.TargetGroups["tg"]
		g.SlowStartSeconds = 100
		for i, h := range health {
			g.Targets[i].Health = h
		}
		c.TargetGroups["tg"] = g
		if err := b.Apply(c); err != nil {
			t.Fatal(err)
		}
		return b.current.Load().groups["tg"]
	}
	slow := func(g *group) (out string) {
		for _, x := range at {
			if s := g.bound[x]; s != nil && s.slowStart != nil {
				out += "s"
			} else {
				out += "-"
			}
		}
		return out
	}
	if got := slow(apply(config.Healthy, config.Initial)); got != "---" {
		t.Errorf("the first targets: %s", got)
	}
	if got := slow(apply(config.Healthy, config.Healthy, config.Initial)); got != "-s-" {
		t.Errorf("beside a warm one: %s", got)
	}
	g := apply(config.Healthy, config.Healthy, config.Initial)
	if got := slow(g); got != "-s-" {
		t.Errorf("with another configuration: %s", got)
	}
	begin := g.bound[at[1]].slowStart.begin
	for after, want := range map[time.Duration]float64{-time.Second: 0, 0: 0, 25 * time.Second: .25, 100 * time.Second: 1, time.Hour: 1} {
		if got := g.bound[at[1]].share(begin.Add(after)); got != want {
			t.Errorf("after %v its share is %v, want %v", after, got, want)
		}
	}
	count := func(after time.Duration) (n int) {
		for i := range 2000 {
			if g.warm(g.eligible(), uint64(i), begin.Add(after)) == g.bound[at[1]] {
				n++
			}
		}
		return n
	}
	if n := count(0); n != 0 {
		t.Errorf("at the beginning it got %d of 2000", n)
	}
	if n := count(50 * time.Second); n < 300 || n > 700 { // 500 on average
		t.Errorf("half way it got %d of 2000", n)
	}
	if n := count(100 * time.Second); n != 1000 {
		t.Errorf("at the end it got %d of 2000", n)
	}
	if got := slow(apply(config.Healthy, config.Unhealthy)); got != "---" {
		t.Errorf("unhealthy: %s", got)
	}
	if got := slow(apply(config.Healthy, config.Healthy)); got != "-s-" {
		t.Errorf("healthy again: %s", got)
	}
}

func TestMinimumHealthy(t *testing.T) {
	for _, c := range []struct{ healthy, minimum, eligible int }{{2, 0, 2}, {2, 2, 2}, {2, 3, 4}, {0, 1, 4}} {
		g := &group{TargetGroup: &config.TargetGroup{MinimumHealthy: c.minimum}}
		for i := range 4 {
			x := &target{Target: &config.Target{Health: config.Unhealthy}}
			g.registered = append(g.registered, x)
			if i < c.healthy {
				g.healthy = append(g.healthy, x)
			}
		}
		if got := len(g.eligible()); got != c.eligible {
			t.Errorf("%+v: %d targets are eligible", c, got)
		}
	}
}

func TestResponseHeaders(t *testing.T) {
	c := configuration(healthy(startTarget(t, "a")), config.Rule{
		Conditions: []config.Condition{{Field: config.PathPattern, Values: []string{"/fixed"}}}, Action: config.Action{FixedResponse: &config.FixedResponse{StatusCode: 404}},
	})
	c.Listeners[0].Headers = []config.Header{{Name: "X-Frame-Options", Value: "DENY"}, {Name: "x-target", Value: "hidden"}}
	n := startNode(t, c)
	for _, path := range []string{"/", "/fixed"} {
		a := n.get(path)
		if got := a.header.Values("X-Target"); len(got) != 1 || got[0] != "hidden" || a.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, a.header)
		}
	}
}
