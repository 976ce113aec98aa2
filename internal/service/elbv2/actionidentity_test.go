package elbv2

import (
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// validateJWT is an action of the order 1.
func validateJWT(change ...func(*api.JwtValidationActionConfig)) *api.Action {
	c := &api.JwtValidationActionConfig{Issuer: wire.Ptr("https://idp.example"), JwksEndpoint: wire.Ptr("https://idp.example/keys")}
	for _, f := range change {
		f(c)
	}
	return &api.Action{Type: wire.Ptr("jwt-validation"), Order: wire.Ptr(int64(1)), JwtValidationConfig: c}
}

func TestValidateJWT(t *testing.T) {
	f := newRules(t)
	secure := must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, f.targets.TargetGroupArn, 443, overHTTPS(f.certificate(account, "1"))))).Listeners[0]
	forward := &api.Action{Type: wire.Ptr("forward"), Order: wire.Ptr(int64(2)), TargetGroupArn: f.targets.TargetGroupArn}
	create := func(priority int64, listener *string, actions ...*api.Action) (*api.Rule, error) {
		out, err := f.CreateRule(f.ctx, &api.CreateRuleInput{ListenerArn: listener, Priority: &priority, Actions: actions, Conditions: []*api.RuleCondition{
			{Field: wire.Ptr("path-pattern"), Values: []string{"/a"}},
		}})
		if err != nil {
			return nil, err
		}
		return out.Rules[0], nil
	}
	claim := func(name, format string, values ...string) func(*api.JwtValidationActionConfig) {
		return func(c *api.JwtValidationActionConfig) {
			c.AdditionalClaims = append(c.AdditionalClaims, &api.JwtValidationActionAdditionalClaim{Name: &name, Format: &format, Values: values})
		}
	}
	// The order counts, not the place.
	made, err := create(1, secure.ListenerArn, forward, validateJWT(claim("scope", "space-separated-values", "read", "write")))
	if err != nil {
		t.Fatal(err)
	}
	shown := made.Actions[0].JwtValidationConfig
	if *made.Actions[0].Type != "jwt-validation" || *made.Actions[1].Type != "forward" || *shown.Issuer != "https://idp.example" ||
		len(shown.AdditionalClaims) != 1 || strings.Join(shown.AdditionalClaims[0].Values, " ") != "read write" {
		t.Errorf("made %+v", made.Actions)
	}
	_, err = create(2, f.on.ListenerArn, validateJWT(), forward)
	wantError(t, err, "InvalidLoadBalancerAction", "Actions of type 'jwt-validation' are supported only on HTTPS listeners")
	_, err = f.ModifyListener(f.ctx, &api.ModifyListenerInput{ListenerArn: secure.ListenerArn, Protocol: wire.Ptr("HTTP")})
	wantError(t, err, "InvalidLoadBalancerAction", "supported only on HTTPS listeners")

	first := *forward
	first.Order = wire.Ptr(int64(1))
	last := validateJWT()
	last.Order = wire.Ptr(int64(2))
	none := *forward
	none.Order = nil
	third := validateJWT()
	third.Order = wire.Ptr(int64(3))
	end := *forward
	end.Order = wire.Ptr(int64(4))
	issuer := func(text string) func(*api.JwtValidationActionConfig) {
		return func(c *api.JwtValidationActionConfig) { c.Issuer = &text }
	}
	endpoint := func(text string) func(*api.JwtValidationActionConfig) {
		return func(c *api.JwtValidationActionConfig) { c.JwksEndpoint = &text }
	}
	for _, c := range []struct {
		code, text string
		actions    []*api.Action
	}{
		{"InvalidLoadBalancerAction", "exactly one action", []*api.Action{validateJWT()}},
		{"InvalidLoadBalancerAction", "last action", []*api.Action{&first, last}},
		{"InvalidLoadBalancerAction", "order must be specified", []*api.Action{validateJWT(), &none}},
		{"InvalidLoadBalancerAction", "'1' is given to several", []*api.Action{validateJWT(), &first}},
		{"InvalidLoadBalancerAction", "At most one action", []*api.Action{validateJWT(), third, &end}},
		{"InvalidLoadBalancerAction", "configuration must be specified", []*api.Action{{Type: wire.Ptr("jwt-validation"), Order: wire.Ptr(int64(1))}, forward}},
		{"ValidationError", "issuer", []*api.Action{validateJWT(issuer(strings.Repeat("a", 257))), forward}},
		{"ValidationError", "HTTPS protocol", []*api.Action{validateJWT(endpoint("http://idp.example/keys")), forward}},
		{"ValidationError", "HTTPS protocol", []*api.Action{validateJWT(endpoint("idp.example")), forward}},
		{"ValidationError", "always validated", []*api.Action{validateJWT(claim("iss", "single-string", "a")), forward}},
		{"ValidationError", "exactly one value", []*api.Action{validateJWT(claim("a", "single-string", "a", "b")), forward}},
		{"ValidationError", "1 to 10 values", []*api.Action{validateJWT(claim("a", "string-array")), forward}},
		{"ValidationError", "spaces", []*api.Action{validateJWT(claim("a", "space-separated-values", "a b")), forward}},
		{"ValidationError", "given twice", []*api.Action{validateJWT(claim("a", "string-array", "a"), claim("a", "string-array", "b")), forward}},
	} {
		_, err := create(3, secure.ListenerArn, c.actions...)
		wantError(t, err, c.code, c.text)
	}
}
