package elbv2

import (
	"context"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// application makes an Application Load Balancer in both zones.
func (f *fixture) application(name string, change ...func(*api.CreateLoadBalancerInput)) *api.LoadBalancer {
	f.t.Helper()
	both := func(in *api.CreateLoadBalancerInput) { in.Type, in.Subnets = nil, []string{f.subA.ID, f.subB.ID} }
	return f.balancer(name, append([]func(*api.CreateLoadBalancerInput){both}, change...)...)
}

func web(in *api.CreateTargetGroupInput)   { in.Protocol = wire.Ptr("HTTP") }
func overHTTP(in *api.CreateListenerInput) { in.Protocol = wire.Ptr("HTTP") }
func forwardTo(groups ...*string) *api.Action {
	return &api.Action{Type: wire.Ptr("forward"), ForwardConfig: weighted(groups...)}
}

// ruleFixture is a balancer with a listener and what rules of it are made with.
type ruleFixture struct {
	*fixture
	lb      *api.LoadBalancer
	targets *api.TargetGroup
	on      *api.Listener
}

func newRules(t *testing.T) ruleFixture {
	t.Helper()
	f := newFixture(t)
	lb, g := f.application("web"), f.group("g", web)
	l := must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, listenerInput(lb.LoadBalancerArn, g.TargetGroupArn, 80, overHTTP)))
	return ruleFixture{f, lb, g, l.Listeners[0]}
}

func (f ruleFixture) input(priority int64, change ...func(*api.CreateRuleInput)) *api.CreateRuleInput {
	in := &api.CreateRuleInput{
		ListenerArn: f.on.ListenerArn, Priority: &priority,
		Conditions: []*api.RuleCondition{{Field: wire.Ptr("path-pattern"), Values: []string{"/a/*"}}},
		Actions:    []*api.Action{{Type: wire.Ptr("forward"), TargetGroupArn: f.targets.TargetGroupArn}},
	}
	for _, c := range change {
		c(in)
	}
	return in
}

func (f ruleFixture) rule(priority int64, change ...func(*api.CreateRuleInput)) *api.Rule {
	f.t.Helper()
	return must[*api.CreateRuleOutput](f.t)(f.CreateRule(f.ctx, f.input(priority, change...))).Rules[0]
}

func TestApplicationLoadBalancer(t *testing.T) {
	f := newFixture(t)
	lb := f.application("web")
	id := regexp.MustCompile(`^arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/(app/web/[0-9a-f]{16})$`).FindStringSubmatch(*lb.LoadBalancerArn)
	if id == nil || !regexp.MustCompile(`^internal-web-\d+\.us-east-1\.elb\.amazonaws\.com$`).MatchString(*lb.DNSName) ||
		*lb.Type != "application" || *lb.State.Code != "provisioning" || *lb.CanonicalHostedZoneId != "Z35SXDOTRQ7X7K" ||
		!slices.Equal(lb.SecurityGroups, []string{f.vpc.DefaultGroup}) || lb.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != nil {
		t.Fatalf("load balancer = %+v", lb)
	}
	row, _ := store.LoadBalancers.Get(f.db.View(), *lb.LoadBalancerArn)
	if len(row.CookieKey) != config.CookieKeySize || len(row.Zones) != 2 {
		t.Errorf("row = %+v", row)
	}
	for _, z := range row.Zones {
		node, _ := store.NetworkInterfaces.Get(f.db.View(), z.Interface)
		if node.Type != resource.InterfacePlain || node.Attachment == nil || node.Requester != "amazon-elb" || node.Description != "ELB "+id[1] {
			t.Errorf("interface = %+v", node)
		}
	}
	if again := f.application("web"); *again.LoadBalancerArn != *lb.LoadBalancerArn {
		t.Error("the same request made another load balancer")
	}
	_, err := f.CreateLoadBalancer(f.ctx, f.balancerInput("web"))
	wantError(t, err, "DuplicateLoadBalancerName", "'web'") // a Network Load Balancer of the same name
	_, err = f.CreateLoadBalancer(f.ctx, f.balancerInput("x", func(in *api.CreateLoadBalancerInput) {
		in.Type, in.Subnets = nil, nil
		in.SubnetMappings = []*api.SubnetMapping{{SubnetId: &f.subA.ID, PrivateIPv4Address: wire.Ptr("10.0.1.9")}, {SubnetId: &f.subB.ID}}
	}))
	wantError(t, err, "InvalidConfigurationRequest", "private IPv4 address")

	_, err = f.SetSubnets(f.ctx, &api.SetSubnetsInput{LoadBalancerArn: lb.LoadBalancerArn, Subnets: []string{f.subA.ID}})
	wantError(t, err, "ValidationError", "At least two subnets")
	f.update(func(tx *store.Tx) error { // the data plane serves it
		b, _ := store.LoadBalancers.Get(tx, row.ARN)
		b.State = "active"
		store.LoadBalancers.Put(tx, b)
		return nil
	})
	must[*api.SetSubnetsOutput](t)(f.SetSubnets(f.ctx, &api.SetSubnetsInput{LoadBalancerArn: lb.LoadBalancerArn, Subnets: []string{f.subA2.ID, f.subB.ID}}))
	after := must[*api.DescribeLoadBalancersOutput](t)(f.DescribeLoadBalancers(f.ctx, &api.DescribeLoadBalancersInput{LoadBalancerArns: []string{row.ARN}}))
	if state := *after.LoadBalancers[0].State.Code; state != "active" {
		t.Errorf("with other subnets it is %s, want active", state)
	}
	moved, _ := store.LoadBalancers.Get(f.db.View(), row.ARN)
	if moved.Zones[0].Subnet != f.subA2.ID || moved.Zones[1] != row.Zones[1] {
		t.Errorf("zones = %+v", moved.Zones)
	}
	if _, ok := store.NetworkInterfaces.Get(f.db.View(), row.Zones[0].Interface); ok {
		t.Error("the node that moved left its interface behind")
	}
	_, err = f.SetSecurityGroups(f.ctx, &api.SetSecurityGroupsInput{LoadBalancerArn: lb.LoadBalancerArn})
	wantError(t, err, "ValidationError", "security group")
	must[*api.SetSecurityGroupsOutput](t)(f.SetSecurityGroups(f.ctx, &api.SetSecurityGroupsInput{LoadBalancerArn: lb.LoadBalancerArn, SecurityGroups: []string{f.groupA.ID}}))
	node, _ := store.NetworkInterfaces.Get(f.db.View(), moved.Zones[0].Interface)
	if !slices.Equal(node.Groups, []string{f.groupA.ID}) {
		t.Errorf("groups of the node = %v", node.Groups)
	}

	must[*api.DeleteLoadBalancerOutput](t)(f.DeleteLoadBalancer(f.ctx, &api.DeleteLoadBalancerInput{LoadBalancerArn: lb.LoadBalancerArn}))
	for n := range store.NetworkInterfaces.Scan(f.db.View()) {
		if n.Owner == row.ARN {
			t.Errorf("interface %s is left", n.ID)
		}
	}
}

func TestApplicationGroups(t *testing.T) {
	f := newFixture(t)
	g := f.group("g", web)
	if *g.ProtocolVersion != "HTTP1" || *g.HealthCheckProtocol != "HTTP" || *g.HealthCheckPath != "/" || *g.Matcher.HttpCode != "200" ||
		*g.HealthCheckTimeoutSeconds != 5 || *g.HealthCheckIntervalSeconds != 30 || *g.HealthyThresholdCount != 5 || *g.UnhealthyThresholdCount != 2 {
		t.Errorf("target group = %+v", g)
	}
	_, err := f.CreateTargetGroup(f.ctx, f.groupInput("x", web, func(in *api.CreateTargetGroupInput) { in.HealthCheckProtocol = wire.Ptr("TCP") }))
	wantError(t, err, "ValidationError", "'TCP'")
	_, err = f.CreateTargetGroup(f.ctx, f.groupInput("x", web, func(in *api.CreateTargetGroupInput) { in.Matcher = &api.Matcher{HttpCode: wire.Ptr("200,450-500")} }))
	wantError(t, err, "ValidationError", "'200-499'")

	set := func(pairs ...string) error {
		in := &api.ModifyTargetGroupAttributesInput{TargetGroupArn: g.TargetGroupArn}
		for i := 0; i < len(pairs); i += 2 {
			in.Attributes = append(in.Attributes, &api.TargetGroupAttribute{Key: &pairs[i], Value: &pairs[i+1]})
		}
		_, err := f.ModifyTargetGroupAttributes(f.ctx, in)
		return err
	}
	const failover, routing = "target_group_health.dns_failover.minimum_healthy_targets.", "target_group_health.unhealthy_state_routing.minimum_healthy_targets."
	for _, ok := range [][]string{
		{"slow_start.duration_seconds", "30"}, {"slow_start.duration_seconds", "900"}, {"slow_start.duration_seconds", "0"},
		{"load_balancing.algorithm.type", "weighted_random", "load_balancing.algorithm.anomaly_mitigation", "on"}, {"load_balancing.algorithm.anomaly_mitigation", "off"}, {"load_balancing.algorithm.type", "round_robin"},
		{failover + "count", "3", routing + "count", "3"}, {failover + "count", "off"}, {failover + "percentage", "60", routing + "percentage", "50"},
		{failover + "count", "1", failover + "percentage", "off", routing + "count", "1", routing + "percentage", "off"},
		{"stickiness.enabled", "true"}, {"stickiness.lb_cookie.duration_seconds", "60"}, {"stickiness.enabled", "true", "stickiness.type", "app_cookie", "stickiness.app_cookie.cookie_name", "SID"},
		{"load_balancing.algorithm.type", "least_outstanding_requests"}, {"slow_start.duration_seconds", "0"},
	} {
		if err := set(ok...); err != nil {
			t.Errorf("%v: %v", ok, err)
		}
	}
	for _, c := range []struct {
		code, text string
		pairs      []string
	}{
		{"ValidationError", "cookie name must be specified", []string{"stickiness.app_cookie.cookie_name", ""}},
		{"ValidationError", "reserved", []string{"stickiness.app_cookie.cookie_name", "AWSALB"}},
		{"ValidationError", "not valid", []string{"stickiness.app_cookie.cookie_name", "a;b"}},
		{"ValidationError", "1 to 604800", []string{"stickiness.lb_cookie.duration_seconds", "0"}},
		{"ValidationError", "30 to 900", []string{"slow_start.duration_seconds", "29"}},
		{"InvalidConfigurationRequest", "Slow start", []string{"slow_start.duration_seconds", "30"}}, // with least_outstanding_requests
		{"InvalidConfigurationRequest", "greater than or equal", []string{failover + "count", "2", routing + "count", "3"}},
		{"ValidationError", "1 to 100", []string{routing + "percentage", "101"}},
		{"ValidationError", "1 to 1000", []string{routing + "count", "off"}},
		{"InvalidConfigurationRequest", "cross-zone", []string{crossZoneKey, "false"}},
		{"InvalidConfigurationRequest", "Anomaly mitigation", []string{"load_balancing.algorithm.anomaly_mitigation", "on"}},
		{"InvalidConfigurationRequest", "weighted_random", []string{"load_balancing.algorithm.type", "weighted_random"}},
		{"ValidationError", "not recognized", []string{"preserve_client_ip.enabled", "true"}},
	} {
		wantError(t, set(c.pairs...), c.code, c.text)
	}
}

func TestCreateHTTPListenerRefuses(t *testing.T) {
	f := newRules(t)
	tcp, taken := f.group("tcp"), f.group("taken", web)
	second := f.application("second")
	must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, listenerInput(second.LoadBalancerArn, taken.TargetGroupArn, 80, overHTTP)))
	redirect := func(change func(*api.RedirectActionConfig)) *api.Action {
		c := &api.RedirectActionConfig{StatusCode: wire.Ptr("HTTP_301"), Protocol: wire.Ptr("HTTPS")}
		change(c)
		return &api.Action{Type: wire.Ptr("redirect"), RedirectConfig: c}
	}
	for name, c := range map[string]struct {
		action     *api.Action
		code, text string
	}{
		"group over TCP":       {&api.Action{Type: wire.Ptr("forward"), TargetGroupArn: tcp.TargetGroupArn}, "IncompatibleProtocols", "'HTTP'"},
		"group in use":         {forwardTo(taken.TargetGroupArn), "TargetGroupAssociationLimit", *taken.TargetGroupArn},
		"authenticate":         {&api.Action{Type: wire.Ptr("authenticate-oidc")}, "InvalidLoadBalancerAction", "exactly one"},
		"twice":                {forwardTo(f.targets.TargetGroupArn, f.targets.TargetGroupArn), "InvalidLoadBalancerAction", "twice"},
		"no group":             {&api.Action{Type: wire.Ptr("forward")}, "ValidationError", "target group ARN"},
		"six groups":           {forwardTo(slices.Repeat([]*string{f.targets.TargetGroupArn}, 6)...), "TooManyTargetGroups", "5"},
		"weight":               {&api.Action{Type: wire.Ptr("forward"), ForwardConfig: &api.ForwardActionConfig{TargetGroups: []*api.TargetGroupTuple{{TargetGroupArn: f.targets.TargetGroupArn, Weight: wire.Ptr(int64(1000))}}}}, "InvalidLoadBalancerAction", "999"},
		"stickiness of a week": {&api.Action{Type: wire.Ptr("forward"), ForwardConfig: &api.ForwardActionConfig{TargetGroups: forwardTo(f.targets.TargetGroupArn).ForwardConfig.TargetGroups, TargetGroupStickinessConfig: &api.TargetGroupStickinessConfig{Enabled: wire.Ptr(true), DurationSeconds: wire.Ptr(int64(604801))}}}, "InvalidLoadBalancerAction", "604800"},
		"no redirect":          {&api.Action{Type: wire.Ptr("redirect")}, "InvalidLoadBalancerAction", "redirect configuration"},
		"loop":                 {redirect(func(c *api.RedirectActionConfig) { c.Protocol = nil }), "InvalidLoadBalancerAction", "loop"},
		"port":                 {redirect(func(c *api.RedirectActionConfig) { c.Port = wire.Ptr("0") }), "InvalidLoadBalancerAction", "Port"},
		"path":                 {redirect(func(c *api.RedirectActionConfig) { c.Path = wire.Ptr("x") }), "InvalidLoadBalancerAction", "'/'"},
		"path with the query":  {redirect(func(c *api.RedirectActionConfig) { c.Path = wire.Ptr("/#{query}") }), "InvalidLoadBalancerAction", "Path"},
		"new line in a path":   {redirect(func(c *api.RedirectActionConfig) { c.Path = wire.Ptr("/\r\nX: y") }), "InvalidLoadBalancerAction", "Path"},
		"host twice":           {redirect(func(c *api.RedirectActionConfig) { c.Host = wire.Ptr("#{host}#{host}") }), "InvalidLoadBalancerAction", "Host"},
		"query with ?":         {redirect(func(c *api.RedirectActionConfig) { c.Query = wire.Ptr("?a") }), "InvalidLoadBalancerAction", "Query"},
		"no fixed response":    {&api.Action{Type: wire.Ptr("fixed-response")}, "InvalidLoadBalancerAction", "fixed response"},
		"content type":         {&api.Action{Type: wire.Ptr("fixed-response"), FixedResponseConfig: &api.FixedResponseActionConfig{StatusCode: wire.Ptr("200"), ContentType: wire.Ptr("image/png")}}, "InvalidLoadBalancerAction", "text/plain"},
		"another's settings":   {&api.Action{Type: wire.Ptr("fixed-response"), TargetGroupArn: f.targets.TargetGroupArn}, "InvalidLoadBalancerAction", "'forward'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, nil, 81, overHTTP, func(in *api.CreateListenerInput) { in.DefaultActions = []*api.Action{c.action} }))
			wantError(t, err, c.code, c.text)
		})
	}
	for protocol, code := range map[string]string{"HTTPS": "ValidationError", "TCP": "ValidationError"} {
		_, err := f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, f.targets.TargetGroupArn, 81, func(in *api.CreateListenerInput) {
			in.Protocol, in.Certificates = &protocol, nil
		}))
		wantError(t, err, code, protocol)
	}
}

func TestRules(t *testing.T) {
	f := newRules(t)
	second := f.group("second", web)
	in := f.input(10, func(in *api.CreateRuleInput) {
		in.Conditions = []*api.RuleCondition{
			{Field: wire.Ptr("host-header"), HostHeaderConfig: &api.HostHeaderConditionConfig{Values: []string{"*.example.com"}}},
			{Field: wire.Ptr("query-string"), QueryStringConfig: &api.QueryStringConditionConfig{Values: []*api.QueryStringKeyValuePair{{Key: wire.Ptr("k"), Value: wire.Ptr("v*")}, {Value: wire.Ptr("x")}}}},
			{Field: wire.Ptr("source-ip"), SourceIpConfig: &api.SourceIpConditionConfig{Values: []string{"10.0.0.0/8"}}},
			{Field: wire.Ptr("http-header"), HttpHeaderConfig: &api.HttpHeaderConditionConfig{HttpHeaderName: wire.Ptr("X"), Values: []string{"1"}}},
		}
		in.Actions = []*api.Action{forwardTo(f.targets.TargetGroupArn, second.TargetGroupArn)}
	})
	made := must[*api.CreateRuleOutput](t)(f.CreateRule(f.ctx, in)).Rules[0]
	if !strings.HasPrefix(*made.RuleArn, strings.Replace(*f.on.ListenerArn, ":listener/", ":listener-rule/", 1)+"/") || *made.Priority != "10" || *made.IsDefault {
		t.Errorf("rule = %+v", made)
	}
	want := slices.Clone(in.Conditions)
	want[0] = &api.RuleCondition{Field: want[0].Field, Values: []string{"*.example.com"}, HostHeaderConfig: want[0].HostHeaderConfig}
	if !reflect.DeepEqual(made.Conditions, want) {
		t.Errorf("conditions = %+v", made.Conditions)
	}
	if a := made.Actions[0]; a.TargetGroupArn != nil || len(a.ForwardConfig.TargetGroups) != 2 || *a.ForwardConfig.TargetGroupStickinessConfig.Enabled {
		t.Errorf("action = %+v", a)
	}
	first := f.rule(9)
	describe := func() (priorities []string) {
		for _, r := range must[*api.DescribeRulesOutput](t)(f.DescribeRules(f.ctx, &api.DescribeRulesInput{ListenerArn: f.on.ListenerArn})).Rules {
			priorities = append(priorities, *r.Priority)
		}
		return priorities
	}
	if got := describe(); !slices.Equal(got, []string{"9", "10", "default"}) {
		t.Errorf("priorities = %v", got)
	}
	_, err := f.CreateRule(f.ctx, f.input(9))
	wantError(t, err, "PriorityInUse", "Priority '9' is currently in use")
	pair := func(arn *string, priority int64) *api.RulePriorityPair {
		return &api.RulePriorityPair{RuleArn: arn, Priority: &priority}
	}
	swap := []*api.RulePriorityPair{pair(made.RuleArn, 9), pair(first.RuleArn, 10)}
	must[*api.SetRulePrioritiesOutput](t)(f.SetRulePriorities(f.ctx, &api.SetRulePrioritiesInput{RulePriorities: swap}))
	_, err = f.SetRulePriorities(f.ctx, &api.SetRulePrioritiesInput{RulePriorities: swap[:1:1]})
	if err != nil {
		t.Error(err) // it has this priority already
	}
	_, err = f.SetRulePriorities(f.ctx, &api.SetRulePrioritiesInput{RulePriorities: []*api.RulePriorityPair{pair(made.RuleArn, 10)}})
	wantError(t, err, "PriorityInUse", "'10'")
	_, err = f.SetRulePriorities(f.ctx, &api.SetRulePrioritiesInput{RulePriorities: []*api.RulePriorityPair{pair(made.RuleArn, 1), pair(first.RuleArn, 1)}})
	wantError(t, err, "ValidationError", "multiple times")

	standard := must[*api.DescribeRulesOutput](t)(f.DescribeRules(f.ctx, &api.DescribeRulesInput{ListenerArn: f.on.ListenerArn})).Rules[2].RuleArn
	_, err = f.DeleteRule(f.ctx, &api.DeleteRuleInput{RuleArn: standard})
	wantError(t, err, "OperationNotPermitted", "Default rule")
	_, err = f.ModifyRule(f.ctx, &api.ModifyRuleInput{RuleArn: standard, Actions: in.Actions})
	wantError(t, err, "OperationNotPermitted", "Default rule")
	_, err = f.ModifyRule(f.ctx, &api.ModifyRuleInput{RuleArn: made.RuleArn})
	wantError(t, err, "ValidationError", "Either conditions or actions must be specified")
	fixed := []*api.Action{{Type: wire.Ptr("fixed-response"), FixedResponseConfig: &api.FixedResponseActionConfig{StatusCode: wire.Ptr("404")}}}
	if out := must[*api.ModifyRuleOutput](t)(f.ModifyRule(f.ctx, &api.ModifyRuleInput{RuleArn: made.RuleArn, Actions: fixed})).Rules[0]; !reflect.DeepEqual(out.Actions, fixed) || len(out.Conditions) != 4 {
		t.Errorf("rule = %+v", out)
	}
	// The second group is used no more, the first by the listener and a rule.
	_, err = f.DeleteTargetGroup(f.ctx, &api.DeleteTargetGroupInput{TargetGroupArn: second.TargetGroupArn})
	if err != nil {
		t.Error(err)
	}
	must[*api.DeleteRuleOutput](t)(f.DeleteRule(f.ctx, &api.DeleteRuleInput{RuleArn: made.RuleArn}))
	_, err = f.DeleteRule(f.ctx, &api.DeleteRuleInput{RuleArn: made.RuleArn})
	wantError(t, err, "RuleNotFound", "One or more rules not found")
	must[*api.DeleteListenerOutput](t)(f.DeleteListener(f.ctx, &api.DeleteListenerInput{ListenerArn: f.on.ListenerArn}))
	if left := store.ListenerRules.List(f.db.View()); len(left) != 0 {
		t.Errorf("rules are left: %+v", left)
	}
}

func TestCreateRuleRefuses(t *testing.T) {
	f := newRules(t)
	network := f.listenerOfNetwork()
	type input = api.CreateRuleInput
	condition := func(field string, c api.RuleCondition) func(*input) {
		c.Field = &field
		return func(in *input) { in.Conditions = []*api.RuleCondition{&c} }
	}
	values := func(v ...string) api.RuleCondition { return api.RuleCondition{Values: v} }
	transform := func(list ...*api.RuleTransform) func(*input) {
		return func(in *input) { in.Transforms = list }
	}
	for name, c := range map[string]struct {
		change     func(*input)
		code, text string
	}{
		"network": {func(in *input) { in.ListenerArn = network }, "InvalidConfigurationRequest", "Application Load Balancers only"},
		"no listener": {func(in *input) {
			in.ListenerArn = wire.Ptr((*in.ListenerArn)[:len(*in.ListenerArn)-16] + "0000000000000000")
		}, "ListenerNotFound", "listeners not found"},
		"no conditions":     {func(in *input) { in.Conditions = nil }, "ValidationError", "A condition must be specified"},
		"no field":          {condition("", values("x")), "ValidationError", "A condition field must be specified"},
		"unknown field":     {condition("x", values("x")), "ValidationError", "Condition field 'x' must be one of '[path-pattern, host-header, http-header, http-request-method, query-string, source-ip]'"},
		"no values":         {condition("path-pattern", values()), "ValidationError", "A condition value must be specified"},
		"six values":        {condition("path-pattern", values("/1", "/2", "/3", "/4", "/5", "/6")), "ValidationError", "A rule can only have '5' condition values"},
		"six wildcards":     {condition("path-pattern", values("/******")), "ValidationError", "'5' condition wildcards"},
		"two hosts":         {func(in *input) { in.Conditions = append(in.Conditions, in.Conditions[0]) }, "ValidationError", "only have one 'path-pattern'"},
		"host":              {condition("host-header", values("a b")), "ValidationError", "'a b'"},
		"path":              {condition("path-pattern", values("/a b")), "ValidationError", "'/a b'"},
		"both forms":        {condition("path-pattern", api.RuleCondition{Values: []string{"/"}, PathPatternConfig: &api.PathPatternConditionConfig{Values: []string{"/"}}}), "ValidationError", "at the same time"},
		"another's form":    {condition("path-pattern", api.RuleCondition{HostHeaderConfig: &api.HostHeaderConditionConfig{Values: []string{"/"}}}), "ValidationError", "only have the configuration"},
		"values of methods": {condition("http-request-method", values("GET")), "ValidationError", "'http-request-method'"},
		"method":            {condition("http-request-method", api.RuleCondition{HttpRequestMethodConfig: &api.HttpRequestMethodConditionConfig{Values: []string{"get"}}}), "ValidationError", "'get'"},
		"source":            {condition("source-ip", api.RuleCondition{SourceIpConfig: &api.SourceIpConditionConfig{Values: []string{"10.0.0.1"}}}), "ValidationError", "CIDR"},
		"header name":       {condition("http-header", api.RuleCondition{HttpHeaderConfig: &api.HttpHeaderConditionConfig{HttpHeaderName: wire.Ptr("a:"), Values: []string{"x"}}}), "ValidationError", "'a:'"},
		"header Host":       {condition("http-header", api.RuleCondition{HttpHeaderConfig: &api.HttpHeaderConditionConfig{HttpHeaderName: wire.Ptr("host"), Values: []string{"x"}}}), "ValidationError", "host-header"},
		"query":             {condition("query-string", api.RuleCondition{QueryStringConfig: &api.QueryStringConditionConfig{Values: []*api.QueryStringKeyValuePair{{Key: wire.Ptr("k")}}}}), "ValidationError", "query string value"},
		"lookahead":         {condition("path-pattern", api.RuleCondition{RegexValues: []string{"^/(?=a)"}}), "ValidationError", "'^/(?=a)'"},
		"class":             {condition("path-pattern", api.RuleCondition{RegexValues: []string{`\p{L}`}}), "ValidationError", "Unicode"},
		"long":              {condition("path-pattern", api.RuleCondition{RegexValues: []string{strings.Repeat("a", 129)}}), "ValidationError", "128"},
		"both":              {condition("path-pattern", api.RuleCondition{Values: []string{"/"}, RegexValues: []string{"^/"}}), "ValidationError", "not both"},
		"regex twice":       {condition("path-pattern", api.RuleCondition{PathPatternConfig: &api.PathPatternConditionConfig{RegexValues: []string{"^/"}}, RegexValues: []string{"^/"}}), "ValidationError", "at the same time"},
		"regex of methods":  {condition("http-request-method", api.RuleCondition{RegexValues: []string{"^G"}}), "ValidationError", "'http-request-method'"},
		"six expressions":   {condition("path-pattern", api.RuleCondition{RegexValues: slices.Repeat([]string{"^/"}, 6)}), "ValidationError", "'5' condition values"},
		"no rewrite":        {transform(&api.RuleTransform{Type: wire.Ptr("url-rewrite")}), "ValidationError", "exactly one rewrite"},
		"two transforms":    {transform(rewriteURL("^/", "/a"), rewriteURL("^/", "/b")), "ValidationError", "only one transform"},
		"another's rewrite": {transform(&api.RuleTransform{Type: wire.Ptr("host-header-rewrite"), UrlRewriteConfig: rewriteURL("a", "b").UrlRewriteConfig}), "ValidationError", "this type"},
		"no such group":     {transform(rewriteURL("^/(a)", "/$2")), "ValidationError", "$2"},
		"long replacement":  {transform(rewriteURL("^/", strings.Repeat("a", 1025))), "ValidationError", "1024"},
		"two actions":       {func(in *input) { in.Actions = append(in.Actions, in.Actions[0]) }, "InvalidLoadBalancerAction", "exactly one"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateRule(f.ctx, f.input(1, c.change))
			wantError(t, err, c.code, c.text)
		})
	}
	for i := range maxRules {
		f.rule(int64(i + 1))
	}
	_, err := f.CreateRule(f.ctx, f.input(1000))
	wantError(t, err, "TooManyRules", "100")
}

func rewriteURL(regex, replace string) *api.RuleTransform {
	return &api.RuleTransform{Type: wire.Ptr("url-rewrite"), UrlRewriteConfig: &api.UrlRewriteConfig{Rewrites: []*api.RewriteConfig{{Regex: &regex, Replace: &replace}}}}
}

// TestRegexAndTransforms: they are stored, shown as they were given, replaced
// and reset.
func TestRegexAndTransforms(t *testing.T) {
	f := newRules(t)
	host := &api.RuleTransform{Type: wire.Ptr("host-header-rewrite"), HostHeaderRewriteConfig: &api.HostHeaderRewriteConfig{Rewrites: []*api.RewriteConfig{{Regex: wire.Ptr("^a-(.+)$"), Replace: wire.Ptr("$1")}}}}
	both := []*api.RuleTransform{host, rewriteURL("^/v1/", "/")}
	config := &api.PathPatternConditionConfig{RegexValues: []string{"^/v[0-9]+/"}}
	header := &api.RuleCondition{Field: wire.Ptr("http-header"), HttpHeaderConfig: &api.HttpHeaderConditionConfig{HttpHeaderName: wire.Ptr("X"), RegexValues: []string{"a|b"}}}
	made := f.rule(1, func(in *api.CreateRuleInput) {
		in.Conditions = []*api.RuleCondition{{Field: wire.Ptr("path-pattern"), PathPatternConfig: config}, header}
		in.Transforms = both
	})
	want := []*api.RuleCondition{{Field: wire.Ptr("path-pattern"), RegexValues: config.RegexValues, PathPatternConfig: config}, header}
	if !reflect.DeepEqual(made.Conditions, want) || !reflect.DeepEqual(made.Transforms, both) {
		t.Errorf("rule = %+v", made)
	}
	modify := func(in api.ModifyRuleInput) []*api.RuleTransform {
		t.Helper()
		in.RuleArn = made.RuleArn
		return must[*api.ModifyRuleOutput](t)(f.ModifyRule(f.ctx, &in)).Rules[0].Transforms
	}
	if got := modify(api.ModifyRuleInput{Conditions: []*api.RuleCondition{header}}); len(got) != 2 {
		t.Errorf("transforms = %+v", got)
	}
	if got := modify(api.ModifyRuleInput{Transforms: both[:1]}); !reflect.DeepEqual(got, both[:1]) {
		t.Errorf("transforms = %+v", got)
	}
	if got := modify(api.ModifyRuleInput{ResetTransforms: wire.Ptr(true)}); len(got) != 0 {
		t.Errorf("transforms = %+v", got)
	}
	_, err := f.ModifyRule(f.ctx, &api.ModifyRuleInput{RuleArn: made.RuleArn, Transforms: both, ResetTransforms: wire.Ptr(true)})
	wantError(t, err, "ValidationError", "at the same time")
}

func (f ruleFixture) listenerOfNetwork() *string {
	return f.listener(f.balancer("network").LoadBalancerArn, f.group("network").TargetGroupArn, 80).ListenerArn
}

// TestApplicationTargetHealth: a target in a zone in which the balancer has no
// node is not used.
func TestApplicationTargetHealth(t *testing.T) {
	f := newRules(t)
	f.update(func(tx *store.Tx) error {
		s, _ := store.Subnets.Get(tx, f.subA2.ID)
		s.Zone = "us-east-1c"
		store.Subnets.Put(tx, s)
		return nil
	})
	must[*api.RegisterTargetsOutput](t)(f.RegisterTargets(f.ctx, &api.RegisterTargetsInput{TargetGroupArn: f.targets.TargetGroupArn, Targets: []*api.TargetDescription{
		{Id: wire.Ptr("10.0.1.9")}, {Id: wire.Ptr("10.0.3.9")}, {Id: wire.Ptr("192.168.0.1"), AvailabilityZone: wire.Ptr("all")},
	}}))
	got := map[string]string{}
	for _, h := range must[*api.DescribeTargetHealthOutput](t)(f.DescribeTargetHealth(context.WithoutCancel(f.ctx), &api.DescribeTargetHealthInput{TargetGroupArn: f.targets.TargetGroupArn})).TargetHealthDescriptions {
		got[*h.Target.Id] = *h.TargetHealth.State
	}
	if want := map[string]string{"10.0.1.9": "initial", "10.0.3.9": "unused", "192.168.0.1": "initial"}; !reflect.DeepEqual(got, want) {
		t.Errorf("health = %v, want %v", got, want)
	}
}

// TestBalancerAsTarget: an Application Load Balancer is the one target of a
// group of the type alb, and can't be deleted while it is.
func TestBalancerAsTarget(t *testing.T) {
	f := newRules(t)
	alb := func(in *api.CreateTargetGroupInput) { in.TargetType = wire.Ptr("alb") }
	g := f.group("alb", alb)
	if *g.HealthCheckProtocol != "HTTP" || *g.HealthCheckPath != "/" || *g.Matcher.HttpCode != "200-399" || *g.TargetType != "alb" {
		t.Errorf("target group = %+v", g)
	}
	for protocol, text := range map[string]string{"UDP": "'TCP'", "HTTP": "'TCP'"} {
		_, err := f.CreateTargetGroup(f.ctx, f.groupInput("x", alb, func(in *api.CreateTargetGroupInput) { in.Protocol = &protocol }))
		wantError(t, err, "ValidationError", text)
	}
	_, err := f.CreateTargetGroup(f.ctx, f.groupInput("x", alb, func(in *api.CreateTargetGroupInput) { in.HealthCheckProtocol = wire.Ptr("TCP") }))
	wantError(t, err, "ValidationError", "'HTTP, HTTPS'")
	_, err = f.ModifyTargetGroup(f.ctx, &api.ModifyTargetGroupInput{TargetGroupArn: g.TargetGroupArn, HealthCheckProtocol: wire.Ptr("TCP")})
	wantError(t, err, "ValidationError", "'HTTP, HTTPS'")
	_, err = f.ModifyTargetGroupAttributes(f.ctx, &api.ModifyTargetGroupAttributesInput{TargetGroupArn: g.TargetGroupArn, Attributes: []*api.TargetGroupAttribute{{Key: wire.Ptr("preserve_client_ip.enabled"), Value: wire.Ptr("false")}}})
	wantError(t, err, "InvalidConfigurationRequest", "preserve_client_ip")

	network := f.balancer("network")
	register := func(target *string, port int64) error {
		_, err := f.RegisterTargets(f.ctx, &api.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: []*api.TargetDescription{{Id: target, Port: &port}}})
		return err
	}
	wantError(t, register(network.LoadBalancerArn, 80), "InvalidTarget", "not Application Load Balancers")
	wantError(t, register(f.lb.LoadBalancerArn, 81), "ValidationError", "at least one listener")
	wantError(t, register(wire.Ptr("10.0.1.9"), 80), "ValidationError", "10.0.1.9")
	if err := register(f.lb.LoadBalancerArn, 80); err != nil {
		t.Fatal(err)
	}
	second := f.application("second")
	must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, listenerInput(second.LoadBalancerArn, nil, 80, overHTTP, func(in *api.CreateListenerInput) {
		in.DefaultActions = []*api.Action{{Type: wire.Ptr("fixed-response"), FixedResponseConfig: &api.FixedResponseActionConfig{StatusCode: wire.Ptr("200")}}}
	})))
	wantError(t, register(second.LoadBalancerArn, 80), "TooManyTargets", "1 target")
	f.listener(network.LoadBalancerArn, g.TargetGroupArn, 80)

	described := must[*api.DescribeTargetHealthOutput](t)(f.DescribeTargetHealth(f.ctx, &api.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn})).TargetHealthDescriptions
	if len(described) != 1 || *described[0].Target.Id != *f.lb.LoadBalancerArn || described[0].Target.AvailabilityZone != nil || *described[0].TargetHealth.State != "initial" {
		t.Errorf("health = %+v", described)
	}
	row, _ := store.TargetGroups.Get(f.db.View(), *g.TargetGroupArn)
	lb, _ := store.LoadBalancers.Get(f.db.View(), *f.lb.LoadBalancerArn)
	nodes := row.Resolved(func(arn string) (*resource.LoadBalancer, bool) { return store.LoadBalancers.Get(f.db.View(), arn) }).Targets
	if len(nodes) != 2 || nodes[0].Address != lb.Zones[0].Address || nodes[1].Zone != lb.Zones[1].Zone || nodes[1].Port != 80 || nodes[1].ID != lb.ARN {
		t.Errorf("nodes = %+v", nodes)
	}
	_, err = f.DeleteLoadBalancer(f.ctx, &api.DeleteLoadBalancerInput{LoadBalancerArn: f.lb.LoadBalancerArn})
	wantError(t, err, "ResourceInUse", *f.lb.LoadBalancerArn)
}

// TestAnomalyDetection: what the nodes of the balancer found is told if it is
// asked for.
func TestAnomalyDetection(t *testing.T) {
	f := newRules(t)
	must[*api.RegisterTargetsOutput](t)(f.RegisterTargets(f.ctx, &api.RegisterTargetsInput{TargetGroupArn: f.targets.TargetGroupArn, Targets: []*api.TargetDescription{
		{Id: wire.Ptr("10.0.1.9")}, {Id: wire.Ptr("10.0.1.10")},
	}}))
	lb, _ := store.LoadBalancers.Get(f.db.View(), *f.lb.LoadBalancerArn)
	f.update(func(tx *store.Tx) error {
		key := resource.TargetHealthKey(*f.targets.TargetGroupArn, "10.0.1.9", 80)
		store.NodeAnomalies.Put(tx, &resource.NodeAnomalies{Interface: lb.Zones[0].Interface, Targets: []resource.TargetAnomaly{{Target: key, Anomalous: true}}})
		store.NodeAnomalies.Put(tx, &resource.NodeAnomalies{Interface: lb.Zones[1].Interface, Targets: []resource.TargetAnomaly{{Target: key, Mitigated: true}}})
		return nil
	})
	describe := func(include ...string) (got []string) {
		out := must[*api.DescribeTargetHealthOutput](t)(f.DescribeTargetHealth(f.ctx, &api.DescribeTargetHealthInput{TargetGroupArn: f.targets.TargetGroupArn, Include: include}))
		for _, h := range out.TargetHealthDescriptions {
			if a := h.AnomalyDetection; a != nil {
				got = append(got, *h.Target.Id+" "+*a.Result+" "+*a.MitigationInEffect)
			}
		}
		return got
	}
	if got := describe(); got != nil {
		t.Errorf("not asked for: %q", got)
	}
	for _, include := range []string{"AnomalyDetection", "All"} {
		if got := describe(include); !slices.Equal(got, []string{"10.0.1.9 anomalous yes", "10.0.1.10 normal no"}) {
			t.Errorf("%s: %q", include, got)
		}
	}
	must[*api.DeleteLoadBalancerOutput](t)(f.DeleteLoadBalancer(f.ctx, &api.DeleteLoadBalancerInput{LoadBalancerArn: f.lb.LoadBalancerArn}))
	if left := store.NodeAnomalies.List(f.db.View()); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}
