// Package gateway is API Gateway's request chain: it finds the API, stage and
// route of a request, carries it to the route's integration, and the answer
// back. It knows its own types of requests and responses only (package
// message) and is fed compiled configuration (package config); it reads
// neither the store nor the services.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// Options are what a gateway is made with. Zero values mean the defaults.
type Options struct {
	Upstream upstream.Options
	// Hosts are names of this machine, besides localhost and addresses, under
	// which the path form of invocation is served.
	Hosts []string
	// ExposeCause adds the header x-isthmus-cause to failures. It tells
	// clients about private networks; the access log has the cause anyway.
	ExposeCause bool
	// MaxPayload limits bodies, both ways; default 10 MiB, as AWS.
	MaxPayload int64
	// MaxHeader limits a request's header; default 10,240 bytes, as AWS: the
	// values for REST APIs, with names and the request line for HTTP APIs.
	MaxHeader int
	// Caller finds out who opened a connection inside API Gateway's VPC.
	Caller func(ctx context.Context, own, other netip.AddrPort) (Caller, error)
	// PublicThroughEndpoints lets public APIs be called through interface
	// endpoints too, which AWS refuses.
	PublicThroughEndpoints bool
	// Tracer makes spans of exchanges, and has backends told of them; nil makes
	// none, and passes what clients say of traces on as it is.
	Tracer trace.Tracer
	// Balancers finds out what the nodes of Application Load Balancers have
	// counted, for who collects metrics; nil if they are not told of.
	Balancers func(context.Context) ([]albconfig.NodeMetrics, error)
	// StageLogs is the directory of stages' access logs; nil if they write none.
	StageLogs *os.Root
	// Access gets a line for each request, Log what concerns the process.
	Access *linelog.Log
	Log    *slog.Logger
}

func (o *Options) setDefaults() {
	if o.MaxPayload == 0 {
		o.MaxPayload = 10 << 20
	}
	if o.MaxHeader == 0 {
		o.MaxHeader = 10_240
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Gateway serves the configuration that was applied last.
type Gateway struct {
	options  Options
	current  atomic.Pointer[snapshot]
	applying sync.Mutex
	trust    trust                   // guarded by applying
	logs     logFiles                // guarded by applying
	unrouted atomic.Uint64           // requests that came to no stage
	internet map[bool]*upstream.Pool // by whether verification is skipped
	// exchanges that have ended, whose memory others use.
	exchanges sync.Pool
}

// New makes a gateway that serves nothing yet.
func New(o Options) *Gateway {
	o.setDefaults()
	g := &Gateway{options: o, internet: map[bool]*upstream.Pool{}, logs: logFiles{dir: o.StageLogs, open: map[string]*logFile{}}}
	for _, skip := range []bool{false, true} {
		g.internet[skip] = upstream.NewInternetPool(skip, o.Upstream)
	}
	g.current.Store(&snapshot{})
	return g
}

// Apply serves a new configuration from the next request on. Requests under
// way end with the one they began with. Connections to backends whose rules
// have changed are not used again. The configuration must not be changed
// afterwards.
func (g *Gateway) Apply(c *config.Config) {
	g.applying.Lock()
	defer g.applying.Unlock()
	next, problems := compile(c)
	unused := next.usePools(g.current.Load(), c, g.trust.options(g.options.Upstream, c.Authority), g.internet)
	next.useMetrics(g.current.Load())
	next.useLog(g.options.Access)
	problems = append(problems, g.logs.use(next, time.Now(), g.options.Log)...)
	g.current.Store(next)
	for _, pool := range unused {
		pool.Retire()
	}
	for _, err := range problems {
		g.options.Log.Warn("configuration can't be served as it is", "error", err)
	}
}

// Close returns when the access logs of stages are written. No request is under
// way, and none may come.
func (g *Gateway) Close() {
	g.applying.Lock()
	defer g.applying.Unlock()
	g.logs.close()
}

// Handle answers a request. It is a message.Handler.
func (g *Gateway) Handle(ctx context.Context, r *message.Request) *message.Response {
	x := g.begin(r)
	x.traceID = x.trace(r.Header.Get("X-Amzn-Trace-Id"))
	r.Header.DeleteFunc(isEndpointHeader)
	x.beginSpan()
	return x.finish(x.run(ctx))
}

// run is the chain.
func (x *exchange) run(ctx context.Context) *message.Response {
	stageName, refused := x.find(ctx)
	if refused != nil {
		return refused
	}
	in, answer := x.choose(stageName)
	if answer != nil {
		return answer
	}
	if in.Type == config.Mock {
		return x.mock(in)
	}
	out, refused := x.outgoing(in)
	if refused != nil {
		return refused
	}
	response, failed := x.call(ctx, in, out)
	if failed != nil {
		return failed
	}
	switch {
	case x.api.Kind == config.HTTP:
		return x.httpResponse(in, response)
	case in.Type == config.HTTPPlain:
		x.response = response
		return x.integrationResponse(in, response.Status)
	}
	remap(&response.Header)
	return response
}

// choose finds the integration of a request whose API is known.
func (x *exchange) choose(stageName string) (*integration, *message.Response) {
	if refused := x.checkSize(); refused != nil {
		return nil, refused
	}
	if x.api.Kind == config.REST {
		if override := x.request.Header.Get("X-HTTP-Method-Override"); override != "" && isMethod(override) {
			x.method = override
		}
	}
	if refused := x.findStage(stageName); refused != nil {
		return nil, refused
	}
	if x.stage.cors.isPreflight(x.request) {
		return nil, &message.Response{Status: 204}
	}
	if refused := x.findRoute(); refused != nil {
		return nil, refused
	}
	if refused := x.authorize(); refused != nil {
		return nil, refused
	}
	in := x.route.integration
	if in == nil {
		return nil, x.fail(internalError, "configuration: the route has no integration")
	}
	if in.broken != nil {
		return nil, x.fail(configurationError, "configuration: "+in.broken.Error())
	}
	return in, nil
}

// outgoing makes the request that the backend gets.
func (x *exchange) outgoing(in *integration) (*upstream.Request, *message.Response) {
	switch {
	case x.api.Kind == config.HTTP:
		return x.httpRequest(in)
	case in.Type == config.HTTPPlain:
		return x.restPlainRequest(in)
	}
	return x.restProxyRequest(in)
}

// find finds the API, by the way that the request came.
func (x *exchange) find(ctx context.Context) (stage string, refused *message.Response) {
	if a, private := x.request.Connection.(*arrival); private {
		return "", x.locatePrivate(ctx, a)
	}
	return x.locate()
}

// locate finds the API by the three forms of invocation. The stage is empty
// unless the form names it; the path is set.
func (x *exchange) locate() (stage string, refused *message.Response) {
	x.path = x.request.Path
	id, byHost := apiOfHost(x.request.Host, x.snapshot.region)
	if !byHost {
		var byPath bool
		var rest string
		id, stage, rest, byPath = apiOfPath(x.request.Path)
		if !byPath || !x.gateway.mayUsePathForm(x.request.Host) {
			return "", x.fail(forbidden, "request: neither host nor path name an API")
		}
		x.path = rest
	}
	a := x.snapshot.apis[id]
	if a == nil {
		return "", x.fail(forbidden, "request: no API "+id)
	}
	x.api = a
	if a.EndpointType == "PRIVATE" {
		return "", x.fail(forbidden, "request: a private API is reached through a VPC endpoint only")
	}
	if a.DisableExecuteAPIEndpoint {
		return "", x.fail(endpointDisabled, "request: the API's default endpoint is disabled")
	}
	return stage, nil
}

// maxURL is AWS's limit of the length of a regional REST API's URL.
const maxURL = 10_240

func (x *exchange) checkSize() *message.Response {
	r, limit := x.request, x.gateway.options.MaxHeader
	if x.api.Kind == config.REST {
		if len(r.Path)+len(r.Query) > maxURL {
			return x.fail(targetTooLong, "request: the URL is too long")
		}
		if r.Header.ValueSize() > limit {
			return x.fail(headerTooLarge, "request: the header is too large")
		}
	} else if r.LineSize()+r.Header.Size() > limit {
		return x.fail(headerTooLarge, "request: request line and header are too large")
	}
	if r.Length > x.gateway.options.MaxPayload {
		return x.fail(requestTooLarge, "request: the body is too large")
	}
	return nil
}

// findStage takes the stage from the path. REST APIs always have it there;
// HTTP APIs fall back to $default, which adds nothing.
func (x *exchange) findStage(named string) *message.Response {
	if named != "" {
		x.stage = x.api.stages[named]
	} else {
		if x.stage = x.api.fallback; x.stage == nil || len(x.api.stages) > 1 {
			first, rest := splitStage(x.path)
			if st := x.api.stages[first]; st != nil && first != defaultStage {
				x.stage, x.path = st, rest
			}
		}
	}
	if x.stage == nil {
		return x.fail(noRoute, "request: no such stage")
	}
	return nil
}

func (x *exchange) findRoute() *message.Response {
	// Not even ANY stands for others: to a backend, CONNECT and TRACE would
	// mean something else than to the client.
	if !isMethod(x.method) {
		return x.fail(noRoute, "request: no route has the method "+strconv.Quote(x.method))
	}
	x.match = x.stage.router.Find(x.method, x.path, x.values[:0])
	if x.match.Route < 0 {
		return x.fail(noRoute, "request: no route matches")
	}
	x.route = x.stage.routes[x.match.Route]
	if x.match.Climbs() {
		return x.fail(badRequest, "request: the path leads out of its route by dot segments")
	}
	return nil
}

// authorize refuses what asks for a check that this gateway can't make: a
// route that was meant to be closed is never open.
func (x *exchange) authorize() *message.Response {
	if refused := x.checkPolicies(); refused != nil {
		return refused
	}
	switch {
	case x.route.AuthorizationType != "" && x.route.AuthorizationType != "NONE":
		return x.fail(authorizationMissing, fmt.Sprintf("authorization: type %s is not supported", x.route.AuthorizationType))
	case x.route.APIKeyRequired:
		return x.fail(authorizationMissing, "authorization: an API key is required")
	}
	return nil
}

func isMethod(s string) bool {
	switch s {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}
