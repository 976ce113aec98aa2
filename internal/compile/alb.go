package compile

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	dnsconfig "github.com/isthmus-net/isthmus/internal/dns/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// ALB compiles what the nodes of Application Load Balancers serve, by the ids
// of their ENIs.
func ALB(in Input) map[string]config.Config {
	a := albCompiler{
		groups:       index(in.TargetGroups),
		certificates: index(in.Certificates),
		trustStores:  index(in.TrustStores),
		health:       map[string]string{},
		rules:        groupBy(in.ListenerRules, func(r *resource.ListenerRule) string { return r.Listener }),
	}
	for _, h := range in.TargetHealth {
		a.health[h.Key()] = h.State
	}
	listeners := groupBy(in.Listeners, func(l *resource.Listener) string { return l.LoadBalancer })
	interfaces := index(in.NetworkInterfaces)
	nodes := map[string]config.Config{}
	for _, lb := range in.LoadBalancers {
		if lb.Type != resource.ApplicationLoadBalancer {
			continue
		}
		for _, z := range lb.Zones {
			if interfaces[z.Interface] != nil {
				nodes[z.Interface] = a.node(lb, z, listeners[lb.ARN])
			}
		}
	}
	return nodes
}

type albCompiler struct {
	groups       map[string]*resource.TargetGroup
	certificates map[string]*resource.Certificate
	trustStores  map[string]*resource.TrustStore
	health       map[string]string                   // state by TargetHealth.Key
	rules        map[string][]*resource.ListenerRule // by listener
}

func (a *albCompiler) node(lb *resource.LoadBalancer, z resource.LoadBalancerZone, listeners []*resource.Listener) config.Config {
	c := config.Config{
		ENI: z.Interface, LoadBalancer: lb.ARN, Zone: z.Zone, Address: z.Address,
		Attributes: albAttributes(lb.Attributes), CookieKey: lb.CookieKey,
		Resolver:     netip.AddrPortFrom(resource.LinkLocalResolver, dnsconfig.Port),
		TargetGroups: map[string]config.TargetGroup{},
	}
	for _, k := range lb.IdentityKeys {
		c.IdentityKeys = append(c.IdentityKeys, config.IdentityKey{ID: k.ID, Seal: k.Seal, Sign: k.Sign})
	}
	use := func(actions []resource.Action) {
		for _, arn := range resource.TargetGroups(actions) {
			if g := a.groups[arn]; g != nil {
				c.TargetGroups[arn] = a.group(lb, g, z.Zone)
			}
		}
	}
	for _, l := range listeners {
		out := config.Listener{
			ARN: l.ARN, Port: uint16(l.Port), Default: action(l.DefaultActions), TLS: a.tls(l),
			OmitServer: l.Attributes["routing.http.response.server.enabled"] == "false",
			Headers:    responseHeaders(l.Attributes),
		}
		use(l.DefaultActions)
		for _, r := range a.rules[l.ARN] {
			out.Rules = append(out.Rules, config.Rule{
				ARN: r.ARN, Priority: r.Priority, Conditions: conditions(r.Conditions), Action: action(r.Actions),
				HostRewrite: (*config.Rewrite)(r.HostRewrite), URLRewrite: (*config.Rewrite)(r.URLRewrite),
			})
			use(r.Actions)
		}
		slices.SortFunc(out.Rules, func(a, b config.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
		c.Listeners = append(c.Listeners, out)
	}
	slices.SortFunc(c.Listeners, func(a, b config.Listener) int { return cmp.Compare(a.Port, b.Port) })
	return c
}

func albAttributes(set map[string]string) config.Attributes {
	mode := config.XFFAppend
	if m := set["routing.http.xff_header_processing.mode"]; m != "" {
		mode = config.XForwardedFor(m)
	}
	return config.Attributes{
		IdleTimeoutSeconds:     attributeNumber(set, "idle_timeout.timeout_seconds", 60),
		ClientKeepAliveSeconds: attributeNumber(set, "client_keep_alive.seconds", 3600),
		XForwardedFor:          mode,
		XFFClientPort:          set["routing.http.xff_client_port.enabled"] == "true",
		PreserveHost:           set["routing.http.preserve_host_header.enabled"] == "true",
		DropInvalidHeaders:     set["routing.http.drop_invalid_header_fields.enabled"] == "true",
		TLSHeaders:             set["routing.http.x_amzn_tls_version_and_cipher_suite.enabled"] == "true",
		HTTP1Only:              set["routing.http2.enabled"] == "false",
	}
}

func responseHeaders(set map[string]string) (out []config.Header) {
	for _, f := range config.ResponseFields {
		if v := set[f.Attribute]; v != "" {
			out = append(out, config.Header{Name: f.Name, Value: v})
		}
	}
	return out
}

func attributeNumber(set map[string]string, key string, initial int) int {
	if n, err := strconv.Atoi(set[key]); err == nil {
		return n
	}
	return initial
}

// action compiles the actions of a rule.
func action(list []resource.Action) (out config.Action) {
	for _, a := range list {
		switch {
		case a.Forward != nil:
			out.Forward = &config.Forward{}
			if a.Forward.Sticky {
				out.Forward.StickySeconds = a.Forward.StickySeconds
			}
			for _, g := range a.Forward.Groups {
				out.Forward.Groups = append(out.Forward.Groups, config.WeightedGroup{TargetGroup: g.TargetGroup, Weight: g.Weight})
			}
		case a.Authenticate != nil:
			in := a.Authenticate
			out.Authenticate = &config.Authenticate{
				Issuer: in.Issuer, AuthorizationEndpoint: in.AuthorizationEndpoint, TokenEndpoint: in.TokenEndpoint, UserInfoEndpoint: in.UserInfoEndpoint,
				ClientID: in.ClientID, ClientSecret: in.ClientSecret, CookieName: in.SessionCookieName, Scope: in.Scope,
				SessionSeconds: in.SessionTimeout, ExtraParams: in.ExtraParams, OnUnauthenticated: config.Unauthenticated(in.OnUnauthenticated),
			}
		case a.ValidateJWT != nil:
			v := a.ValidateJWT
			out.ValidateJWT = &config.ValidateJWT{Issuer: v.Issuer, JWKSEndpoint: v.JWKSEndpoint}
			for _, c := range v.Claims {
				out.ValidateJWT.Claims = append(out.ValidateJWT.Claims, config.JWTClaim{Name: c.Name, Format: config.ClaimFormat(c.Format), Values: c.Values})
			}
		case a.Redirect != nil:
			r := a.Redirect
			out.Redirect = &config.Redirect{StatusCode: 302, Protocol: r.Protocol, Host: r.Host, Port: r.Port, Path: r.Path, Query: r.Query}
			if r.StatusCode == "HTTP_301" {
				out.Redirect.StatusCode = 301
			}
		case a.FixedResponse != nil:
			status, _ := strconv.Atoi(a.FixedResponse.StatusCode)
			out.FixedResponse = &config.FixedResponse{StatusCode: status, ContentType: a.FixedResponse.ContentType, MessageBody: a.FixedResponse.MessageBody}
		}
	}
	return out
}

func conditions(list []resource.RuleCondition) (out []config.Condition) {
	for _, in := range list {
		c := config.Condition{Field: config.Field(in.Field), HeaderName: in.HeaderName, Regex: in.Regex}
		for _, q := range in.Query {
			c.Query = append(c.Query, config.QueryPair{Key: q.Key, Value: q.Value})
		}
		if c.Field != config.SourceIP {
			c.Values = in.Values
		} else {
			for _, v := range in.Values {
				if p, err := netip.ParsePrefix(v); err == nil {
					c.Sources = append(c.Sources, p)
				}
			}
		}
		out = append(out, c)
	}
	return out
}

// group compiles a target group as a node in a zone uses it.
func (a *albCompiler) group(lb *resource.LoadBalancer, g *resource.TargetGroup, zone string) config.TargetGroup {
	out := config.TargetGroup{
		ARN: g.ARN, HTTPS: g.Protocol == "HTTPS", Version: config.ProtocolVersion(g.ProtocolVersion),
		Algorithm: config.RoundRobin, Stickiness: stickiness(g.Attributes),
	}
	if v := g.Attributes["load_balancing.algorithm.type"]; v != "" {
		out.Algorithm = config.Algorithm(v)
	}
	out.AnomalyMitigation = g.Attributes["load_balancing.algorithm.anomaly_mitigation"] == "on"
	registered, chosen := 0, chosenIn(zone, lb, g)
	for _, t := range g.Targets {
		if !chosen(t) {
			out.Unused = append(out.Unused, addrPort(t))
			continue
		}
		out.Targets = append(out.Targets, config.Target{ID: t.ID, Zone: t.Zone, Address: addrPort(t), Health: a.targetHealth(g, t)})
		if t.DrainingUntil == 0 {
			registered++
		}
	}
	out.MinimumHealthy = minimumHealthy(g.Attributes, "unhealthy_state_routing", registered)
	out.SlowStartSeconds = attributeNumber(g.Attributes, "slow_start.duration_seconds", 0)
	slices.SortFunc(out.Targets, func(a, b config.Target) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (a *albCompiler) targetHealth(g *resource.TargetGroup, t resource.Target) config.Health {
	switch {
	case t.DrainingUntil != 0:
		return config.Draining
	case a.health[resource.TargetHealthKey(g.ARN, t.ID, t.Port)] == "healthy":
		return config.Healthy
	case a.health[resource.TargetHealthKey(g.ARN, t.ID, t.Port)] == "unhealthy":
		return config.Unhealthy
	default:
		return config.Initial
	}
}

func stickiness(set map[string]string) *config.Stickiness {
	const day = 86400
	switch {
	case set["stickiness.enabled"] != "true":
		return nil
	case set["stickiness.type"] == "app_cookie":
		return &config.Stickiness{
			AppCookie: set["stickiness.app_cookie.cookie_name"], Seconds: attributeNumber(set, "stickiness.app_cookie.duration_seconds", day),
		}
	default:
		return &config.Stickiness{Seconds: attributeNumber(set, "stickiness.lb_cookie.duration_seconds", day)}
	}
}
