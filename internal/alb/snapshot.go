package alb

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/alb/cookie"
	"github.com/isthmus-net/isthmus/internal/alb/idp"
	"github.com/isthmus-net/isthmus/internal/alb/rule"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
	"github.com/isthmus-net/isthmus/internal/proxy/way"
)

// snapshot is one compiled configuration. It is immutable but for counters; a
// request uses the one that was current when it came.
type snapshot struct {
	config    *config.Config
	listeners map[uint16]*listener
	groups    map[string]*group
	targets   map[targetKey]*target
	sealer    *cookie.Sealer
	providers *providers
	metrics   *metrics // over all snapshots
	logged    string   // what lines of the process's own log have of the load balancer
}

type listener struct {
	config   *config.Listener
	tls      *tls.Config // nil for HTTP
	verifier *verifier   // nil if clients are not verified
	rules    rule.Rules
	actions  []action         // of the rules
	changes  []rule.Transform // likewise
	fallback action
	logins   map[string]*idp.Login // of all actions, by their IDs; nil without any
}

// add takes an action's login, to which clients come back at the listener.
func (l *listener) add(a action) {
	if a.login != nil {
		if l.logins == nil {
			l.logins = map[string]*idp.Login{}
		}
		l.logins[a.login.ID] = a.login
	}
}

// action has one of forward, redirect and fixed set.
type action struct {
	login    *idp.Login     // nil if clients need not log in
	validate *idp.Validator // nil if requests need no token
	forward  *forward
	redirect *config.Redirect
	fixed    *config.FixedResponse
}

// forward is a choice of groups.
type forward struct {
	groups []weighted
	total  int // of the weights
	sticky int // seconds; zero: not sticky
}

type weighted struct {
	*group
	weight int
}

type group struct {
	*config.TargetGroup
	// registered are those that may be given new requests, of which healthy
	// are; bound are all, by address.
	registered, healthy []*target
	bound               map[netip.AddrPort]*target
	metrics             *groupMetrics // over all snapshots that have the group
	logged              string        // see snapshot
	turn                atomic.Uint64
}

// targetKey tells apart what must not share connections.
type targetKey struct {
	group   string
	address netip.AddrPort
}

type target struct {
	*config.Target
	text        string // of its address
	logged      string // see snapshot
	pool        *upstream.Pool
	outstanding *atomic.Int64 // requests under way, over all snapshots
	vitals      *vitals
	pools       *pools     // over all snapshots
	resting     bool       // it is given no further requests
	slowStart   *slowStart // nil for a target that is given its full share
}

// pools are those that have connections to a target: of the rules that are, and
// of earlier ones.
type pools []*upstream.Pool

func (p *pools) add(pool *upstream.Pool) {
	*p = append(slices.DeleteFunc(*p, (*upstream.Pool).Unused), pool)
}

// errDeregistered ends what is under way with a target whose deregistration is
// complete.
var errDeregistered = &upstream.Error{Kind: upstream.Network, Layer: "target", Cause: "its deregistration delay has elapsed"}

// compile makes a snapshot, with the connections of the one before wherever
// they are still good.
func compile(c *config.Config, before *snapshot, o Options) (*snapshot, error) {
	s := &snapshot{
		config: c, listeners: map[uint16]*listener{}, groups: map[string]*group{}, targets: map[targetKey]*target{}, metrics: before.metrics,
	}
	var err error
	if s.sealer, err = cookie.NewSealer(c.CookieKey); err != nil {
		return nil, err
	}
	s.providers = providersOf(c, o.Upstream.Dialing, o.Log)
	s.logged = o.Access.Pairs("elb", c.LoadBalancer)
	for arn, g := range c.TargetGroups {
		s.addGroup(arn, &g, before, o)
	}
	for i := range c.Listeners {
		l := &listener{config: &c.Listeners[i]}
		if l.rules, err = rule.Compile(l.config.Rules); err != nil {
			return nil, err
		}
		for _, r := range l.config.Rules {
			a, err := s.compileAction(r.Action, before)
			if err != nil {
				return nil, fmt.Errorf("compile rule %s: %w", r.ARN, err)
			}
			change, err := rule.NewTransform(r)
			if err != nil {
				return nil, fmt.Errorf("compile rule %s: %w", r.ARN, err)
			}
			l.actions, l.changes = append(l.actions, a), append(l.changes, change)
			l.add(a)
		}
		if l.fallback, err = s.compileAction(l.config.Default, before); err != nil {
			return nil, fmt.Errorf("compile default action of %s: %w", l.config.ARN, err)
		}
		l.add(l.fallback)
		if l.verifier, err = compileVerifier(l.config.TLS, before.listeners[l.config.Port]); err != nil {
			return nil, fmt.Errorf("compile TLS of %s: %w", l.config.ARN, err)
		}
		if l.tls, err = compileTLS(l.config.TLS, &c.Attributes, l.verifier); err != nil {
			return nil, fmt.Errorf("compile TLS of %s: %w", l.config.ARN, err)
		}
		s.listeners[l.config.Port] = l
	}
	return s, nil
}

func (s *snapshot) addGroup(arn string, c *config.TargetGroup, before *snapshot, options Options) {
	o := options.Upstream
	g := &group{TargetGroup: c, bound: map[netip.AddrPort]*target{}, metrics: new(groupMetrics), logged: options.Access.Pairs("target_group_arn", c.ARN)}
	if was := before.groups[arn]; was != nil {
		g.metrics = was.metrics
	}
	node, own := s.metrics, g.metrics // pools outlive the snapshot
	o.Dialled = func(err error) {
		if err != nil {
			own.failed.Add(1)
		} else {
			node.dialled.Add(1)
		}
	}
	// Not all nodes begin with the same target, nor does each configuration.
	g.turn.Store(rand.Uint64())
	for i := range c.Targets {
		t := s.addTarget(targetKey{arn, c.Targets[i].Address}, c, &c.Targets[i], before, o)
		t.logged = options.Access.Pairs("target", t.text, "target_id", t.ID)
		g.bound[t.Address] = t
		if t.Health == config.Draining {
			continue
		}
		g.registered = append(g.registered, t)
		if t.Health == config.Healthy {
			g.healthy = append(g.healthy, t)
		}
	}
	if c.SlowStartSeconds > 0 {
		g.startSlowly(before, time.Now())
	}
	s.groups[arn] = g
}

// startSlowly begins slow start for the targets that have become healthy, if
// there are others that have been so and are through with it, and goes on with
// that of the others.
func (g *group) startSlowly(before *snapshot, now time.Time) {
	warm := false
	earlier := func(t *target) *target { return before.targets[targetKey{g.ARN, t.Address}] }
	for _, t := range g.healthy {
		old := earlier(t)
		warm = warm || old != nil && old.Health == config.Healthy && old.share(now) >= 1
	}
	for _, t := range g.healthy {
		switch old := earlier(t); {
		case old != nil && old.Health == config.Healthy:
			t.slowStart = old.slowStart
		case warm:
			t.slowStart = &slowStart{now, time.Duration(g.SlowStartSeconds) * time.Second}
		}
	}
}

func (s *snapshot) addTarget(key targetKey, g *config.TargetGroup, c *config.Target, before *snapshot, o upstream.Options) *target {
	t := &target{
		Target: c, text: c.Address.String(), outstanding: new(atomic.Int64), vitals: new(vitals), pools: new(pools),
		resting: c.Health == config.Draining && g.Stickiness == nil,
	}
	way := way.Upstream{
		Key: key.group, Destinations: []way.Destination{{Zone: c.Zone, Address: c.Address}}, Fingerprint: g.Fingerprint,
	}
	if old := before.targets[key]; old != nil {
		t.outstanding, t.vitals, t.pools = old.outstanding, old.vitals, old.pools
		if old.pool.Serves(&way, false) && (t.resting || !old.resting) {
			t.pool = old.pool
		}
	}
	if t.pool == nil {
		if g.Version == config.HTTP1 {
			t.pool = upstream.NewPool(way, false, o)
		} else {
			t.pool = upstream.NewHTTP2Pool(way, g.HTTPS, o)
		}
		t.pools.add(t.pool)
	}
	s.targets[key] = t
	return t
}

func (s *snapshot) compileAction(c config.Action, before *snapshot) (action, error) {
	a := action{redirect: c.Redirect, fixed: c.FixedResponse}
	if in := c.Authenticate; in != nil {
		var err error
		if a.login, err = idp.NewLogin(in, s.config.LoadBalancer, s.config.IdentityKeys, s.providers.connect(before.providers)); err != nil {
			return a, err
		}
	}
	if v := c.ValidateJWT; v != nil {
		a.validate = idp.NewValidator(v, s.providers.keysAt(v.JWKSEndpoint, before.providers))
	}
	if c.Forward == nil {
		if a.redirect == nil && a.fixed == nil {
			return a, fmt.Errorf("there is no action that is known")
		}
		return a, nil
	}
	a.forward = &forward{sticky: c.Forward.StickySeconds}
	for _, w := range c.Forward.Groups {
		g := s.groups[w.TargetGroup]
		if g == nil {
			return a, fmt.Errorf("target group %s is missing", w.TargetGroup)
		}
		a.forward.groups = append(a.forward.groups, weighted{g, w.Weight})
		a.forward.total += w.Weight
	}
	return a, nil
}
