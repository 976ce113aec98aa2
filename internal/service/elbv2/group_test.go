package elbv2

import (
	"slices"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

func (f *fixture) healthCheck(arn *string) resource.HealthCheck {
	return must2(store.TargetGroups.Get(f.db.View(), *arn)).HealthCheck
}

func TestHealthCheckSettings(t *testing.T) {
	f := newFixture(t)
	type input = api.CreateTargetGroupInput
	http := func(in *input) { in.HealthCheckProtocol = wire.Ptr("HTTP") }
	i64 := func(n int64) *int64 { return &n }
	tcp := resource.HealthCheck{Enabled: true, Protocol: "TCP", Port: "traffic-port", IntervalSeconds: 30, TimeoutSeconds: 10, HealthyThreshold: 5, UnhealthyThreshold: 2}
	web := tcp
	web.Protocol, web.Path, web.Matcher, web.TimeoutSeconds = "HTTP", "/", "200-399", 6
	with := func(h resource.HealthCheck, change func(*resource.HealthCheck)) resource.HealthCheck {
		change(&h)
		return h
	}
	for name, c := range map[string]struct {
		change []func(*input)
		want   resource.HealthCheck
	}{
		"defaults":      {nil, tcp},
		"HTTP defaults": {[]func(*input){http}, web},
		"HTTPS defaults": {[]func(*input){func(in *input) { in.HealthCheckProtocol = wire.Ptr("HTTPS") }},
			with(web, func(h *resource.HealthCheck) { h.Protocol, h.TimeoutSeconds = "HTTPS", 10 })},
		"all": {[]func(*input){http, func(in *input) {
			in.HealthCheckPort, in.HealthCheckPath, in.Matcher = wire.Ptr("8080"), wire.Ptr("/up?x=1"), &api.Matcher{HttpCode: wire.Ptr("200,202")}
			in.HealthCheckIntervalSeconds, in.HealthCheckTimeoutSeconds = i64(20), i64(20)
			in.HealthyThresholdCount, in.UnhealthyThresholdCount = i64(2), i64(10)
		}}, resource.HealthCheck{Enabled: true, Protocol: "HTTP", Port: "8080", Path: "/up?x=1", Matcher: "200,202", IntervalSeconds: 20, TimeoutSeconds: 20, HealthyThreshold: 2, UnhealthyThreshold: 10}},
		"short interval": {[]func(*input){func(in *input) { in.HealthCheckIntervalSeconds = i64(5) }},
			with(tcp, func(h *resource.HealthCheck) { h.IntervalSeconds, h.TimeoutSeconds = 5, 5 })},
	} {
		t.Run(name, func(t *testing.T) {
			g := f.group("g", c.change...)
			if got := f.healthCheck(g.TargetGroupArn); got != c.want {
				t.Errorf("health check = %+v, want %+v", got, c.want)
			}
			if shows := g.HealthCheckPath != nil && g.Matcher != nil; shows != (c.want.Protocol != "TCP") {
				t.Errorf("path %v and matcher %v shown", g.HealthCheckPath, g.Matcher)
			}
			must[*api.DeleteTargetGroupOutput](t)(f.DeleteTargetGroup(f.ctx, &api.DeleteTargetGroupInput{TargetGroupArn: g.TargetGroupArn}))
		})
	}
}

func TestCreateTargetGroupRefuses(t *testing.T) {
	f := newFixture(t)
	type input = api.CreateTargetGroupInput
	http := func(change func(*input)) func(*input) {
		return func(in *input) { in.HealthCheckProtocol = wire.Ptr("HTTP"); change(in) }
	}
	for name, c := range map[string]struct {
		change     func(*input)
		code, text string
	}{
		"lambda":            {func(in *input) { in.TargetType = wire.Ptr("lambda") }, "InvalidConfigurationRequest", "'lambda'"},
		"TLS":               {func(in *input) { in.Protocol = wire.Ptr("TLS") }, "InvalidConfigurationRequest", "'TLS'"},
		"unknown version":   {func(in *input) { in.Protocol, in.ProtocolVersion = wire.Ptr("HTTPS"), wire.Ptr("HTTP3") }, "ValidationError", "'HTTP3' must be one of 'HTTP1, HTTP2, GRPC'"},
		"no protocol":       {func(in *input) { in.Protocol = nil }, "ValidationError", "A protocol must be specified"},
		"no port":           {func(in *input) { in.Port = nil }, "ValidationError", "A port must be specified"},
		"no VPC":            {func(in *input) { in.VpcId = nil }, "ValidationError", "A VPC ID must be specified"},
		"unknown VPC":       {func(in *input) { in.VpcId = wire.Ptr("vpc-1") }, "ValidationError", "The VPC ID 'vpc-1' is not found"},
		"name":              {func(in *input) { in.Name = wire.Ptr("-x") }, "ValidationError", "Target group name '-x'"},
		"protocol version":  {func(in *input) { in.ProtocolVersion = wire.Ptr("GRPC") }, "InvalidConfigurationRequest", "protocol version"},
		"ipv6":              {func(in *input) { in.IpAddressType = wire.Ptr("ipv6") }, "InvalidConfigurationRequest", "ipv6"},
		"check disabled":    {func(in *input) { in.HealthCheckEnabled = wire.Ptr(false) }, "InvalidConfigurationRequest", "cannot be disabled"},
		"check protocol":    {func(in *input) { in.HealthCheckProtocol = wire.Ptr("UDP") }, "ValidationError", "'UDP' must be one of 'HTTP, HTTPS, TCP'"},
		"check port":        {func(in *input) { in.HealthCheckPort = wire.Ptr("0") }, "ValidationError", "Health check port '0'"},
		"check port text":   {func(in *input) { in.HealthCheckPort = wire.Ptr("http") }, "ValidationError", "Health check port 'http'"},
		"path of TCP":       {func(in *input) { in.HealthCheckPath = wire.Ptr("/") }, "InvalidConfigurationRequest", "protocol 'TCP'"},
		"matcher of TCP":    {func(in *input) { in.Matcher = &api.Matcher{HttpCode: wire.Ptr("200")} }, "InvalidConfigurationRequest", "protocol 'TCP'"},
		"relative path":     {http(func(in *input) { in.HealthCheckPath = wire.Ptr("up") }), "ValidationError", "Health check path 'up'"},
		"whole URL":         {http(func(in *input) { in.HealthCheckPath = wire.Ptr("http://x/") }), "ValidationError", "Health check path"},
		"path with space":   {http(func(in *input) { in.HealthCheckPath = wire.Ptr("/a b") }), "ValidationError", "Health check path"},
		"path with break":   {http(func(in *input) { in.HealthCheckPath = wire.Ptr("/a\r\nX: y") }), "ValidationError", "Health check path"},
		"path and fragment": {http(func(in *input) { in.HealthCheckPath = wire.Ptr("/a#b") }), "ValidationError", "Health check path"},
		"escaped wrongly":   {http(func(in *input) { in.HealthCheckPath = wire.Ptr("/%zz") }), "ValidationError", "Health check path"},
		"matcher":           {http(func(in *input) { in.Matcher = &api.Matcher{HttpCode: wire.Ptr("100")} }), "ValidationError", "matcher"},
		"gRPC matcher":      {http(func(in *input) { in.Matcher = &api.Matcher{GrpcCode: wire.Ptr("0")} }), "ValidationError", "Health check matcher HTTP code cannot be empty"},
		"timeout": {func(in *input) {
			in.HealthCheckIntervalSeconds, in.HealthCheckTimeoutSeconds = wire.Ptr(int64(10)), wire.Ptr(int64(11))
		}, "ValidationError", "interval must be greater than or equal to the timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateTargetGroup(f.ctx, f.groupInput("g", c.change))
			wantError(t, err, c.code, c.text)
		})
	}
}

func TestCreateTargetGroupIsIdempotent(t *testing.T) {
	f := newFixture(t)
	first := f.group("g")
	f.listener(f.balancer("web").LoadBalancerArn, first.TargetGroupArn, 80)
	// Targets and attributes are no settings of the creation.
	must[*api.RegisterTargetsOutput](t)(f.RegisterTargets(f.ctx, &api.RegisterTargetsInput{TargetGroupArn: first.TargetGroupArn, Targets: targets("10.0.1.9")}))
	if again := f.group("g"); *again.TargetGroupArn != *first.TargetGroupArn || len(again.LoadBalancerArns) != 1 {
		t.Errorf("the same request made %+v and %+v", first, again)
	}
	for name, change := range map[string]func(*api.CreateTargetGroupInput){
		"port":  func(in *api.CreateTargetGroupInput) { in.Port = wire.Ptr(int64(81)) },
		"type":  func(in *api.CreateTargetGroupInput) { in.TargetType = nil },
		"check": func(in *api.CreateTargetGroupInput) { in.HealthCheckProtocol = wire.Ptr("HTTP") },
		"tags":  func(in *api.CreateTargetGroupInput) { in.Tags = manyTags(1) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateTargetGroup(f.ctx, f.groupInput("g", change))
			wantError(t, err, "DuplicateTargetGroupName", "A target group with the same name 'g' exists, but with different settings")
		})
	}
}

func TestDescribeTargetGroups(t *testing.T) {
	f := newFixture(t)
	one, two, three := f.group("one"), f.group("two"), f.group("three")
	lb := f.balancer("web")
	f.listener(lb.LoadBalancerArn, one.TargetGroupArn, 80)
	f.listener(lb.LoadBalancerArn, one.TargetGroupArn, 81)
	f.listener(lb.LoadBalancerArn, three.TargetGroupArn, 82)
	names := func(in api.DescribeTargetGroupsInput) (got []string) {
		t.Helper()
		for _, g := range must[*api.DescribeTargetGroupsOutput](t)(f.DescribeTargetGroups(f.ctx, &in)).TargetGroups {
			got = append(got, *g.TargetGroupName)
		}
		slices.Sort(got)
		return got
	}
	for _, c := range []struct {
		in   api.DescribeTargetGroupsInput
		want []string
	}{
		{api.DescribeTargetGroupsInput{}, []string{"one", "three", "two"}},
		{api.DescribeTargetGroupsInput{LoadBalancerArn: lb.LoadBalancerArn}, []string{"one", "three"}},
		{api.DescribeTargetGroupsInput{TargetGroupArns: []string{*two.TargetGroupArn}}, []string{"two"}},
		{api.DescribeTargetGroupsInput{Names: []string{"three", "one"}}, []string{"one", "three"}},
	} {
		if got := names(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.in, got, c.want)
		}
	}
	_, err := f.DescribeTargetGroups(f.ctx, &api.DescribeTargetGroupsInput{Names: []string{"none"}})
	wantError(t, err, "TargetGroupNotFound", "Target groups '[none]' not found")
	_, err = f.DescribeTargetGroups(f.ctx, &api.DescribeTargetGroupsInput{TargetGroupArns: []string{"x"}})
	wantError(t, err, "ValidationError", "'x' is not a valid target group ARN")
	_, err = f.DescribeTargetGroups(f.ctx, &api.DescribeTargetGroupsInput{Names: []string{"one"}, LoadBalancerArn: lb.LoadBalancerArn})
	wantError(t, err, "ValidationError", "at the same time")
}

func TestModifyTargetGroup(t *testing.T) {
	f := newFixture(t)
	g := f.group("g")
	modify := func(in api.ModifyTargetGroupInput) error {
		in.TargetGroupArn = g.TargetGroupArn
		_, err := f.ModifyTargetGroup(f.ctx, &in)
		return err
	}
	if err := modify(api.ModifyTargetGroupInput{HealthCheckProtocol: wire.Ptr("HTTP"), HealthCheckPath: wire.Ptr("/up"), UnhealthyThresholdCount: wire.Ptr(int64(3))}); err != nil {
		t.Fatal(err)
	}
	want := resource.HealthCheck{Enabled: true, Protocol: "HTTP", Port: "traffic-port", Path: "/up", Matcher: "200-399", IntervalSeconds: 30, TimeoutSeconds: 10, HealthyThreshold: 5, UnhealthyThreshold: 3}
	if got := f.healthCheck(g.TargetGroupArn); got != want {
		t.Errorf("health check = %+v, want %+v", got, want)
	}
	wantError(t, modify(api.ModifyTargetGroupInput{HealthCheckIntervalSeconds: wire.Ptr(int64(5))}), "ValidationError", "interval")
	if err := modify(api.ModifyTargetGroupInput{HealthCheckProtocol: wire.Ptr("TCP")}); err != nil {
		t.Fatal(err)
	}
	if got := f.healthCheck(g.TargetGroupArn); got.Path != "" || got.Matcher != "" {
		t.Errorf("a TCP check has path %q and matcher %q", got.Path, got.Matcher)
	}
}

func TestDeleteTargetGroup(t *testing.T) {
	f := newFixture(t)
	g := f.group("g")
	l := f.listener(f.balancer("web").LoadBalancerArn, g.TargetGroupArn, 80)
	f.register(g, "10.0.1.9")
	f.setHealth(g, "10.0.1.9", "healthy")
	remove := &api.DeleteTargetGroupInput{TargetGroupArn: g.TargetGroupArn}
	_, err := f.DeleteTargetGroup(f.ctx, remove)
	wantError(t, err, "ResourceInUse", "Target group '"+*g.TargetGroupArn+"' is currently in use by a listener or a rule")
	must[*api.DeleteListenerOutput](t)(f.DeleteListener(f.ctx, &api.DeleteListenerInput{ListenerArn: l.ListenerArn}))
	for range 2 {
		must[*api.DeleteTargetGroupOutput](t)(f.DeleteTargetGroup(f.ctx, remove))
	}
	if n := len(slices.Collect(store.TargetHealth.Scan(f.db.View()))); n != 0 {
		t.Errorf("%d health rows are left", n)
	}
}
