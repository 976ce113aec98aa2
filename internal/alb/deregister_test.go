package alb

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// with is a configuration whose group has been changed.
func with(c *config.Config, change func(*config.TargetGroup)) *config.Config {
	next, g := *c, c.TargetGroups["tg"]
	change(&g)
	next.TargetGroups = map[string]config.TargetGroup{"tg": g}
	return &next
}

// lasting is a target whose requests last until it is told, or their connection
// ends, and which reports each.
type lasting struct {
	at                     netip.AddrPort
	met, ended, finish     chan bool
	opened, closed, unused chan bool // connections
}

func startLasting(t *testing.T) *lasting {
	l := &lasting{}
	for _, c := range []*chan bool{&l.met, &l.ended, &l.finish, &l.opened, &l.closed, &l.unused} {
		*c = make(chan bool, 10)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			io.WriteString(w, "begun ")
			http.NewResponseController(w).Flush()
		}
		l.met <- true
		// Of a request with a body, that is read first; its connection's end is then seen.
		io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-l.finish:
			io.WriteString(w, "whole")
		}
		l.ended <- true
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			l.opened <- true
		case http.StateIdle:
			l.unused <- true
		case http.StateClosed:
			l.closed <- true
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	l.at = netip.MustParseAddrPort(s.Listener.Addr().String())
	return l
}

func expect(t *testing.T, what string, c <-chan bool) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("in vain waited for: " + what)
	}
}

// begin sends a request whose answer comes later.
func (n *node) begin(path string, body io.Reader) <-chan begun {
	out := make(chan begun, 1)
	method := "GET"
	if body != nil {
		method = "POST"
	}
	r, err := http.NewRequestWithContext(n.t.Context(), method, "http://"+n.address()+path, body)
	if err != nil {
		n.t.Fatal(err)
	}
	go func() {
		response, err := n.client.Do(r)
		if err != nil {
			out <- begun{err: err}
			return
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		out <- begun{response.StatusCode, string(b), err}
	}()
	return out
}

type begun struct {
	status int
	body   string
	err    error
}

// TestDeregistration: requests go on while their target is drained. Those that
// have not ended with the delay are cut off: with 502 if there is no response,
// else in its body.
func TestDeregistration(t *testing.T) {
	target := startLasting(t)
	draining := healthy(target.at)
	draining[0].Health = config.Draining
	gone := func(g *config.TargetGroup) { g.Targets = nil }
	for _, c := range []struct {
		name, path string
		body       bool // of the request; it is not sent to its end
		earlier    bool // the connection is of rules that are no more
		want       begun
	}{
		{"waiting", "/waiting", false, false, begun{502, "", nil}},
		{"under earlier rules", "/earlier", false, true, begun{502, "", nil}},
		{"sending", "/sending", true, false, begun{502, "", nil}},
		{"begun", "/begun", false, false, begun{200, "begun ", io.ErrUnexpectedEOF}},
	} {
		conf := configuration(healthy(target.at))
		n := startNode(t, conf)
		var body io.Reader
		in, out := io.Pipe()
		if c.body {
			body = in
			go io.WriteString(out, "x")
		}
		answer := n.begin(c.path, body)
		expect(t, "a request", target.met)
		if c.earlier {
			n.apply(with(conf, func(g *config.TargetGroup) { g.Fingerprint = "another" }))
		}
		n.apply(with(conf, func(g *config.TargetGroup) { g.Targets = draining }))
		select {
		case a := <-answer:
			t.Fatalf("%s: while the target was drained: %+v", c.name, a)
		case <-time.After(50 * time.Millisecond):
		}
		n.apply(with(conf, gone))
		expect(t, "its end at the target", target.ended)
		a := <-answer
		if a.status != c.want.status || !errors.Is(a.err, c.want.err) || c.want.err != nil && a.body != c.want.body {
			t.Errorf("%s: %+v", c.name, a)
		}
		if cause := n.log.find(t, c.path)["error"]; !strings.Contains(cause.(string), "target: its deregistration delay has elapsed") {
			t.Errorf("%s: the log has %q", c.name, cause)
		}
		out.CloseWithError(context.Canceled)
	}
}

// TestUnusedTarget: what is under way with a target that is registered, but not
// chosen by this node any more, goes on.
func TestUnusedTarget(t *testing.T) {
	target := startLasting(t)
	conf := configuration(healthy(target.at))
	n := startNode(t, conf)
	answer := n.begin("/", nil)
	expect(t, "a request", target.met)
	n.apply(with(conf, func(g *config.TargetGroup) { g.Targets, g.Unused = nil, []netip.AddrPort{target.at} }))
	target.finish <- true
	if a := <-answer; a.status != 200 || a.body != "whole" {
		t.Errorf("%+v", a)
	}
	if a := n.get("/"); a.status != 503 {
		t.Errorf("a request that came later: %d", a.status)
	}
}

// TestDrainedConnections: a target that is being deregistered has connections
// for as long as it has requests, but one that clients are bound to keeps them.
// One that is registered again is as before.
func TestDrainedConnections(t *testing.T) {
	target := startLasting(t)
	conf := configuration(healthy(target.at))
	n := startNode(t, conf)
	call := func(header ...string) answer {
		target.finish <- true
		a := n.get("/", header...)
		if a.status != 200 {
			t.Fatal(a.status)
		}
		expect(t, "a request", target.met)
		expect(t, "its end", target.ended)
		return a
	}
	call()
	expect(t, "a connection", target.opened)
	expect(t, "a connection without requests", target.unused)
	drain := func(g *config.TargetGroup) {
		g.Targets = healthy(target.at)
		g.Targets[0].Health = config.Draining
	}
	n.apply(with(conf, drain))
	expect(t, "its end", target.closed)

	n.apply(conf)
	call()
	expect(t, "a connection", target.opened)
	expect(t, "a connection without requests", target.unused)
	call()
	expect(t, "a connection without requests", target.unused)
	if len(target.opened) > 0 {
		t.Error("the connections of a target that was registered again are not kept")
	}

	bound := with(conf, func(g *config.TargetGroup) { g.Stickiness = &config.Stickiness{Seconds: 60} })
	n.apply(bound)
	cookie, _, _ := strings.Cut(call().header.Get("Set-Cookie"), ";")
	expect(t, "a connection without requests", target.unused)
	n.apply(with(bound, drain))
	call("Cookie: " + cookie)
	if len(target.opened) > 0 {
		t.Error("the connection is closed, but a client is bound to the target")
	}
}
