package config

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
)

// What the compiler writes is what the node's process reads.
func TestJSON(t *testing.T) {
	in := Config{
		ENI: "eni-1", LoadBalancer: "arn:lb", Zone: "us-east-1a", Address: netip.MustParseAddr("10.0.0.5"),
		Listeners: []Listener{{
			ARN: "arn:l", Port: 80,
			Rules: []Rule{{
				ARN: "arn:r", Priority: 1,
				Conditions: []Condition{
					{Field: HTTPHeader, HeaderName: "X", Values: []string{"a*"}},
					{Field: QueryString, Query: []QueryPair{{"k", "v"}}},
					{Field: PathPattern, Regex: []string{"^/"}},
					{Field: SourceIP, Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
				},
				HostRewrite: &Rewrite{"^a$", "b"}, URLRewrite: &Rewrite{"^/a", "/b"},
				Action: Action{Forward: &Forward{Groups: []WeightedGroup{{"arn:t", 1}}, StickySeconds: 60}},
			}, {
				Action: Action{Redirect: &Redirect{301, "HTTPS", "#{host}", "443", "/#{path}", "#{query}"}},
			}},
			Default: Action{FixedResponse: &FixedResponse{404, "text/plain", "no"}},
		}},
		TargetGroups: map[string]TargetGroup{"arn:t": {
			ARN: "arn:t", Algorithm: RoundRobin, Stickiness: &Stickiness{"sid", 86400}, Fingerprint: "f",
			Targets: []Target{{"i-1", "us-east-1a", netip.MustParseAddrPort("10.0.1.10:80"), Healthy}},
		}},
		Attributes: Attributes{IdleTimeoutSeconds: 60, ClientKeepAliveSeconds: 3600, XForwardedFor: XFFAppend},
		CookieKey:  make([]byte, CookieKeySize),
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

func TestUID(t *testing.T) {
	seen := map[uint32]bool{}
	for _, n := range []uint32{0, 1, 2, 65536, LastUID - FirstUID} {
		uid, err := UID(n)
		if err != nil || uid < FirstUID || uid > LastUID || seen[uid] {
			t.Errorf("UID(%d) = %d, %v", n, uid, err)
		}
		seen[uid] = true
	}
	for _, n := range []uint32{LastUID - FirstUID + 1, 1<<32 - 1} {
		if uid, err := UID(n); err == nil {
			t.Errorf("UID(%d) = %d; want an error", n, uid)
		}
	}
}
