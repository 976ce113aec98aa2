package compile

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// albInput is an Application Load Balancer in zones a and b, whose listener
// forwards to one group and whose rule to another.
func albInput() Input {
	forward := func(groups ...string) []resource.Action {
		f := &resource.Forward{Sticky: len(groups) > 1, StickySeconds: 60}
		for _, g := range groups {
			f.Groups = append(f.Groups, resource.WeightedGroup{TargetGroup: g, Weight: 1})
		}
		return []resource.Action{{Forward: f}}
	}
	target := func(address, zone string) resource.Target {
		return resource.Target{ID: address, Address: netip.MustParseAddr(address), Port: 80, Zone: zone}
	}
	gone := target("10.0.1.4", "a")
	gone.DrainingUntil = 1
	eni := func(n uint32, id string) *resource.NetworkInterface {
		return &resource.NetworkInterface{
			ID: id, Number: n, VPC: "vpc-1", Subnet: "subnet-1", Type: resource.InterfacePlain, Owner: "arn:lb",
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 1, byte(100 + n)})}, MAC: "02:00:00:00:00:01",
			Attachment: &resource.Attachment{ID: "ela-attach-1"},
		}
	}
	check := resource.HealthCheck{Enabled: true, Protocol: "HTTP", Port: "traffic-port", Path: "/", Matcher: "200", IntervalSeconds: 30, TimeoutSeconds: 5, HealthyThreshold: 5, UnhealthyThreshold: 2}
	return Input{
		VPCs:    []*resource.VPC{{ID: "vpc-1", Number: 1}},
		Subnets: []*resource.Subnet{{ID: "subnet-1", VPC: "vpc-1", CIDR: netip.MustParsePrefix("10.0.1.0/24"), Zone: "a"}},
		NetworkInterfaces: []*resource.NetworkInterface{
			eni(1, "eni-a"), eni(2, "eni-b"),
			{ID: "eni-ha", Number: 3, Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.3")}, NAT: "eni-a"},
			{ID: "eni-hb", Number: 4, Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.4")}, NAT: "eni-b"},
		},
		LoadBalancers: []*resource.LoadBalancer{{
			ARN: "arn:lb", Type: resource.ApplicationLoadBalancer, CookieKey: []byte("key"),
			Attributes: map[string]string{"idle_timeout.timeout_seconds": "7", "routing.http.xff_header_processing.mode": "remove"},
			Zones: []resource.LoadBalancerZone{
				{Zone: "a", Interface: "eni-a", Address: netip.MustParseAddr("10.0.1.101"), HealthInterface: "eni-ha"},
				{Zone: "b", Interface: "eni-b", Address: netip.MustParseAddr("10.0.1.102"), HealthInterface: "eni-hb"},
			},
		}},
		Listeners: []*resource.Listener{
			{ARN: "l2", LoadBalancer: "arn:lb", Protocol: "HTTP", Port: 8080, DefaultActions: []resource.Action{{FixedResponse: &resource.FixedResponse{StatusCode: "404", MessageBody: "no"}}}},
			{ARN: "l1", LoadBalancer: "arn:lb", Protocol: "HTTP", Port: 80, DefaultActions: forward("g1"),
				Attributes: map[string]string{"routing.http.response.x_frame_options.header_value": "DENY", "routing.http.response.access_control_max_age.header_value": "5"}},
		},
		ListenerRules: []*resource.ListenerRule{
			{ARN: "r2", Listener: "l1", Priority: 20, Conditions: []resource.RuleCondition{{Field: "source-ip", Values: []string{"10.0.0.0/8"}}},
				Actions: []resource.Action{{Redirect: &resource.Redirect{StatusCode: "HTTP_301", Protocol: "HTTPS", Host: "#{host}", Port: "443", Path: "/#{path}", Query: "#{query}"}}}},
			{ARN: "r1", Listener: "l1", Priority: 3, Conditions: []resource.RuleCondition{{Field: "query-string", Query: []resource.QueryPair{{Key: "k", Value: "v"}}}, {Field: "path-pattern", Regex: []string{"^/"}}},
				HostRewrite: &resource.Rewrite{Regex: "a", Replace: "b"}, URLRewrite: &resource.Rewrite{Regex: "c", Replace: "d"}, Actions: forward("g1", "g2")},
		},
		TargetGroups: []*resource.TargetGroup{
			{ARN: "g1", Protocol: "HTTP", HealthCheck: check, Attributes: map[string]string{"stickiness.enabled": "true", "slow_start.duration_seconds": "30", "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "40"},
				Targets: []resource.Target{target("10.0.1.9", "a"), target("10.0.1.5", "b"), target("10.0.1.7", "c"), target("10.0.1.8", "all"), gone}},
			{ARN: "g2", Protocol: "HTTP", HealthCheck: check, Attributes: map[string]string{"load_balancing.cross_zone.enabled": "false", "load_balancing.algorithm.type": "least_outstanding_requests"},
				Targets: []resource.Target{target("10.0.1.9", "a"), target("10.0.1.5", "b")}},
		},
		TargetHealth: []*resource.TargetHealth{
			{TargetGroup: "g1", Target: "10.0.1.9", Port: 80, State: "healthy"},
			{TargetGroup: "g1", Target: "10.0.1.5", Port: 80, State: "unhealthy"},
		},
	}
}

func TestALB(t *testing.T) {
	at := func(address string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(address), 80) }
	target := func(address, zone string, h config.Health) config.Target {
		return config.Target{ID: address, Zone: zone, Address: at(address), Health: h}
	}
	want := config.Config{
		ENI: "eni-b", LoadBalancer: "arn:lb", Zone: "b", Address: netip.MustParseAddr("10.0.1.102"), CookieKey: []byte("key"), Resolver: netip.MustParseAddrPort("169.254.169.253:53"),
		Attributes: config.Attributes{IdleTimeoutSeconds: 7, ClientKeepAliveSeconds: 3600, XForwardedFor: config.XFFRemove},
		Listeners: []config.Listener{
			{ARN: "l1", Port: 80, Headers: []config.Header{{Name: "Access-Control-Max-Age", Value: "5"}, {Name: "X-Frame-Options", Value: "DENY"}}, Default: config.Action{Forward: &config.Forward{Groups: []config.WeightedGroup{{TargetGroup: "g1", Weight: 1}}}},
				Rules: []config.Rule{
					{ARN: "r1", Priority: 3, Conditions: []config.Condition{{Field: config.QueryString, Query: []config.QueryPair{{Key: "k", Value: "v"}}}, {Field: config.PathPattern, Regex: []string{"^/"}}},
						HostRewrite: &config.Rewrite{Regex: "a", Replace: "b"}, URLRewrite: &config.Rewrite{Regex: "c", Replace: "d"},
						Action: config.Action{Forward: &config.Forward{Groups: []config.WeightedGroup{{TargetGroup: "g1", Weight: 1}, {TargetGroup: "g2", Weight: 1}}, StickySeconds: 60}}},
					{ARN: "r2", Priority: 20, Conditions: []config.Condition{{Field: config.SourceIP, Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
						Action: config.Action{Redirect: &config.Redirect{StatusCode: 301, Protocol: "HTTPS", Host: "#{host}", Port: "443", Path: "/#{path}", Query: "#{query}"}}},
				}},
			{ARN: "l2", Port: 8080, Default: config.Action{FixedResponse: &config.FixedResponse{StatusCode: 404, MessageBody: "no"}}},
		},
		TargetGroups: map[string]config.TargetGroup{
			// Zone c has no node, so its target is not used.
			"g1": {ARN: "g1", Algorithm: config.RoundRobin, SlowStartSeconds: 30, MinimumHealthy: 2, Stickiness: &config.Stickiness{Seconds: 86400}, Targets: []config.Target{
				target("10.0.1.4", "a", config.Draining), target("10.0.1.5", "b", config.Unhealthy), target("10.0.1.8", "all", config.Initial), target("10.0.1.9", "a", config.Healthy),
			}, Unused: []netip.AddrPort{at("10.0.1.7")}},
			"g2": {ARN: "g2", Algorithm: config.LeastOutstandingRequests, MinimumHealthy: 1, Targets: []config.Target{target("10.0.1.5", "b", config.Initial)}, Unused: []netip.AddrPort{at("10.0.1.9")}},
		},
	}
	nodes := ALB(albInput())
	if len(nodes) != 2 || !reflect.DeepEqual(nodes["eni-b"], want) {
		t.Errorf("configuration of %d nodes:\n got %+v\nwant %+v", len(nodes), nodes["eni-b"], want)
	}
}

// TestALBInDataPlane: a node is a host with a device, which names its process,
// and no listener of the data plane.
func TestALBInDataPlane(t *testing.T) {
	in := albInput()
	tab := Tables(in)
	i := slices.IndexFunc(tab.ENIs, func(e tables.ENI) bool { return e.ID == "eni-a" })
	if e := tab.ENIs[i]; e.Kind != tables.Host || e.Device == nil || e.Owner != config.Role("eni-a") || len(tab.Listeners)+len(tab.TargetSets)+len(tab.Members) != 0 {
		t.Errorf("node %+v, %d listeners", e, len(tab.Listeners))
	}
	print := func() string {
		nodes := ALB(in)
		FingerprintALB(nodes, Tables(in))
		return nodes["eni-a"].TargetGroups["g1"].Fingerprint
	}
	before := print()
	in.NetworkInterfaces[0].Groups = []string{"sg-1"}
	if after := print(); before == "" || after == before {
		t.Errorf("the fingerprint was %q and is %q under another security group", before, after)
	}
}

// TestALBHealthChecks: each node checks the targets that it may choose, those
// of rules too, each once.
func TestALBHealthChecks(t *testing.T) {
	var got []string
	for _, c := range Health(albInput()).Checks {
		got = append(got, c.TargetGroup+" "+c.Target+" "+c.Node+" "+c.HostHeader)
	}
	want := []string{
		"g1 10.0.1.5 eni-a 10.0.1.101:80", "g1 10.0.1.5 eni-b 10.0.1.102:80", "g1 10.0.1.8 eni-a 10.0.1.101:80", "g1 10.0.1.8 eni-b 10.0.1.102:80",
		"g1 10.0.1.9 eni-a 10.0.1.101:80", "g1 10.0.1.9 eni-b 10.0.1.102:80", "g2 10.0.1.5 eni-b 10.0.1.102:80", "g2 10.0.1.9 eni-a 10.0.1.101:80",
	}
	if !slices.Equal(got, want) {
		t.Errorf("checks:\n got %q\nwant %q", got, want)
	}
}

func TestMinimumHealthy(t *testing.T) {
	const prefix = "target_group_health.dns_failover.minimum_healthy_targets."
	for _, c := range []struct {
		count, percentage string
		registered, want  int
	}{{"", "", 10, 1}, {"off", "", 10, 0}, {"3", "", 10, 3}, {"", "50", 10, 5}, {"off", "50", 3, 2}, {"7", "50", 10, 7}, {"off", "100", 0, 0}} {
		set := map[string]string{prefix + "count": c.count, prefix + "percentage": c.percentage}
		if got := minimumHealthy(set, "dns_failover", c.registered); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestALBServingZones: the name leads away from a zone whose targets are
// unhealthy only with cross-zone load balancing off, and never from all zones.
func TestALBServingZones(t *testing.T) {
	zones := func(change func(*Input)) (out string) {
		in := albInput()
		in.TargetHealth = []*resource.TargetHealth{
			{TargetGroup: "g1", Target: "10.0.1.9", Port: 80, State: "healthy"}, {TargetGroup: "g1", Target: "10.0.1.5", Port: 80, State: "unhealthy"},
			{TargetGroup: "g2", Target: "10.0.1.9", Port: 80, State: "healthy"}, {TargetGroup: "g2", Target: "10.0.1.5", Port: 80, State: "unhealthy"},
		}
		change(&in)
		groups := groupsByBalancer(uses(in.LoadBalancers, in.Listeners, in.ListenerRules, in.TargetGroups))
		for _, z := range servingZones(in.LoadBalancers[0], groups["arn:lb"], healthyTargets(in.TargetHealth)) {
			out += z.Zone
		}
		return out
	}
	if got := zones(func(*Input) {}); got != "a" { // by g2, which a rule forwards to
		t.Errorf("zones %s", got)
	}
	if got := zones(func(in *Input) { in.TargetGroups[1].Attributes = nil }); got != "ab" {
		t.Errorf("across zones: %s", got)
	}
	if got := zones(func(in *Input) { in.TargetHealth = nil }); got != "ab" {
		t.Errorf("with no healthy target: %s", got)
	}
	if got := zones(func(in *Input) {
		in.TargetGroups[1].Attributes["target_group_health.dns_failover.minimum_healthy_targets.count"] = "off"
	}); got != "ab" {
		t.Errorf("without failover: %s", got)
	}
}

// TestALBAsTarget: a Network Load Balancer's node sends to the nodes of an
// Application Load Balancer in its own zone, and checks each of them.
func TestALBAsTarget(t *testing.T) {
	in := albInput()
	nlb := *in.LoadBalancers[0]
	nlb.ARN, nlb.Type = "arn:nlb", resource.NetworkLoadBalancer
	in.LoadBalancers = append(in.LoadBalancers, &nlb)
	group := &resource.TargetGroup{
		ARN: "g3", Protocol: "TCP", TargetType: resource.TargetALB, HealthCheck: in.TargetGroups[0].HealthCheck,
		Targets: []resource.Target{{ID: "arn:lb", Port: 80, Zone: "all"}},
	}
	group = group.Resolved(func(string) (*resource.LoadBalancer, bool) { return in.LoadBalancers[0], true })
	in.TargetGroups = append(in.TargetGroups, group)
	in.Listeners = append(in.Listeners, &resource.Listener{
		ARN: "l3", LoadBalancer: "arn:nlb", Protocol: "TCP", Port: 80, DefaultActions: []resource.Action{{Forward: &resource.Forward{Groups: []resource.WeightedGroup{{TargetGroup: "g3"}}}}},
	})
	tab := Tables(in)
	if len(tab.Listeners) != 2 || len(tab.TargetSets) != 2 || !tab.Listeners[0].PreserveClient {
		t.Fatalf("%+v %+v", tab.Listeners, tab.TargetSets)
	}
	for i, s := range tab.TargetSets {
		if len(s.Targets) != 1 || s.ID != tab.Listeners[i].Targets {
			t.Errorf("target set %+v of %+v", s, tab.Listeners[i])
		}
	}
	var got []string
	for _, c := range Health(in).Checks {
		if c.TargetGroup == "g3" {
			got = append(got, c.Target+" "+c.Node+" "+c.Destination.String())
		}
	}
	if want := []string{"arn:lb eni-a/10.0.1.101 10.0.1.101:80", "arn:lb eni-b/10.0.1.102 10.0.1.102:80"}; !slices.Equal(got, want) {
		t.Errorf("checks %q", got)
	}
}
