package elbv2

import (
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

func TestAttributeValues(t *testing.T) {
	tcp := groupAttributes(&resource.TargetGroup{Protocol: "TCP", TargetType: "ip"})
	udp := groupAttributes(&resource.TargetGroup{Protocol: "UDP", TargetType: "instance"})
	listener := listenerAttributes(&resource.Listener{Protocol: "TCP"})
	http, https := listenerAttributes(&resource.Listener{Protocol: "HTTP"}), listenerAttributes(&resource.Listener{Protocol: "HTTPS"})
	const request, response = "routing.http.request.", "routing.http.response."
	for _, c := range []struct {
		known            []attribute
		key, value, code string
	}{
		{networkAttributes, "deletion_protection.enabled", "true", ""},
		{networkAttributes, "deletion_protection.enabled", "yes", "ValidationError"},
		{networkAttributes, "load_balancing.cross_zone.enabled", "true", ""},
		{networkAttributes, "access_logs.s3.enabled", "false", ""},
		{networkAttributes, "access_logs.s3.enabled", "true", "InvalidConfigurationRequest"},
		{networkAttributes, "access_logs.s3.bucket", "", ""},
		{networkAttributes, "access_logs.s3.bucket", "b", "InvalidConfigurationRequest"},
		{networkAttributes, "dns_record.client_routing_policy", "any_availability_zone", ""},
		{networkAttributes, "dns_record.client_routing_policy", "availability_zone_affinity", "InvalidConfigurationRequest"},
		{networkAttributes, "idle_timeout.timeout_seconds", "60", "ValidationError"},
		{tcp, "deregistration_delay.timeout_seconds", "0", ""},
		{tcp, "deregistration_delay.timeout_seconds", "3600", ""},
		{tcp, "deregistration_delay.timeout_seconds", "3601", "ValidationError"},
		{tcp, "deregistration_delay.timeout_seconds", "-1", "ValidationError"},
		{tcp, "deregistration_delay.timeout_seconds", "+1", "ValidationError"},
		{tcp, "preserve_client_ip.enabled", "true", ""},
		{udp, "preserve_client_ip.enabled", "false", "InvalidConfigurationRequest"},
		{tcp, "proxy_protocol_v2.enabled", "true", ""},
		{udp, "proxy_protocol_v2.enabled", "true", "InvalidConfigurationRequest"},
		{tcp, "stickiness.enabled", "true", "InvalidConfigurationRequest"},
		{tcp, "load_balancing.cross_zone.enabled", "use_load_balancer_configuration", ""},
		{tcp, "load_balancing.cross_zone.enabled", "maybe", "ValidationError"},
		{listener, "tcp.idle_timeout.seconds", "60", ""},
		{listener, "tcp.idle_timeout.seconds", "6000", ""},
		{listener, "tcp.idle_timeout.seconds", "59", "ValidationError"},
		{listener, "tcp.idle_timeout.seconds", "6001", "ValidationError"},
		{http, response + "x_frame_options.header_value", "DENY", ""},
		{http, response + "content_security_policy.header_value", "default-src 'self'; img-src *", ""},
		{http, response + "content_security_policy.header_value", "a\r\nX: y", "ValidationError"},
		{http, response + "content_security_policy.header_value", strings.Repeat("a", 1025), "ValidationError"},
		{http, response + "access_control_allow_credentials.header_value", "true", ""},
		{http, response + "access_control_allow_credentials.header_value", "false", "ValidationError"},
		{http, response + "access_control_max_age.header_value", "86400", ""},
		{http, response + "access_control_max_age.header_value", "86401", "ValidationError"},
		{http, response + "x_content_type_options.header_value", "nosniff", ""},
		{http, response + "x_content_type_options.header_value", "", ""},
		{http, response + "set_cookie.header_value", "a", "ValidationError"},
		{https, request + "x_amzn_tls_version.header_name", "X-Amzn-Tls-Version", ""},
		{https, request + "x_amzn_tls_version.header_name", "X-Version", ""},
		{https, request + "x_amzn_mtls_clientcert_leaf.header_name", "ssl_client_cert", ""},
		{https, request + "x_amzn_tls_version.header_name", "", "ValidationError"},
		{https, request + "x_amzn_tls_version.header_name", "X Version", "ValidationError"},
		{https, request + "x_amzn_tls_version.header_name", strings.Repeat("x", 41), "ValidationError"},
		{https, request + "x_amzn_tls_version.header_name", "host", "ValidationError"},
		{https, request + "x_amzn_tls_version.header_name", "X-Forwarded-For", "ValidationError"},
		{https, response + "x_frame_options.header_value", "DENY", ""},
		{http, request + "x_amzn_tls_version.header_name", "X-Version", "ValidationError"},
		{applicationAttributes, "routing.http.desync_mitigation_mode", "strictest", ""},
		{applicationAttributes, "routing.http.desync_mitigation_mode", "off", "ValidationError"},
		{applicationAttributes, "zonal_shift.config.enabled", "true", ""},
		{applicationAttributes, "access_logs.s3.enabled", "true", "InvalidConfigurationRequest"},
		{listenerAttributes(&resource.Listener{Protocol: "UDP"}), "tcp.idle_timeout.seconds", "60", "ValidationError"},
	} {
		var stored map[string]string
		err := setAttributes("The", c.known, &stored, []pair{{c.key, c.value}})
		switch {
		case c.code != "":
			wantError(t, err, c.code, c.key)
		case err != nil:
			t.Errorf("%s = %s: %v", c.key, c.value, err)
		case attributeOf(c.known, stored, c.key) != c.value:
			t.Errorf("%s = %s is stored as %v", c.key, c.value, stored)
		}
	}
}

func TestAttributeDefaults(t *testing.T) {
	for _, c := range []struct {
		protocol, kind, preserve, terminate string
	}{
		{"TCP", "ip", "false", "false"},
		{"TCP", "instance", "true", "false"},
		{"UDP", "ip", "true", "true"},
		{"TCP_UDP", "instance", "true", "true"},
	} {
		known := groupAttributes(&resource.TargetGroup{Protocol: c.protocol, TargetType: c.kind})
		preserve := attributeOf(known, nil, "preserve_client_ip.enabled")
		terminate := attributeOf(known, nil, "deregistration_delay.connection_termination.enabled")
		if preserve != c.preserve || terminate != c.terminate {
			t.Errorf("%s %s: preserve_client_ip %s, connection_termination %s", c.protocol, c.kind, preserve, terminate)
		}
	}
}

func TestAttributeOperations(t *testing.T) {
	f := newFixture(t)
	lb, g := f.balancer("web"), f.group("g")
	l := f.listener(lb.LoadBalancerArn, g.TargetGroupArn, 80)

	out := must[*api.ModifyListenerAttributesOutput](t)(f.ModifyListenerAttributes(f.ctx, &api.ModifyListenerAttributesInput{
		ListenerArn: l.ListenerArn, Attributes: []*api.ListenerAttribute{{Key: wire.Ptr("tcp.idle_timeout.seconds"), Value: wire.Ptr("60")}},
	}))
	if len(out.Attributes) != 1 || *out.Attributes[0].Value != "60" {
		t.Errorf("listener attributes = %v", out.Attributes)
	}
	described := must[*api.DescribeListenerAttributesOutput](t)(f.DescribeListenerAttributes(f.ctx, &api.DescribeListenerAttributesInput{ListenerArn: l.ListenerArn}))
	if *described.Attributes[0].Key != "tcp.idle_timeout.seconds" || *described.Attributes[0].Value != "60" {
		t.Errorf("listener attributes = %v", described.Attributes)
	}

	// A request with one bad attribute changes nothing.
	_, err := f.ModifyTargetGroupAttributes(f.ctx, &api.ModifyTargetGroupAttributesInput{TargetGroupArn: g.TargetGroupArn, Attributes: []*api.TargetGroupAttribute{
		{Key: wire.Ptr("deregistration_delay.timeout_seconds"), Value: wire.Ptr("10")}, {Key: wire.Ptr("x"), Value: wire.Ptr("y")},
	}})
	wantError(t, err, "ValidationError", "Target group attribute key 'x' is not recognized")
	all := must[*api.DescribeTargetGroupAttributesOutput](t)(f.DescribeTargetGroupAttributes(f.ctx, &api.DescribeTargetGroupAttributesInput{TargetGroupArn: g.TargetGroupArn}))
	i := slices.IndexFunc(all.Attributes, func(a *api.TargetGroupAttribute) bool { return *a.Key == "deregistration_delay.timeout_seconds" })
	if *all.Attributes[i].Value != "300" {
		t.Errorf("delay = %s", *all.Attributes[i].Value)
	}

	// What is set back to its default is no longer stored.
	for _, value := range []string{"true", "false"} {
		must[*api.ModifyLoadBalancerAttributesOutput](t)(f.ModifyLoadBalancerAttributes(f.ctx, &api.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: lb.LoadBalancerArn, Attributes: []*api.LoadBalancerAttribute{{Key: wire.Ptr(crossZoneKey), Value: &value}},
		}))
	}
	if stored := must2(store.LoadBalancers.Get(f.db.View(), *lb.LoadBalancerArn)).Attributes; len(stored) != 0 {
		t.Errorf("stored attributes = %v", stored)
	}
	shown := must[*api.DescribeLoadBalancerAttributesOutput](t)(f.DescribeLoadBalancerAttributes(f.ctx, &api.DescribeLoadBalancerAttributesInput{LoadBalancerArn: lb.LoadBalancerArn}))
	if len(shown.Attributes) != len(networkAttributes) {
		t.Errorf("%d attributes shown", len(shown.Attributes))
	}
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	lb, g := f.balancer("web"), f.group("g")
	l := f.listener(lb.LoadBalancerArn, g.TargetGroupArn, 80)
	arns := []string{*lb.LoadBalancerArn, *g.TargetGroupArn, *l.ListenerArn}
	describe := func() (got []string) {
		for _, d := range must[*api.DescribeTagsOutput](t)(f.DescribeTags(f.ctx, &api.DescribeTagsInput{ResourceArns: arns})).TagDescriptions {
			line := ""
			for _, tag := range d.Tags {
				line += *tag.Key + "=" + *tag.Value + " "
			}
			got = append(got, line)
		}
		return got
	}
	add := func(arns []string, pairs ...string) error {
		in := &api.AddTagsInput{ResourceArns: arns}
		for i := 0; i < len(pairs); i += 2 {
			in.Tags = append(in.Tags, &api.Tag{Key: &pairs[i], Value: &pairs[i+1]})
		}
		_, err := f.AddTags(f.ctx, in)
		return err
	}
	if err := add(arns, "b", "1", "a", ""); err != nil {
		t.Fatal(err)
	}
	if err := add(arns[1:2], "b", "2"); err != nil {
		t.Fatal(err)
	}
	if got, want := describe(), []string{"a= b=1 ", "a= b=2 ", "a= b=1 "}; !slices.Equal(got, want) {
		t.Errorf("tags = %q, want %q", got, want)
	}
	must[*api.RemoveTagsOutput](t)(f.RemoveTags(f.ctx, &api.RemoveTagsInput{ResourceArns: arns[:2], TagKeys: []string{"b", "none"}}))
	if got, want := describe(), []string{"a= ", "a= ", "a= b=1 "}; !slices.Equal(got, want) {
		t.Errorf("tags = %q, want %q", got, want)
	}
	// One unknown resource, and nothing is tagged.
	wantError(t, add([]string{arns[0], "x"}, "c", "1"), "ValidationError", "'x'")
	_, err := f.AddTags(f.ctx, &api.AddTagsInput{ResourceArns: arns[:1], Tags: manyTags(50)})
	wantError(t, err, "TooManyTags", "50")
	if got, want := describe(), []string{"a= ", "a= ", "a= b=1 "}; !slices.Equal(got, want) {
		t.Errorf("tags = %q, want %q", got, want)
	}
}

func TestDescribeAccountLimits(t *testing.T) {
	f := newFixture(t)
	first := must[*api.DescribeAccountLimitsOutput](t)(f.DescribeAccountLimits(f.ctx, &api.DescribeAccountLimitsInput{PageSize: wire.Ptr(int64(1))}))
	rest := must[*api.DescribeAccountLimitsOutput](t)(f.DescribeAccountLimits(f.ctx, &api.DescribeAccountLimitsInput{Marker: first.NextMarker}))
	if len(first.Limits) != 1 || len(rest.Limits) != len(limits)-1 || *first.Limits[0].Max != "50" {
		t.Errorf("limits = %v and %v", first.Limits, rest.Limits)
	}
}
