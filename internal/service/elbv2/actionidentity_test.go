package elbv2

import (
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
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

func authenticateOIDC(change ...func(*api.AuthenticateOidcActionConfig)) *api.Action {
	c := &api.AuthenticateOidcActionConfig{
		Issuer: wire.Ptr("https://idp.example"), AuthorizationEndpoint: wire.Ptr("https://idp.example/authorize"), TokenEndpoint: wire.Ptr("https://idp.example/token"),
		UserInfoEndpoint: wire.Ptr("https://idp.example/userinfo"), ClientId: wire.Ptr("client"), ClientSecret: wire.Ptr("secret"),
	}
	for _, f := range change {
		f(c)
	}
	return &api.Action{Type: wire.Ptr("authenticate-oidc"), Order: wire.Ptr(int64(1)), AuthenticateOidcConfig: c}
}

func TestAuthenticateOIDC(t *testing.T) {
	f := newRules(t)
	forward := &api.Action{Type: wire.Ptr("forward"), Order: wire.Ptr(int64(2)), TargetGroupArn: f.targets.TargetGroupArn}
	listen := func(port int64, actions ...*api.Action) (*api.Listener, error) {
		in := listenerInput(f.lb.LoadBalancerArn, f.targets.TargetGroupArn, port, overHTTPS(f.certificate(account, "1")))
		in.DefaultActions = actions
		out, err := f.CreateListener(f.ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Listeners[0], nil
	}
	made, err := listen(443, authenticateOIDC(), forward)
	if err != nil {
		t.Fatal(err)
	}
	c := made.DefaultActions[0].AuthenticateOidcConfig
	if c.ClientSecret != nil || *c.SessionCookieName != "AWSELBAuthSessionCookie" || *c.Scope != "openid" || *c.SessionTimeout != 604800 || *c.OnUnauthenticatedRequest != "authenticate" {
		t.Errorf("made %+v", c)
	}
	row := func() *resource.Listener {
		l, _ := store.Listeners.Get(f.db.View(), *made.ListenerArn)
		return l
	}
	lb := func() *resource.LoadBalancer {
		lb, _ := store.LoadBalancers.Get(f.db.View(), *f.lb.LoadBalancerArn)
		return lb
	}
	first := lb().IdentityKeys
	if len(first) != 1 || len(first[0].Seal) != 32 || len(first[0].ID) != 36 {
		t.Errorf("keys %v", first)
	}
	modify := func(actions ...*api.Action) error {
		_, err := f.ModifyListener(f.ctx, &api.ModifyListenerInput{ListenerArn: made.ListenerArn, DefaultActions: actions})
		return err
	}
	existing := func(c *api.AuthenticateOidcActionConfig) {
		c.ClientSecret, c.UseExistingClientSecret = nil, wire.Ptr(true)
	}
	if err := modify(authenticateOIDC(existing, func(c *api.AuthenticateOidcActionConfig) { c.Scope = wire.Ptr("openid email") }), forward); err != nil {
		t.Error(err)
	}
	if a := row().DefaultActions[0].Authenticate; a.ClientSecret != "secret" || a.Scope != "openid email" {
		t.Errorf("modified %+v", a)
	}
	if again := lb().IdentityKeys; len(again) != 1 || again[0].ID != first[0].ID {
		t.Error("the key was replaced")
	}
	text := func(set func(c *api.AuthenticateOidcActionConfig, v *string), v string) *api.Action {
		return authenticateOIDC(func(c *api.AuthenticateOidcActionConfig) { set(c, &v) })
	}
	for _, c := range []struct {
		code, text string
		action     *api.Action
	}{
		{"ValidationError", "OIDC issuer", text(func(c *api.AuthenticateOidcActionConfig, v *string) { c.Issuer = v }, "http://idp.example")},
		{"ValidationError", "authorization endpoint", text(func(c *api.AuthenticateOidcActionConfig, v *string) { c.AuthorizationEndpoint = v }, "/authorize")},
		{"ValidationError", "token endpoint", text(func(c *api.AuthenticateOidcActionConfig, v *string) { c.TokenEndpoint = v }, "https://u:p@idp.example/")},
		{"ValidationError", "user info endpoint", text(func(c *api.AuthenticateOidcActionConfig, v *string) { c.UserInfoEndpoint = v }, "ftp://idp.example/")},
		{"InvalidLoadBalancerAction", "client ID", text(func(c *api.AuthenticateOidcActionConfig, v *string) { c.ClientId = v }, "")},
		{"InvalidLoadBalancerAction", "client secret", text(func(c *api.AuthenticateOidcActionConfig, v *string) { c.ClientSecret = v }, "")},
		{"InvalidLoadBalancerAction", "cookie name", text(func(c *api.AuthenticateOidcActionConfig, v *string) { c.SessionCookieName = v }, "a b")},
		{"InvalidLoadBalancerAction", "session timeout", authenticateOIDC(func(c *api.AuthenticateOidcActionConfig) { c.SessionTimeout = wire.Ptr(int64(604801)) })},
		{"InvalidLoadBalancerAction", "client secret", authenticateOIDC(existing)}, // there is none
		{"InvalidLoadBalancerAction", "'state'", authenticateOIDC(func(c *api.AuthenticateOidcActionConfig) {
			c.AuthenticationRequestExtraParams = map[string]string{"state": "a"}
		})},
		{"InvalidLoadBalancerAction", "At most 10", authenticateOIDC(func(c *api.AuthenticateOidcActionConfig) {
			c.AuthenticationRequestExtraParams = map[string]string{}
			for i := range 11 {
				c.AuthenticationRequestExtraParams[strings.Repeat("a", i+1)] = ""
			}
		})},
		{"InvalidConfigurationRequest", "Cognito", &api.Action{Type: wire.Ptr("authenticate-cognito"), Order: wire.Ptr(int64(1)), AuthenticateCognitoConfig: &api.AuthenticateCognitoActionConfig{
			UserPoolArn: wire.Ptr("arn:aws:cognito-idp:us-east-1:111111111111:userpool/a"), UserPoolClientId: wire.Ptr("a"), UserPoolDomain: wire.Ptr("a"),
		}}},
	} {
		_, err := listen(444, c.action, forward)
		wantError(t, err, c.code, c.text)
	}
	on := listenerInput(f.lb.LoadBalancerArn, f.targets.TargetGroupArn, 81, overHTTP)
	on.DefaultActions = []*api.Action{authenticateOIDC(), forward}
	_, err = f.CreateListener(f.ctx, on)
	wantError(t, err, "InvalidLoadBalancerAction", "Actions of type 'authenticate-oidc' are supported only on HTTPS listeners")

	// Keys are replaced after a week, and believed for another one.
	now := time.Now()
	if old := OldIdentityKeys(f.db.View(), now.Add(identityKeyLife-time.Minute)); len(old) != 0 {
		t.Errorf("old keys %v", old)
	}
	for i := range 2 {
		now = now.Add(identityKeyLife + time.Minute)
		if old := OldIdentityKeys(f.db.View(), now); len(old) != 1 {
			t.Fatalf("old keys %v", old)
		}
		f.update(func(tx *store.Tx) error {
			RenewIdentityKey(tx, *f.lb.LoadBalancerArn, now)
			return nil
		})
		if keys := lb().IdentityKeys; len(keys) != 2 || (keys[1].ID == first[0].ID) != (i == 0) {
			t.Errorf("after %d weeks there are %d keys", i+1, len(keys))
		}
	}
}
