package alb

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/loopback"
)

func TestAlgorithms(t *testing.T) {
	at := []netip.AddrPort{startTarget(t, "a"), startTarget(t, "b"), startTarget(t, "c")}
	c := configuration(healthy(at...))
	n := startNode(t, c)
	count := map[string]int{}
	for range 30 {
		count[n.get("/").seen.Name]++
	}
	if count["a"] != 10 || count["b"] != 10 || count["c"] != 10 {
		t.Errorf("in turns: %v", count)
	}

	random := *c
	random.TargetGroups = map[string]config.TargetGroup{"tg": {ARN: "tg", Algorithm: config.WeightedRandom, Targets: c.TargetGroups["tg"].Targets}}
	n.apply(&random)
	count = map[string]int{}
	for range 90 {
		count[n.get("/").seen.Name]++
	}
	if len(count) != 3 {
		t.Errorf("at random: %v", count)
	}
}

func TestLeastOutstanding(t *testing.T) {
	c := configuration(healthy(loopback.Refusing(t), loopback.Refusing(t), loopback.Refusing(t)))
	g := c.TargetGroups["tg"]
	g.Algorithm = config.LeastOutstandingRequests
	c.TargetGroups["tg"] = g
	b := New(Options{})
	if err := b.Apply(c); err != nil {
		t.Fatal(err)
	}
	group := b.current.Load().groups["tg"]
	for i, busy := range []int64{3, 1, 2} {
		group.registered[i].outstanding.Store(busy)
	}
	for range 5 {
		if got := group.choose(); got != group.registered[1] {
			t.Fatalf("chose the one with %d requests", got.outstanding.Load())
		}
	}
	// The count outlives the configuration.
	next := *c
	if err := b.Apply(&next); err != nil {
		t.Fatal(err)
	}
	if got := b.current.Load().groups["tg"].choose().outstanding.Load(); got != 1 {
		t.Errorf("chose the one with %d requests", got)
	}
}

func TestWeights(t *testing.T) {
	f := &forward{groups: []weighted{{&group{TargetGroup: &config.TargetGroup{ARN: "a"}}, 1}, {&group{TargetGroup: &config.TargetGroup{ARN: "b"}}, 0}, {&group{TargetGroup: &config.TargetGroup{ARN: "c"}}, 3}}, total: 4}
	got := ""
	for roll := range f.total {
		got += f.choose(roll).ARN
	}
	if got != "accc" {
		t.Errorf("chose %s", got)
	}
	if f.bound("c") == nil || f.bound("b") != nil || f.bound("x") != nil {
		t.Error("bound to a group that gets nothing")
	}
}

// Which targets get requests, of new clients and of those that are bound.
func TestHealth(t *testing.T) {
	for _, tt := range []struct {
		health string // of the targets a, b …: h, u, i or d
		chosen string
		bound  string
	}{
		{"hh", "ab", "ab"},
		{"hu", "a", "a"},
		{"hi", "a", "a"},
		{"hd", "a", "ab"},
		{"uu", "ab", "ab"}, // fail open
		{"ud", "a", "ab"},
		{"ui", "ab", "ab"},
		{"d", "", "a"},
		{"", "", ""},
	} {
		g := &group{TargetGroup: &config.TargetGroup{}, bound: map[netip.AddrPort]*target{}}
		chosen, bound := "", ""
		for i, h := range tt.health {
			health := map[rune]config.Health{'h': config.Healthy, 'u': config.Unhealthy, 'i': config.Initial, 'd': config.Draining}[h]
			x := &target{Target: &config.Target{ID: string(rune('a' + i)), Health: health, Address: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(i+1))}}
			g.bound[x.Address] = x
			if health != config.Draining {
				g.registered = append(g.registered, x)
			}
			if health == config.Healthy {
				g.healthy = append(g.healthy, x)
			}
		}
		for range 4 {
			if x := g.choose(); x != nil && !strings.Contains(chosen, x.ID) {
				chosen += x.ID
			}
		}
		if chosen == "ba" {
			chosen = "ab"
		}
		for i := range tt.health {
			if x := g.boundTo(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(i+1))); x != nil {
				bound += x.ID
			}
		}
		if chosen != tt.chosen || bound != tt.bound {
			t.Errorf("%s: chosen %q, bound %q", tt.health, chosen, bound)
		}
	}
}

// cookies are those of an answer, as a client sends them back.
func (a answer) cookies() string {
	var all []string
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		all = append(all, c.Name+"="+c.Value)
	}
	return "Cookie: " + strings.Join(all, "; ")
}

func sticky(t *testing.T, s *config.Stickiness) (*node, *config.Config) {
	at := []netip.AddrPort{startTarget(t, "a"), startTarget(t, "b"), startTarget(t, "c")}
	c := configuration(nil)
	c.TargetGroups["tg"] = config.TargetGroup{ARN: "tg", Algorithm: config.RoundRobin, Stickiness: s, Targets: healthy(at...)}
	return startNode(t, c), c
}

func TestDurationCookie(t *testing.T) {
	n, c := sticky(t, &config.Stickiness{Seconds: 60})
	first := n.get("/")
	set := first.header.Values("Set-Cookie")
	if len(set) != 2 || !strings.HasPrefix(set[0], "AWSALB=") || !strings.HasSuffix(set[0], "; Path=/") ||
		!strings.HasPrefix(set[1], "AWSALBCORS=") || !strings.HasSuffix(set[1], "; Path=/; SameSite=None") || !strings.Contains(set[0], "; Expires=") {
		t.Errorf("cookies %q", set)
	}
	bound := first.cookies()
	one, _, _ := strings.Cut(bound, ";")
	for range 5 {
		if a := n.get("/", "Cookie: x=y", one); a.seen.Name != first.seen.Name {
			t.Errorf("went to %s, was bound to %s", a.seen.Name, first.seen.Name)
		}
	}
	cors := "Cookie: " + strings.TrimSpace(strings.SplitN(bound, ";", 2)[1])
	if a := n.get("/", cors); a.seen.Name != first.seen.Name {
		t.Errorf("by %s went to %s", cors, a.seen.Name)
	}
	// An unhealthy target is left, and the new one kept.
	next := *c
	g := c.TargetGroups["tg"]
	g.Targets = append([]config.Target(nil), g.Targets...)
	for i := range g.Targets {
		if n.b.current.Load().groups["tg"].registered[i].Address == boundAddress(n, one) {
			g.Targets[i].Health = config.Unhealthy
		}
	}
	next.TargetGroups = map[string]config.TargetGroup{"tg": g}
	n.apply(&next)
	second := n.get("/", one)
	if second.seen.Name == first.seen.Name {
		t.Error("went to an unhealthy target")
	}
	for range 4 {
		if a := n.get("/", second.cookies()); a.seen.Name != second.seen.Name {
			t.Errorf("went to %s, was bound to %s", a.seen.Name, second.seen.Name)
		}
	}
}

func boundAddress(n *node, header string) netip.AddrPort {
	_, value, _ := strings.Cut(header, "AWSALB=")
	b, err := n.b.current.Load().sealer.Open("AWSALB", value, time.Now())
	if err != nil {
		n.t.Fatal(err)
	}
	return b.Target
}

func TestExpiredCookieBindsNobody(t *testing.T) {
	n, _ := sticky(t, &config.Stickiness{Seconds: 0})
	cookies := n.get("/").cookies()
	names := map[string]bool{}
	for range 3 {
		names[n.get("/", cookies).seen.Name] = true
	}
	if len(names) != 3 {
		t.Errorf("went to %v", names)
	}
}

func TestApplicationCookie(t *testing.T) {
	c := configuration(nil)
	var at []netip.AddrPort
	for _, name := range []string{"a", "b", "c"} {
		at = append(at, startHandler(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/login" {
				w.Header().Add("Set-Cookie", "sid="+name+"; Path=/app; HttpOnly; Max-Age=3")
			}
			w.Header().Set("X-Target", name)
		}))
	}
	c.TargetGroups["tg"] = config.TargetGroup{ARN: "tg", Stickiness: &config.Stickiness{AppCookie: "sid", Seconds: 60}, Targets: healthy(at...)}
	n := startNode(t, c)
	if set := n.get("/").header.Values("Set-Cookie"); len(set) != 0 {
		t.Errorf("cookies %q without the target's own", set)
	}
	first := n.get("/login")
	set := first.header.Values("Set-Cookie")
	if len(set) != 2 || !strings.HasPrefix(set[1], "AWSALBAPP-0=") || !strings.HasSuffix(set[1], "; Path=/app; HttpOnly") {
		t.Fatalf("cookies %q", set)
	}
	for range 5 {
		if a := n.get("/", first.cookies()); a.header.Get("X-Target") != first.header.Get("X-Target") {
			t.Errorf("went to %s, was bound to %s", a.header.Get("X-Target"), first.header.Get("X-Target"))
		}
	}
	_, own, _ := strings.Cut(first.cookies(), "; ")
	names := map[string]bool{}
	for range 3 {
		names[n.get("/", "Cookie: "+own).header.Get("X-Target")] = true
	}
	if len(names) != 3 {
		t.Errorf("without the application's cookie went to %v", names)
	}
}

func TestGroupCookie(t *testing.T) {
	c := configuration(healthy(startTarget(t, "a")))
	c.TargetGroups["tg2"] = config.TargetGroup{ARN: "tg2", Targets: healthy(startTarget(t, "b"))}
	c.Listeners[0].Default = to("tg", "tg2")
	c.Listeners[0].Default.Forward.StickySeconds = 60
	n := startNode(t, c)
	seen := map[string]bool{}
	for i := 0; len(seen) < 2; i++ {
		if i == 200 {
			t.Fatalf("only %v was chosen", seen)
		}
		first := n.get("/")
		seen[first.seen.Name] = true
		if set := first.header.Values("Set-Cookie"); len(set) != 2 || !strings.HasPrefix(set[0], "AWSALBTG=") || !strings.HasPrefix(set[1], "AWSALBTGCORS=") {
			t.Fatalf("cookies %q", set)
		}
		for range 8 {
			if a := n.get("/", first.cookies()); a.seen.Name != first.seen.Name {
				t.Fatalf("went to %s, was bound to %s", a.seen.Name, first.seen.Name)
			}
		}
	}
}
