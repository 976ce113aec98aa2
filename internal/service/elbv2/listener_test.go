package elbv2

import (
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

func TestListeners(t *testing.T) {
	f := newFixture(t)
	lb, g, udp := f.balancer("web"), f.group("g"), f.group("u", func(in *api.CreateTargetGroupInput) { in.Protocol = wire.Ptr("TCP_UDP") })
	l := f.listener(lb.LoadBalancerArn, g.TargetGroupArn, 80)
	if form := regexp.MustCompile(`^arn:aws:elasticloadbalancing:us-east-1:111111111111:listener/net/web/[0-9a-f]{16}/[0-9a-f]{16}$`); !form.MatchString(*l.ListenerArn) {
		t.Errorf("ARN = %s", *l.ListenerArn)
	}
	if *l.LoadBalancerArn != *lb.LoadBalancerArn || *l.Port != 80 || *l.Protocol != "TCP" || len(l.DefaultActions) != 1 ||
		*l.DefaultActions[0].Type != "forward" || *l.DefaultActions[0].TargetGroupArn != *g.TargetGroupArn ||
		*l.DefaultActions[0].ForwardConfig.TargetGroups[0].TargetGroupArn != *g.TargetGroupArn {
		t.Errorf("listener = %+v", l)
	}
	if again := f.listener(lb.LoadBalancerArn, g.TargetGroupArn, 80); *again.ListenerArn != *l.ListenerArn {
		t.Errorf("the same request made %s and %s", *l.ListenerArn, *again.ListenerArn)
	}
	_, err := f.CreateListener(f.ctx, listenerInput(lb.LoadBalancerArn, udp.TargetGroupArn, 80))
	wantError(t, err, "DuplicateListener", "A listener already exists on this port for this load balancer '"+*lb.LoadBalancerArn+"'")
	second := f.listener(lb.LoadBalancerArn, udp.TargetGroupArn, 53)

	describe := func(in api.DescribeListenersInput) (ports []int64) {
		t.Helper()
		for _, l := range must[*api.DescribeListenersOutput](t)(f.DescribeListeners(f.ctx, &in)).Listeners {
			ports = append(ports, *l.Port)
		}
		slices.Sort(ports)
		return ports
	}
	if got := describe(api.DescribeListenersInput{LoadBalancerArn: lb.LoadBalancerArn}); !slices.Equal(got, []int64{53, 80}) {
		t.Errorf("listeners of the load balancer: %v", got)
	}
	if got := describe(api.DescribeListenersInput{ListenerArns: []string{*l.ListenerArn}}); !slices.Equal(got, []int64{80}) {
		t.Errorf("listeners by ARN: %v", got)
	}
	_, err = f.DescribeListeners(f.ctx, &api.DescribeListenersInput{})
	wantError(t, err, "ValidationError", "You must specify either")

	modify := func(in api.ModifyListenerInput) error {
		in.ListenerArn = second.ListenerArn
		_, err := f.ModifyListener(f.ctx, &in)
		return err
	}
	if err := modify(api.ModifyListenerInput{Protocol: wire.Ptr("UDP"), Port: wire.Ptr(int64(54))}); err != nil {
		t.Error(err)
	}
	wantError(t, modify(api.ModifyListenerInput{Port: wire.Ptr(int64(80))}), "DuplicateListener", *lb.LoadBalancerArn)
	wantError(t, modify(api.ModifyListenerInput{DefaultActions: listenerInput(nil, g.TargetGroupArn, 0).DefaultActions}), "IncompatibleProtocols", "'UDP'")
	if got := describe(api.DescribeListenersInput{ListenerArns: []string{*second.ListenerArn}}); !slices.Equal(got, []int64{54}) {
		t.Errorf("listener after changes: %v", got)
	}

	must[*api.DeleteListenerOutput](t)(f.DeleteListener(f.ctx, &api.DeleteListenerInput{ListenerArn: l.ListenerArn}))
	_, err = f.DeleteListener(f.ctx, &api.DeleteListenerInput{ListenerArn: l.ListenerArn})
	wantError(t, err, "ListenerNotFound", "One or more listeners not found")
	_, err = f.DescribeListeners(f.ctx, &api.DescribeListenersInput{ListenerArns: []string{"x"}})
	wantError(t, err, "ValidationError", "'x' is not a valid listener ARN")
}

func TestCreateListenerRefuses(t *testing.T) {
	f := newFixture(t)
	lb, g := f.balancer("web"), f.group("g")
	other := f.group("other", func(in *api.CreateTargetGroupInput) { in.VpcId = &f.other.VPC })
	taken := f.group("taken")
	f.listener(f.balancer("second").LoadBalancerArn, taken.TargetGroupArn, 80)
	type input = api.CreateListenerInput
	action := func(a api.Action) func(*input) {
		return func(in *input) { in.DefaultActions = []*api.Action{&a} }
	}
	forward := wire.Ptr("forward")
	for name, c := range map[string]struct {
		change     func(*input)
		code, text string
	}{
		"no protocol": {func(in *input) { in.Protocol = nil }, "ValidationError", "protocol"},
		"no port":     {func(in *input) { in.Port = nil }, "ValidationError", "port"},
		"HTTP":        {func(in *input) { in.Protocol = wire.Ptr("HTTP") }, "ValidationError", "Listener protocol 'HTTP' must be one of 'TCP, UDP, TCP_UDP'"},
		"TLS":         {func(in *input) { in.Protocol = wire.Ptr("TLS") }, "InvalidConfigurationRequest", "TLS"},
		"certificate": {func(in *input) { in.Certificates = []*api.Certificate{{}} }, "InvalidConfigurationRequest", "certificate"},
		"SSL policy":  {func(in *input) { in.SslPolicy = wire.Ptr("x") }, "InvalidConfigurationRequest", "SSL policy"},
		"ALPN policy": {func(in *input) { in.AlpnPolicy = []string{"HTTP2Only"} }, "InvalidConfigurationRequest", "ALPN"},
		"mutual TLS": {func(in *input) {
			in.MutualAuthentication = &api.MutualAuthenticationAttributes{Mode: wire.Ptr("verify")}
		}, "InvalidConfigurationRequest", "Mutual"},
		"no balancer":      {func(in *input) { in.LoadBalancerArn = wire.Ptr(*lb.LoadBalancerArn + "x") }, "ValidationError", "load balancer ARN"},
		"incompatible":     {func(in *input) { in.Protocol = wire.Ptr("UDP") }, "IncompatibleProtocols", "'UDP'"},
		"no actions":       {func(in *input) { in.DefaultActions = nil }, "InvalidLoadBalancerAction", "exactly one"},
		"redirect":         {action(api.Action{Type: wire.Ptr("redirect")}), "InvalidLoadBalancerAction", "'redirect'"},
		"no group":         {action(api.Action{Type: forward}), "ValidationError", "target group ARN"},
		"unknown group":    {action(api.Action{Type: forward, TargetGroupArn: wire.Ptr("arn:aws:elasticloadbalancing:us-east-1:111111111111:targetgroup/g/0123456789abcdef")}), "TargetGroupNotFound", "One or more target groups not found"},
		"group of a VPC":   {action(api.Action{Type: forward, TargetGroupArn: other.TargetGroupArn}), "InvalidConfigurationRequest", "same VPC"},
		"group in use":     {action(api.Action{Type: forward, TargetGroupArn: taken.TargetGroupArn}), "TargetGroupAssociationLimit", "cannot be associated with more than one load balancer: " + *taken.TargetGroupArn},
		"contradiction":    {action(api.Action{Type: forward, TargetGroupArn: g.TargetGroupArn, ForwardConfig: weighted(other.TargetGroupArn)}), "ValidationError", "must be the same"},
		"several groups":   {action(api.Action{Type: forward, ForwardConfig: weighted(g.TargetGroupArn, other.TargetGroupArn)}), "InvalidConfigurationRequest", "weighted"},
		"group stickiness": {action(api.Action{Type: forward, ForwardConfig: sticky(g.TargetGroupArn)}), "InvalidConfigurationRequest", "stickiness"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateListener(f.ctx, listenerInput(lb.LoadBalancerArn, g.TargetGroupArn, 80, c.change))
			wantError(t, err, c.code, c.text)
		})
	}
	// The long form of the same action is fine, and shown as it was given.
	in := listenerInput(lb.LoadBalancerArn, nil, 80, action(api.Action{Type: forward, ForwardConfig: weighted(g.TargetGroupArn)}))
	out := must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, in))
	if got, want := out.Listeners[0].DefaultActions[0].ForwardConfig, in.DefaultActions[0].ForwardConfig; !reflect.DeepEqual(got, want) {
		t.Errorf("forward configuration = %+v, want %+v", got.TargetGroups[0], want.TargetGroups[0])
	}
	f.listener(lb.LoadBalancerArn, g.TargetGroupArn, 80)
}

func weighted(arns ...*string) *api.ForwardActionConfig {
	c := &api.ForwardActionConfig{}
	for _, arn := range arns {
		c.TargetGroups = append(c.TargetGroups, &api.TargetGroupTuple{TargetGroupArn: arn, Weight: wire.Ptr(int64(1))})
	}
	return c
}

func sticky(arn *string) *api.ForwardActionConfig {
	c := weighted(arn)
	c.TargetGroupStickinessConfig = &api.TargetGroupStickinessConfig{Enabled: wire.Ptr(true), DurationSeconds: wire.Ptr(int64(60))}
	return c
}

func TestTooManyListeners(t *testing.T) {
	f := newFixture(t)
	lb, g := f.balancer("web"), f.group("g")
	for port := range maxListeners {
		f.listener(lb.LoadBalancerArn, g.TargetGroupArn, int64(port+1))
	}
	_, err := f.CreateListener(f.ctx, listenerInput(lb.LoadBalancerArn, g.TargetGroupArn, 1000))
	wantError(t, err, "TooManyListeners", "50")
}

func TestDescribeRules(t *testing.T) {
	f := newFixture(t)
	g := f.group("g")
	l := f.listener(f.balancer("web").LoadBalancerArn, g.TargetGroupArn, 80)
	rules := must[*api.DescribeRulesOutput](t)(f.DescribeRules(f.ctx, &api.DescribeRulesInput{ListenerArn: l.ListenerArn})).Rules
	if len(rules) != 1 || !*rules[0].IsDefault || *rules[0].Priority != "default" || *rules[0].Actions[0].TargetGroupArn != *g.TargetGroupArn {
		t.Fatalf("rules = %+v", rules)
	}
	again := must[*api.DescribeRulesOutput](t)(f.DescribeRules(f.ctx, &api.DescribeRulesInput{RuleArns: []string{*rules[0].RuleArn}})).Rules
	if len(again) != 1 || *again[0].RuleArn != *rules[0].RuleArn {
		t.Errorf("rules by ARN = %+v", again)
	}
	other := (*rules[0].RuleArn)[:len(*rules[0].RuleArn)-16] + "0000000000000000"
	_, err := f.DescribeRules(f.ctx, &api.DescribeRulesInput{RuleArns: []string{other}})
	wantError(t, err, "RuleNotFound", "One or more rules not found")
	_, err = f.DescribeRules(f.ctx, &api.DescribeRulesInput{RuleArns: []string{*l.ListenerArn}})
	wantError(t, err, "ValidationError", "listener rule ARN")

	certificates := must[*api.DescribeListenerCertificatesOutput](t)(f.DescribeListenerCertificates(f.ctx, &api.DescribeListenerCertificatesInput{ListenerArn: l.ListenerArn}))
	if len(certificates.Certificates) != 0 {
		t.Errorf("certificates = %v", certificates.Certificates)
	}
}
