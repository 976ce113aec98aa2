package config

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/proxy/way"
)

func TestParseURI(t *testing.T) {
	for _, c := range []struct {
		in        string
		want      URI
		authority string
	}{
		{"http://example.com", URI{Scheme: "http", Host: "example.com", Port: 80}, "example.com"},
		{"https://example.com/", URI{Scheme: "https", Host: "example.com", Port: 443, Path: "/"}, "example.com"},
		{"http://a.b:8080/x/{proxy}?q={q}&r", URI{Scheme: "http", Host: "a.b", Port: 8080, Path: "/x/{proxy}", Query: "q={q}&r"}, "a.b:8080"},
		{"https://a:80?x=/y", URI{Scheme: "https", Host: "a", Port: 80, Query: "x=/y"}, "a:80"},
		{"http://[fd00::1]:81/p", URI{Scheme: "http", Host: "[fd00::1]", Port: 81, Path: "/p"}, "[fd00::1]:81"},
		{"http://[fd00::1]", URI{Scheme: "http", Host: "[fd00::1]", Port: 80}, "[fd00::1]"},
		{"http://{host}/p%20q#f", URI{Scheme: "http", Host: "{host}", Port: 80, Path: "/p%20q"}, "{host}"},
	} {
		got, err := ParseURI(c.in)
		if err != nil || *got != c.want || got.Authority() != c.authority {
			t.Errorf("ParseURI(%q) = %+v, %v; want %+v with authority %q", c.in, got, err, c.want, c.authority)
		}
	}
	for _, bad := range []string{
		"", "example.com", "ftp://a", "HTTP//a", "http://", "http:///p", "http://:80", "http://a:0", "http://a:65536",
		"http://a:x", "http://a:-1", "http://u@a/", "http://a b/", "http://a/\r\nHost: b", "http://a/\x7f", "http://ä/", "http://::80", "http://[::1", "http://[a]/", "http://a]:1/",
	} {
		if got, err := ParseURI(bad); err == nil {
			t.Errorf("ParseURI(%q) = %+v; want an error", bad, got)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add("http://a.b:8080/x/{proxy}?q")
	f.Add("https://[::1]:9/")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		if err != nil {
			return
		}
		if u.Host == "" || u.Port < 1 || u.Port > 65535 || u.Path != "" && u.Path[0] != '/' {
			t.Fatalf("ParseURI(%q) = %+v", s, u)
		}
		if strings.ContainsAny(u.Host+u.Path+u.Query, " \r\n") || strings.ContainsAny(u.Host, "/?@") {
			t.Fatalf("ParseURI(%q) = %+v: a part holds what ends it", s, u)
		}
		again, err := ParseURI(u.Scheme + "://" + u.Authority() + u.Path + "?" + u.Query)
		if err != nil || *again != *u {
			t.Fatalf("ParseURI(%q) = %+v, written and parsed again %+v, %v", s, u, again, err)
		}
	})
}

func TestSubstitute(t *testing.T) {
	vars := map[string]string{"host": "a.b", "port": "81", "odd": "${stageVariables.host}"}
	for _, c := range []struct{ in, want, err string }{
		{"plain", "plain", ""},
		{"http://${stageVariables.host}:${stageVariables.port}/", "http://a.b:81/", ""},
		{"${stageVariables.odd}", "${stageVariables.host}", ""},
		{"${stageVariables.none}/x", "", `"none" is not defined`},
		{"${stageVariables.host", "", "no closing brace"},
		{"${other.x}", "${other.x}", ""},
	} {
		got, err := Substitute(c.in, vars)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("Substitute(%q) = %q, %v; want %q, %q", c.in, got, err, c.want, c.err)
		}
	}
}

// What the compiler writes is what the gateway reads.
func TestJSON(t *testing.T) {
	age := 0
	in := Config{
		Region: "us-east-1",
		APIs: []API{{ID: "a", Kind: HTTP, Stages: []Stage{{Name: DefaultStage, CORS: &CORS{MaxAgeSeconds: &age}, Routes: []Route{{
			Key: DefaultRoute, Method: AnyMethod, Path: DefaultRoute,
			Integration: &Integration{Type: HTTPProxy, Upstream: "k", TLS: &TLS{}, ResponseParameters: map[string]map[string]string{"200": {"a": "b"}}},
		}}}}}},
		Upstreams: map[string]way.Upstream{"k": {
			Sources:      []way.Source{{Zone: "a", Address: netip.MustParseAddr("100.64.0.9")}},
			Destinations: []way.Destination{{Zone: "b", Address: netip.MustParseAddrPort("10.0.0.1:80")}},
		}},
	}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out Config
	if err := json.Unmarshal(data, &out); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("round trip: %v\n got %+v\nwant %+v", err, out, in)
	}
}
