package gateway

import (
	"crypto/tls"
	"fmt"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/gateway/router"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// snapshot is one compiled configuration. It is immutable; a request uses the
// one that was current when it came.
type snapshot struct {
	region string
	apis   map[string]*api
	// endpoints are those of private APIs, by the address that stands for each.
	endpoints    map[netip.Addr]*endpoint
	certificates []*tls.Certificate
	pools        map[poolKey]*upstream.Pool
}

type api struct {
	*config.API
	stages    map[string]*stage
	fallback  *stage // that needs no name in the path: $default of an HTTP API; nil if there is none
	userAgent string // what backends are told if the client doesn't say its own
	logged    string // what lines of the gateway's log have of it
}

type stage struct {
	*config.Stage
	router  *router.Router
	routes  []*route
	cors    *cors
	policy  *compiledPolicy // nil if there is none
	log     *stageLog       // nil if there is none
	metrics *metrics
	logged  string // see api
}

type route struct {
	*config.Route
	logged      string       // see api
	integration *integration // nil if the route has none
}

// poolKey tells connections apart that may not be used for each other.
type poolKey struct {
	upstream string
	skip     bool // verification of the issuer
}

// compile makes a snapshot. What can't be served is kept as a failure of its
// route alone, so that one mistake takes nothing else down; problems are those
// failures, for the log.
func compile(c *config.Config) (s *snapshot, problems []error) {
	s = &snapshot{region: c.Region, apis: make(map[string]*api, len(c.APIs)), pools: map[poolKey]*upstream.Pool{}}
	for i := range c.APIs {
		a := &api{API: &c.APIs[i], stages: make(map[string]*stage, len(c.APIs[i].Stages)), userAgent: "AmazonAPIGateway_" + c.APIs[i].ID}
		s.apis[a.ID] = a
		for j := range a.Stages {
			st := &stage{Stage: &a.Stages[j], cors: compileCORS(a.Stages[j].CORS)}
			a.stages[st.Name] = st
			if st.Name == defaultStage && a.Kind == config.HTTP {
				a.fallback = st
			}
			if st.Policy != "" {
				st.policy = compilePolicy("the resource policy of API "+a.ID, st.Policy)
			}
			rule := router.ResourceFirst
			if a.Kind == config.HTTP {
				rule = router.RouteFirst
			}
			st.router = router.New(rule, st.Routes)
			st.routes = make([]*route, len(st.Routes))
			for k := range st.Routes {
				r := &route{Route: &st.Routes[k]}
				st.routes[k] = r
				if r.Integration == nil {
					continue
				}
				r.integration = compileIntegration(a.Kind, r.Integration, c.Upstreams)
				if err := r.integration.broken; err != nil {
					problems = append(problems, fmt.Errorf("compile route %q of stage %s of API %s: %w", r.Key, st.Name, a.ID, err))
				}
			}
		}
	}
	s.compilePrivate(c)
	var unread []error
	s.certificates, unread = readCertificates(c.Certificates)
	return s, append(problems, unread...)
}

// usePools gives the snapshot's integrations their pools: those of the
// snapshot before where nothing has changed, new ones elsewhere. It returns
// the pools that are of no more use.
func (s *snapshot) usePools(before *snapshot, c *config.Config, o upstream.Options, internet map[bool]*upstream.Pool) (unused []*upstream.Pool) {
	for _, a := range s.apis {
		for _, st := range a.stages {
			for _, r := range st.routes {
				in := r.integration
				if in == nil || in.broken != nil || in.Type == config.Mock {
					continue
				}
				if in.Upstream == "" {
					in.pool = internet[in.skipVerify()]
					continue
				}
				key := poolKey{in.Upstream, in.skipVerify()}
				if s.pools[key] == nil {
					u := c.Upstreams[in.Upstream]
					if before != nil && before.pools[key] != nil && before.pools[key].Serves(&u, key.skip) {
						s.pools[key] = before.pools[key]
					} else {
						s.pools[key] = upstream.NewPool(u, key.skip, o)
					}
				}
				in.pool = s.pools[key]
			}
		}
	}
	if before != nil {
		for key, pool := range before.pools {
			if s.pools[key] != pool {
				unused = append(unused, pool)
			}
		}
	}
	return unused
}

// useLog makes what lines of a log have of each API, stage and route.
func (s *snapshot) useLog(log *linelog.Log) {
	for _, a := range s.apis {
		a.logged = log.Pairs("accountId", a.Account, "apiId", a.ID)
		for _, st := range a.stages {
			st.logged = log.Pairs("stage", st.Name)
			for _, r := range st.routes {
				r.logged = log.Pairs("routeKey", r.Key, "resourcePath", r.Path)
			}
		}
	}
}
