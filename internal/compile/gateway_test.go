package compile

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/way"
	"github.com/isthmus-net/isthmus/internal/resource"
)

const (
	region  = "us-east-1"
	account = "111111111111"
	nlb     = "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/net/n/1"
	lsn     = "arn:aws:elasticloadbalancing:us-east-1:111111111111:listener/net/n/1/2"
	group   = "arn:aws:elasticloadbalancing:us-east-1:111111111111:targetgroup/t/3"
)

func meta() resource.Meta { return resource.Meta{Account: account, Region: region} }

// world is a balancer in two zones behind a link of each version, an API of
// each kind over them, and targets in zone a only.
func world() GatewayInput {
	restLink := &resource.RestIntegration{
		Type: "HTTP_PROXY", Method: "ANY", URI: "http://backend.example/base/{id}", ConnectionType: "VPC_LINK",
		ConnectionID: "${stageVariables.link}", TimeoutMillis: 29000, PassthroughBehavior: "WHEN_NO_MATCH",
	}
	pattern := "4.."
	return GatewayInput{
		Region:   region,
		RestAPIs: []*resource.RestAPI{{Meta: meta(), ID: "rest", Name: "r", EndpointType: "EDGE"}},
		RestDeployments: []*resource.RestDeployment{{Meta: meta(), API: "rest", ID: "d1", Policy: "{}", Resources: []*resource.RestResource{
			{API: "rest", ID: "root", Path: "/", Methods: map[string]*resource.RestMethod{
				"GET": {AuthorizationType: "NONE", Responses: map[string]*resource.RestMethodResponse{"200": {}, "404": {}}, Integration: &resource.RestIntegration{
					Type: "MOCK", Responses: map[string]*resource.RestIntegrationResponse{"404": {SelectionPattern: &pattern}, "200": {}},
				}},
			}},
			{API: "rest", ID: "pet", Path: "/{id}", Methods: map[string]*resource.RestMethod{"ANY": {AuthorizationType: "NONE", Integration: restLink}}},
		}}},
		RestStages: []*resource.RestStage{
			{Meta: meta(), API: "rest", Name: "prod", Deployment: "d1", Variables: map[string]string{"link": "link1"}},
			{Meta: meta(), API: "rest", Name: "dev", Deployment: "d1"},
			{Meta: meta(), API: "rest", Name: "lost", Deployment: "gone"},
		},
		HTTPAPIs: []*resource.HTTPAPI{{Meta: meta(), ID: "http", Name: "h"}, {Meta: resource.Meta{Account: account, Region: "eu-west-1"}, ID: "far"}},
		HTTPDeployments: []*resource.HTTPDeployment{{Meta: meta(), API: "http", ID: "d2",
			Routes: []*resource.HTTPRoute{
				{API: "http", ID: "r1", RouteKey: "$default", Integration: "i1"},
				{API: "http", ID: "r2", RouteKey: "GET /pets/{id}", Integration: "i2"},
				{API: "http", ID: "r3", RouteKey: "GET /none"},
			},
			Integrations: []*resource.HTTPIntegration{
				{API: "http", ID: "i1", Method: "ANY", ConnectionType: "VPC_LINK", ConnectionID: "link2", URI: lsn, TimeoutMillis: 30000},
				{API: "http", ID: "i2", Method: "GET", ConnectionType: "INTERNET", URI: "https://example.com:8443/{id}", TimeoutMillis: 50},
			}}},
		HTTPStages: []*resource.HTTPStage{{Meta: meta(), API: "http", Name: "$default", Deployment: "d2"}},
		LinksV1:    []*resource.VPCLinkV1{{Meta: meta(), ID: "link1", TargetARNs: []string{nlb}, Status: resource.VPCLinkAvailable, Endpoint: "vpce-1"}},
		LinksV2: []*resource.VPCLinkV2{{Meta: meta(), ID: "link2", Subnets: []string{"sn-a", "sn-b"}, Status: resource.VPCLinkAvailable,
			Interfaces: []resource.VPCLinkV2Pair{{Customer: "eni-c1", Provider: "eni-p1"}, {Customer: "eni-c2", Provider: "eni-p2"}}}},
		Endpoints: []*resource.VPCEndpoint{{ID: "vpce-1", Interfaces: []string{"eni-e1", "eni-e2"}}},
		Interfaces: []*resource.NetworkInterface{
			eni("eni-e1", "svc-a", "100.64.0.1"), eni("eni-e2", "svc-b", "100.64.64.1"),
			eni("eni-p1", "svc-a", "100.64.0.2"), eni("eni-p2", "svc-a", "100.64.0.3"),
			eni("eni-c1", "sn-a", "10.0.0.9"), eni("eni-c2", "sn-b", "10.0.1.9"),
		},
		Subnets:       []*resource.Subnet{{ID: "sn-a", Zone: "a"}, {ID: "sn-b", Zone: "b"}, {ID: "svc-a", Zone: "a"}, {ID: "svc-b", Zone: "b"}},
		LoadBalancers: []*resource.LoadBalancer{{Meta: meta(), ARN: nlb, Zones: []resource.LoadBalancerZone{{Zone: "b", Address: netip.MustParseAddr("10.0.1.5")}, {Zone: "a", Address: netip.MustParseAddr("10.0.0.5")}}}},
		Listeners:     []*resource.Listener{{Meta: meta(), ARN: lsn, LoadBalancer: nlb, Port: 80, DefaultActions: []resource.Action{{Forward: &resource.Forward{Groups: []resource.WeightedGroup{{TargetGroup: group, Weight: 1}}}}}}},
		TargetGroups:  []*resource.TargetGroup{{ARN: group, Targets: []resource.Target{{ID: "10.0.0.7", Port: 8000, Zone: "a"}, {ID: "10.0.1.7", Port: 8000, Zone: "b"}}}},
		TargetHealth:  []*resource.TargetHealth{{TargetGroup: group, Target: "10.0.0.7", Port: 8000, State: "healthy"}, {TargetGroup: group, Target: "10.0.1.7", Port: 8000, State: "unhealthy"}},
	}
}

func eni(id, subnet, address string) *resource.NetworkInterface {
	return &resource.NetworkInterface{ID: id, Subnet: subnet, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
}

func stage(t *testing.T, c config.Config, api, name string) config.Stage {
	t.Helper()
	for _, a := range c.APIs {
		for _, s := range a.Stages {
			if a.ID == api && s.Name == name {
				return s
			}
		}
	}
	t.Fatalf("no stage %s of %s", name, api)
	return config.Stage{}
}

func TestGateway(t *testing.T) {
	c := Gateway(world())
	if c.Region != region || len(c.APIs) != 2 || c.APIs[0].ID != "http" || c.APIs[1].ID != "rest" {
		t.Fatalf("APIs: %+v", c.APIs)
	}
	if n := len(c.APIs[1].Stages); n != 2 {
		t.Errorf("REST API has %d stages, want those two whose deployment exists", n)
	}

	prod := stage(t, c, "rest", "prod")
	if len(prod.Routes) != 2 || prod.Policy != "{}" || prod.Deployment != "d1" {
		t.Fatalf("prod: %+v", prod)
	}
	mock := prod.Routes[0]
	if mock.Key != "GET /" || mock.Integration.Type != config.Mock || mock.Integration.URI != nil ||
		len(mock.MethodResponses) != 2 || mock.MethodResponses[1].StatusCode != 404 ||
		mock.Integration.Responses[1].SelectionPattern != "4.." {
		t.Errorf("mock route: %+v %+v", mock, mock.Integration)
	}
	proxy := prod.Routes[1].Integration
	wantURI := config.URI{Scheme: "http", Host: "backend.example", Port: 80, Path: "/base/{id}"}
	if proxy.Error != "" || *proxy.URI != wantURI || proxy.Upstream != "link1:80" || proxy.TLS != nil || proxy.TimeoutMillis != 29000 {
		t.Errorf("proxy: %+v", proxy)
	}

	dev := stage(t, c, "rest", "dev").Routes[1].Integration
	if !strings.Contains(dev.Error, `"link" is not defined`) || dev.URI != nil || dev.Upstream != "" {
		t.Errorf("stage without the variable: %+v", dev)
	}

	def := stage(t, c, "http", "$default")
	want := []string{"$default", "GET /none", "GET /pets/{id}"}
	var got []string
	for _, r := range def.Routes {
		got = append(got, r.Key)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("routes %q, want %q", got, want)
	}
	if r := def.Routes[0]; r.Method != config.AnyMethod || r.Path != config.DefaultRoute ||
		r.Integration.Upstream != way.Key("link2", nlb, 80) || r.Integration.URI != nil {
		t.Errorf("default route: %+v %+v", r, r.Integration)
	}
	if def.Routes[1].Integration != nil {
		t.Errorf("route without target: %+v", def.Routes[1])
	}
	if i := def.Routes[2].Integration; i.Upstream != "" || i.URI.Port != 8443 || i.TLS == nil || i.TLS.ServerName != "" {
		t.Errorf("internet: %+v", i)
	}
}

func TestUpstreams(t *testing.T) {
	v1, v2 := "link1:80", way.Key("link2", nlb, 80)
	healthyInB := func(in *GatewayInput) { in.TargetHealth[1].State = "healthy" }
	for _, c := range []struct {
		name         string
		change       func(*GatewayInput)
		key          string
		cause        string
		sources      []string
		destinations []string
	}{
		{"v1, zone without healthy target", nil, v1, "", nil, []string{"100.64.0.1:80"}},
		{"v2, zone without healthy target", nil, v2, "", []string{"a 100.64.0.2", "b 100.64.0.3"}, []string{"10.0.0.5:80"}},
		{"v1, both zones", healthyInB, v1, "", nil, []string{"100.64.0.1:80", "100.64.64.1:80"}},
		{"v2, both zones", healthyInB, v2, "", []string{"a 100.64.0.2", "b 100.64.0.3"}, []string{"10.0.0.5:80", "10.0.1.5:80"}},
		{"fail open", func(in *GatewayInput) { in.TargetHealth = nil }, v1, "", nil, []string{"100.64.0.1:80", "100.64.64.1:80"}},
		{"cross zone by balancer", func(in *GatewayInput) {
			in.LoadBalancers[0].Attributes = map[string]string{"load_balancing.cross_zone.enabled": "true"}
		}, v1, "", nil, []string{"100.64.0.1:80", "100.64.64.1:80"}},
		{"group overrides balancer", func(in *GatewayInput) {
			in.LoadBalancers[0].Attributes = map[string]string{"load_balancing.cross_zone.enabled": "true"}
			in.TargetGroups[0].Attributes = map[string]string{"load_balancing.cross_zone.enabled": "false"}
		}, v1, "", nil, []string{"100.64.0.1:80"}},
		{"target of all zones", func(in *GatewayInput) { in.TargetGroups[0].Targets[0].Zone = "all" }, v1, "", nil, []string{"100.64.0.1:80", "100.64.64.1:80"}},
		{"draining is not healthy", func(in *GatewayInput) {
			healthyInB(in)
			in.TargetGroups[0].Targets[0].DrainingUntil = 1
		}, v1, "", nil, []string{"100.64.64.1:80"}},
		{"v1 pending", func(in *GatewayInput) { in.LinksV1[0].Status = resource.VPCLinkPending }, v1, "VPC link link1 is PENDING", nil, nil},
		{"v1 failed", func(in *GatewayInput) {
			in.LinksV1[0].Status, in.LinksV1[0].StatusMessage = resource.VPCLinkFailed, "NLB ARN is malformed"
		}, v1, "VPC link link1 is FAILED: NLB ARN is malformed", nil, nil},
		{"v2 deleting", func(in *GatewayInput) { in.LinksV2[0].Status = resource.VPCLinkDeleting }, v2, "VPC link link2 is DELETING", nil, nil},
		{"v1 without endpoint", func(in *GatewayInput) { in.Endpoints = nil }, v1, "interface endpoint vpce-1 of VPC link link1 does not exist", nil, nil},
		{"v2 without balancer", func(in *GatewayInput) { in.LoadBalancers = nil }, v2, "load balancer " + nlb + " does not exist", nil, nil},
		{"v2 without interface", func(in *GatewayInput) { in.LinksV2[0].Interfaces = nil }, v2, "VPC link link2 has no network interface", nil, nil},
		{"no listener", func(in *GatewayInput) { in.Listeners = nil }, way.Key("link2", lsn, 0), "listener " + lsn + " does not exist", nil, nil},
		{"v1 gone", func(in *GatewayInput) { in.LinksV1 = nil }, "missing:link1", `VPC link "link1" does not exist`, nil, nil},
		{"somebody else's", func(in *GatewayInput) { in.LinksV1[0].Account = "222222222222" }, "missing:link1", `VPC link "link1" does not exist`, nil, nil},
		{"somebody else's balancer", func(in *GatewayInput) { in.LoadBalancers[0].Account = "222222222222" }, v2, "load balancer " + nlb + " does not exist", nil, nil},
		{"REST over v2, by listener ARN", func(in *GatewayInput) {
			in.RestStages[0].Variables["link"] = "link2"
			in.RestDeployments[0].Resources[1].Methods["ANY"].Integration.Target = lsn
			in.HTTPStages = nil
		}, v2, "", []string{"a 100.64.0.2", "b 100.64.0.3"}, []string{"10.0.0.5:80"}},
		{"port chooses", func(in *GatewayInput) {
			in.RestStages[0].Variables["link"] = "link2"
			i := in.RestDeployments[0].Resources[1].Methods["ANY"].Integration
			i.Target, i.URI = nlb, "http://x:8443/"
		}, way.Key("link2", nlb, 8443), "", []string{"a 100.64.0.2", "b 100.64.0.3"}, []string{"10.0.0.5:8443", "10.0.1.5:8443"}},
		{"empty link is not the internet", func(in *GatewayInput) { in.RestStages[0].Variables["link"] = "" }, "missing:", `VPC link "" does not exist`, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := world()
			if c.change != nil {
				c.change(&in)
			}
			u, ok := Gateway(in).Upstreams[c.key]
			if !ok {
				t.Fatalf("no upstream %q in %v", c.key, Gateway(in).Upstreams)
			}
			var sources, destinations []string
			for _, s := range u.Sources {
				sources = append(sources, s.Zone+" "+s.Address.String())
			}
			for _, d := range u.Destinations {
				destinations = append(destinations, d.Address.String())
			}
			if u.Key != c.key || u.Cause != c.cause || !slices.Equal(sources, c.sources) || !slices.Equal(destinations, c.destinations) {
				t.Errorf("got %+v, want cause %q, sources %v, destinations %v", u, c.cause, c.sources, c.destinations)
			}
		})
	}
}

// The order of the rows does not matter.
func TestGatewayOrder(t *testing.T) {
	want := Gateway(world())
	for seed := range uint64(20) {
		in := world()
		r := rand.New(rand.NewPCG(seed, 1))
		v := reflect.ValueOf(&in).Elem()
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.Slice {
				r.Shuffle(f.Len(), reflect.Swapper(f.Interface()))
			}
		}
		if got := Gateway(in); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got, want)
		}
	}
}
