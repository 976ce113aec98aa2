package elbv2

import (
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// version makes groups of a protocol version.
func version(v string) func(*api.CreateTargetGroupInput) {
	return func(in *api.CreateTargetGroupInput) { in.ProtocolVersion = &v }
}

func TestProtocolVersions(t *testing.T) {
	f := newFixture(t)
	h2, grpc := f.group("h2", web, version("HTTP2")), f.group("grpc", web, version("GRPC"))
	if *h2.ProtocolVersion != "HTTP2" || *h2.HealthCheckPath != "/" || *h2.Matcher.HttpCode != "200" || h2.Matcher.GrpcCode != nil {
		t.Errorf("%+v", h2)
	}
	if *grpc.ProtocolVersion != "GRPC" || *grpc.HealthCheckPath != "/AWS.ALB/healthcheck" || *grpc.Matcher.GrpcCode != "12" || grpc.Matcher.HttpCode != nil {
		t.Errorf("%+v", grpc)
	}
	if one := f.group("one", web, version("HTTP1")); *one.ProtocolVersion != "HTTP1" {
		t.Errorf("%+v", one)
	}
	_, err := f.CreateTargetGroup(f.ctx, f.groupInput("grpc", web, version("HTTP2")))
	wantError(t, err, "DuplicateTargetGroupName", "grpc")

	modify := func(group *api.TargetGroup, m *api.Matcher) (*api.ModifyTargetGroupOutput, error) {
		return f.ModifyTargetGroup(f.ctx, &api.ModifyTargetGroupInput{TargetGroupArn: group.TargetGroupArn, Matcher: m})
	}
	for _, code := range []string{"0", "0-99", "0,12,5-7"} {
		if got := must[*api.ModifyTargetGroupOutput](t)(modify(grpc, &api.Matcher{GrpcCode: &code})).TargetGroups[0]; *got.Matcher.GrpcCode != code {
			t.Errorf("%+v", got.Matcher)
		}
	}
	for _, c := range []struct {
		group *api.TargetGroup
		m     api.Matcher
		text  string
	}{
		{grpc, api.Matcher{GrpcCode: wire.Ptr("200")}, "Health check matcher GRPC code '200' must be within '0-99' inclusive"},
		{grpc, api.Matcher{HttpCode: wire.Ptr("200")}, "Health check matcher GRPC code cannot be empty"},
		{h2, api.Matcher{GrpcCode: wire.Ptr("0")}, "Health check matcher HTTP code cannot be empty"},
		{h2, api.Matcher{GrpcCode: wire.Ptr("0"), HttpCode: wire.Ptr("200")}, "both"},
	} {
		_, err := modify(c.group, &c.m)
		wantError(t, err, "ValidationError", c.text)
	}
}

// TestVersionsNeedHTTPS: no listener without TLS leads to such a group, neither
// by its default actions nor by a rule, and none becomes such.
func TestVersionsNeedHTTPS(t *testing.T) {
	f := newRules(t)
	const text = "Listener protocol 'HTTP' is not supported with a target group with the protocol-version 'GRPC'"
	grpc, h2 := f.group("grpc", web, version("GRPC")), f.group("h2", web, version("HTTP2"))
	_, err := f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, grpc.TargetGroupArn, 81, overHTTP))
	wantError(t, err, "InvalidLoadBalancerAction", text)
	l := must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, h2.TargetGroupArn, 443, overHTTPS(f.certificate(account, "1"))))).Listeners[0]
	forward := []*api.Action{{Type: wire.Ptr("forward"), TargetGroupArn: grpc.TargetGroupArn}}
	conditions := []*api.RuleCondition{{Field: wire.Ptr("path-pattern"), Values: []string{"/grpc.*"}}}
	rule := func(listener *string) error {
		_, err := f.CreateRule(f.ctx, &api.CreateRuleInput{ListenerArn: listener, Priority: wire.Ptr(int64(77)), Actions: forward, Conditions: conditions})
		return err
	}
	wantError(t, rule(f.on.ListenerArn), "InvalidLoadBalancerAction", text)
	if err := rule(l.ListenerArn); err != nil {
		t.Fatal(err)
	}
	_, err = f.CreateRule(f.ctx, &api.CreateRuleInput{
		ListenerArn: l.ListenerArn, Priority: wire.Ptr(int64(78)), Conditions: conditions,
		Actions: []*api.Action{authenticateOIDC(), {Type: wire.Ptr("forward"), Order: wire.Ptr(int64(2)), TargetGroupArn: grpc.TargetGroupArn}},
	})
	wantError(t, err, "InvalidLoadBalancerAction", "Actions before 'forward'")
	_, err = f.ModifyListener(f.ctx, &api.ModifyListenerInput{ListenerArn: l.ListenerArn, Protocol: wire.Ptr("HTTP"), DefaultActions: []*api.Action{{Type: wire.Ptr("forward"), TargetGroupArn: f.targets.TargetGroupArn}}})
	wantError(t, err, "InvalidLoadBalancerAction", text)
}
