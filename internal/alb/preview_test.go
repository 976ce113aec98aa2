package alb

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// text is a preview on one line.
func (v Preview) text() string {
	rule := "default"
	if v.Rule != nil {
		rule = fmt.Sprint(v.Rule.Priority)
	}
	out := []string{rule, v.Action}
	if v.Path != "" {
		out = append(out, "to "+v.Host+v.Path)
	}
	for _, g := range v.Groups {
		group := fmt.Sprint(g.TargetGroup, "=", g.Weight)
		if g.Bound {
			group += " bound"
		}
		for _, t := range g.Targets {
			group += " " + t.Address.String()
		}
		out = append(out, "["+group+"]")
	}
	if v.Status != 0 {
		out = append(out, fmt.Sprint(v.Status))
	}
	for _, s := range []string{v.Location, v.Cause} {
		if s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}

// TestPreview: what is told of a request is what becomes of it.
func TestPreview(t *testing.T) {
	one, two, gone := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80"), netip.MustParseAddrPort("10.0.0.3:80")
	on := func(path string, a config.Action) config.Rule {
		return config.Rule{ARN: path, Priority: len(path), Conditions: []config.Condition{{Field: config.PathPattern, Values: []string{path}}}, Action: a}
	}
	weighted := func(sticky int, groups ...config.WeightedGroup) config.Action {
		return config.Action{Forward: &config.Forward{Groups: groups, StickySeconds: sticky}}
	}
	c := configuration(healthy(one, two),
		on("/1", config.Action{FixedResponse: &config.FixedResponse{StatusCode: 418}}),
		on("/22", config.Action{Redirect: &config.Redirect{StatusCode: 301, Protocol: "HTTPS", Host: "#{host}", Port: "443", Path: "/#{path}", Query: "#{query}"}}),
		on("/333", weighted(0, config.WeightedGroup{TargetGroup: "tg", Weight: 3}, config.WeightedGroup{TargetGroup: "sick", Weight: 1}, config.WeightedGroup{TargetGroup: "empty"})),
		on("/4444", to("empty")),
		on("/55555", weighted(0, config.WeightedGroup{TargetGroup: "tg"})),
		on("/7777777", to("tg")),
		on("/666666", weighted(60, config.WeightedGroup{TargetGroup: "tg", Weight: 1}, config.WeightedGroup{TargetGroup: "sticky", Weight: 1})),
	)
	c.Listeners[0].Rules[5].URLRewrite = &config.Rewrite{Regex: "^/7(.*)$", Replace: "/new$1"}
	c.TargetGroups["sick"] = config.TargetGroup{ARN: "sick", Targets: []config.Target{{Address: one, Health: config.Unhealthy}, {Address: gone, Health: config.Draining}}}
	c.TargetGroups["empty"] = config.TargetGroup{ARN: "empty"}
	c.TargetGroups["sticky"] = config.TargetGroup{ARN: "sticky", Targets: healthy(one, two), Stickiness: &config.Stickiness{Seconds: 60}}
	b := New(Options{})
	if err := b.Apply(c); err != nil {
		t.Fatal(err)
	}
	// The cookies of a client that was bound to the second target.
	x := exchange{progress: progress{snapshot: b.current.Load(), request: &message.Request{}}}
	x.group, x.target = x.snapshot.groups["sticky"], x.snapshot.targets[targetKey{"sticky", two}]
	var answer message.Response
	x.start = x.start.AddDate(8000, 0, 0) // they do not expire while the test runs
	x.bind(x.snapshot.listeners[port].actions[6].forward, &answer)
	var cookies message.Header
	for _, set := range answer.Header.Values("Set-Cookie") {
		pair, _, _ := strings.Cut(set, ";")
		cookies.Add("Cookie", pair)
	}

	for _, tt := range []struct {
		method, path, query string
		header              message.Header
		port                uint16
		want                string
	}{
		{path: "/", want: "default forward [tg=1 10.0.0.1:80 10.0.0.2:80]"},
		{path: "/1", want: "2 fixed-response 418"},
		{path: "/22", query: "a=b", want: "3 redirect 301 https://shop.example:443/22?a=b"},
		{path: "/333", want: "4 forward [tg=3 10.0.0.1:80 10.0.0.2:80] [sick=1 10.0.0.1:80]"},
		{path: "/4444", want: "5 forward [empty=1] 503 no-healthy-target: no target is registered with empty"},
		{path: "/55555", want: "6 forward 503 no-healthy-target: no target group has a weight"},
		{path: "/666666", want: "7 forward [tg=1 10.0.0.1:80 10.0.0.2:80] [sticky=1 10.0.0.1:80 10.0.0.2:80]"},
		{path: "/666666", header: cookies, want: "7 forward [sticky=1 bound 10.0.0.2:80]"},
		{path: "/7777777", query: "a=b", want: "8 forward to shop.example/new777777?a=b [tg=1 10.0.0.1:80 10.0.0.2:80]"},
		{path: "/", header: cookies, want: "default forward [tg=1 10.0.0.1:80 10.0.0.2:80]"},
		{method: "TRACE", path: "/1", want: "default  405 request: method TRACE is not allowed"},
		{path: "/", port: 81, want: "default  503 configuration: the listener was deleted"},
	} {
		p := PreviewParams{Method: "GET", Host: "shop.example", Path: tt.path, Query: tt.query, Header: tt.header, Port: port}
		if tt.method != "" {
			p.Method = tt.method
		}
		if tt.port != 0 {
			p.Port = tt.port
		}
		if got := b.Preview(p).text(); got != tt.want {
			t.Errorf("%s %s: %s\nwant %s", p.Method, p.Path, got, tt.want)
		}
	}
	b.current.Load().listeners[port].config.TLS = &config.TLS{}
	b.current.Load().listeners[port].actions[1].redirect.Protocol = "#{protocol}"
	if got := b.Preview(PreviewParams{Method: "GET", Host: "shop.example", Path: "/22", Port: port}).Location; got != "https://shop.example:443/22" {
		t.Errorf("an HTTPS listener redirects to %s", got)
	}
	b.current.Load().groups["tg"].Version = config.GRPC
	for _, tt := range []struct {
		method string
		http2  bool
		want   string
	}{
		{"POST", true, "default forward [tg=1 10.0.0.1:80 10.0.0.2:80]"},
		{"POST", false, "default forward [tg=1] 464 protocol: a request over HTTP/1.1 to a target group with the protocol version GRPC"},
		{"GET", true, "default forward [tg=1] 464 protocol: a request with the method GET to a target group with the protocol version GRPC"},
	} {
		if got := b.Preview(PreviewParams{Method: tt.method, Host: "shop.example", Path: "/", Port: port, HTTP2: tt.http2}).text(); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
