package alb

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/alb/idp"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// Options are what a node is made with. Zero values mean the defaults.
type Options struct {
	Upstream upstream.Options // AnyCertificate is set: AWS verifies none
	// Access gets a line for each request, Log what concerns the process.
	Access *linelog.Log
	Log    *slog.Logger
	// AccessFile, if not nil, gets a line for each request in AWS's format.
	AccessFile io.Writer
}

// Balancer serves the configuration that was applied last.
type Balancer struct {
	options  Options
	current  atomic.Pointer[snapshot]
	metrics  metrics
	file     *linelog.Writer // nil without AccessFile
	applying sync.Mutex
	// exchanges that have ended, whose memory others use.
	exchanges sync.Pool
}

// connectTimeout is AWS's for a connection to a target.
const connectTimeout = 10 * time.Second

// New makes a balancer that serves nothing yet.
func New(o Options) *Balancer {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Upstream.ConnectTimeout == 0 {
		o.Upstream.ConnectTimeout = connectTimeout
	}
	o.Upstream.AnyCertificate = true
	b := &Balancer{options: o}
	if o.AccessFile != nil {
		b.file = linelog.New(o.AccessFile, o.Log)
	}
	b.current.Store(&snapshot{metrics: &b.metrics})
	return b
}

// Close writes what is left of the access log. No request may be under way.
func (b *Balancer) Close() {
	if b.file != nil {
		b.file.Close()
	}
}

// Apply serves a new configuration from the next request on. Requests under
// way end with the one they began with, unless it has their target no more:
// then they are cut off. Connections to targets whose rules have changed, or
// that are being deregistered, are not used again. The configuration must not be
// changed afterwards. After an error the one before is served on.
func (b *Balancer) Apply(c *config.Config) error {
	b.applying.Lock()
	defer b.applying.Unlock()
	before := b.current.Load()
	next, err := compile(c, before, b.options)
	if err != nil {
		return fmt.Errorf("compile configuration of node %s: %w", c.ENI, err)
	}
	b.current.Store(next)
	for key, t := range before.targets {
		now := next.targets[key]
		if now == nil || now.pool != t.pool || now.resting {
			t.pool.Retire()
		}
		if now == nil && next.groups[key.group].lacks(key.address) {
			for _, p := range *t.pools {
				p.Abort(errDeregistered)
			}
		}
	}
	return nil
}

// Handler answers the requests that come to a port.
func (b *Balancer) Handler(port uint16) message.Handler {
	return func(ctx context.Context, r *message.Request) *message.Response {
		x := b.begin(r)
		x.traceID = traceID(&x.texts, r.Header.Get("X-Amzn-Trace-Id"), x.start)
		return x.finish(x.run(ctx, port))
	}
}

// Refuse answers what is no request that can be served.
func (b *Balancer) Refuse(refusal *http1.Refusal) *http1.Response {
	status := refusal.Status
	if status == http.StatusRequestHeaderFieldsTooLarge {
		status = http.StatusBadRequest
	}
	b.metrics.own.add(status)
	if b.options.Access.Enabled(slog.LevelInfo) {
		line := b.options.Access.Line(time.Now(), slog.LevelInfo, "request")
		line.Int("elb_status_code", int64(status))
		line.Text("error", "request: "+refusal.Reason)
		line.End()
	}
	if b.file != nil {
		b.file.Write(b.current.Load().refusedLine(status, time.Now()))
	}
	return page(status)
}

// Limits of a request, "HTTP header limits" in the quotas of Application Load
// Balancers.
const (
	maxLine       = 16 << 10
	maxField      = 16 << 10
	maxHeader     = 64 << 10
	maxForwarders = 30 // addresses in X-Forwarded-For
)

// run is the chain.
func (x *exchange) run(ctx context.Context, port uint16) *message.Response {
	a, refused := x.decide(port)
	if refused == nil {
		refused = x.verifyAgain()
	}
	switch {
	case refused != nil:
	case x.listener.logins != nil && x.request.Path == idp.CallbackPath:
		return x.comeBack(ctx)
	case a.login != nil:
		refused = x.authenticate(ctx, a.login)
	case a.validate != nil:
		refused = x.validate(ctx, a.validate)
	}
	if refused != nil {
		return refused
	}
	switch {
	case a.fixed != nil:
		return fixedResponse(a.fixed)
	case a.redirect != nil:
		return x.redirect(a.redirect, port)
	}
	return x.forward(ctx, a.forward)
}

// decide finds the action of the rule that a request meets.
func (x *exchange) decide(port uint16) (*action, *message.Response) {
	x.routed = x.request
	x.listener = x.snapshot.listeners[port]
	if x.listener == nil {
		return nil, x.fail(503, "configuration: the listener was deleted")
	}
	if status, cause := check(x.request); status != 0 {
		return nil, x.fail(status, cause)
	}
	a := &x.listener.fallback
	x.priority = 0
	if i := x.listener.rules.Find(x.request); i >= 0 {
		a, x.priority = &x.listener.actions[i], x.listener.config.Rules[i].Priority
		var err error
		if x.routed, x.rehosted, err = x.listener.changes[i].Apply(x.request); err != nil {
			x.transformFailed = true
			return nil, x.fail(500, "rule: "+err.Error())
		}
	}
	switch {
	case a.fixed != nil:
		x.action = "fixed-response"
	case a.redirect != nil:
		x.action = "redirect"
	default:
		x.action = "forward"
	}
	return a, nil
}

// check refuses what AWS refuses before any rule is looked at.
func check(r *message.Request) (status int, cause string) {
	if r.Method == "TRACE" || r.Method == "CONNECT" {
		return 405, "request: method " + r.Method + " is not allowed"
	}
	if len(r.Path)+len(r.Query) > maxLine {
		return 414, "request: the URL is too long"
	}
	if r.LineSize() > maxLine {
		return 400, "request: the request line is too long"
	}
	for _, f := range r.Header {
		if len(f.Name)+len(f.Value) > maxField {
			return 400, "request: a header field is too long"
		}
	}
	if r.Header.Size() > maxHeader {
		return 400, "request: the header is too large"
	}
	if forwarders(r.Header) > maxForwarders {
		return 463, "request: X-Forwarded-For has more than 30 addresses"
	}
	return 0, ""
}
