package alb

import (
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

func TestTransforms(t *testing.T) {
	at := func(regex string) []config.Condition {
		return []config.Condition{{Field: config.PathPattern, Regex: []string{regex}}}
	}
	c := configuration(healthy(startTarget(t, "a")),
		config.Rule{
			ARN: "forward", Priority: 1, Conditions: at(`^/v\d+/`), Action: to("tg"),
			HostRewrite: &config.Rewrite{Regex: `^(\w+)\.example`, Replace: "$1.inner"},
			URLRewrite:  &config.Rewrite{Regex: `^/v(\d+)/([^?]*)`, Replace: "/$2;version=$1"},
		},
		config.Rule{
			ARN: "redirect", Priority: 2, Conditions: at(`^/old/`), URLRewrite: &config.Rewrite{Regex: `^/old/`, Replace: "/new/"},
			Action: config.Action{Redirect: &config.Redirect{StatusCode: 302, Protocol: "HTTPS", Host: "#{host}", Port: "443", Path: "/#{path}", Query: "#{query}"}},
		},
		config.Rule{
			ARN: "broken", Priority: 3, Conditions: at(`^/broken`), URLRewrite: &config.Rewrite{Regex: `^/`, Replace: ""}, Action: to("tg"),
		},
	)
	n := startNode(t, c)
	if a := n.get("/v2/pets%2Fcats?limit=1", "Host: shop.example:8080"); a.seen.URI != "/pets%2Fcats;version=2?limit=1" || a.seen.Host != "shop.inner:8080" {
		t.Errorf("%d: %s %s", a.status, a.seen.Host, a.seen.URI)
	}
	if a := n.get("/v2/x", "Host: other"); a.seen.URI != "/x;version=2" || a.seen.Host != "other:8080" {
		t.Errorf("%d: %s %s", a.status, a.seen.Host, a.seen.URI)
	}
	if a := n.get("/old/a?b", "Host: other"); a.header.Get("Location") != "https://other:443/new/a?b" {
		t.Errorf("%d: %v", a.status, a.header)
	}
	if a := n.get("/broken"); a.status != 500 {
		t.Errorf("status %d", a.status)
	}
	// The log has the request as it came.
	if line := n.log.find(t, "/broken"); line["matched_rule_priority"] != 3.0 || line["error"] != "rule: the transform makes a request that is not valid" {
		t.Errorf("logged %v", line)
	}
	n.log.find(t, "/v2/x")
}
