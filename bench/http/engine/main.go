// Command engine is a reverse proxy of what the gateway and the load balancers
// are built on, internal/http1 and internal/proxy, without their chains: it
// matches a route, changes headers, and logs, as its peers in bench/http do.
package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/gateway/router"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
	"github.com/isthmus-net/isthmus/internal/proxy/way"
)

func main() { contest.Run("engine", run) }

func run(f *contest.Flags, file *os.File) error {
	backend, err := netip.ParseAddrPort(f.Backend)
	if err != nil {
		return err
	}
	var certificate tls.Certificate
	if len(f.TLS) > 0 {
		if certificate, err = tls.LoadX509KeyPair(f.Certificate, f.Key); err != nil {
			return err
		}
	}
	pool := upstream.NewPool(way.Upstream{Key: "backend", Destinations: []way.Destination{{Address: backend}}}, false, upstream.Options{})
	lines := linelog.New(file, slog.Default())
	defer lines.Close()
	log := linelog.NewLog(lines, false, slog.LevelInfo, "engine")
	failed := make(chan error)
	serve := func(d contest.Door, secure bool) {
		p := &proxy{router: newRouter(d.Routes), pool: pool, log: log}
		l, err := net.Listen("tcp", d.Address)
		if err != nil {
			failed <- err
			return
		}
		s := server.New(p.handle, server.Options{MaxConnections: 20_000})
		if secure {
			failed <- s.ServeTLS(l, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{server.H2, "http/1.1"}})
		} else {
			failed <- s.Serve(l)
		}
	}
	for _, d := range f.Plain {
		go serve(d, false)
	}
	for _, d := range f.TLS {
		go serve(d, true)
	}
	return <-failed
}

func newRouter(routes int) *router.Router {
	all := make([]config.Route, routes)
	for i := range all {
		all[i] = config.Route{Method: config.AnyMethod, Path: contest.Route(i)}
	}
	return router.New(router.RouteFirst, all)
}

// proxy serves one door.
type proxy struct {
	router *router.Router
	pool   *upstream.Pool
	log    *linelog.Log
}

// exchange is one request, and what the log tells of it. Its memory is used again.
type exchange struct {
	proxy   *proxy
	request *message.Request
	start   time.Time
	id      string
	route   int
	status  int

	out      upstream.Request
	texts    http1.Texts
	values   [4]string                   // storage of the router's
	answered func(sent int64, err error) // is done
}

var exchanges sync.Pool

func (p *proxy) handle(ctx context.Context, r *message.Request) *message.Response {
	x, _ := exchanges.Get().(*exchange)
	if x == nil {
		x = new(exchange)
		x.answered, x.out.Texts = x.done, &x.texts
	}
	x.proxy, x.request, x.start = p, r, time.Now()
	var id [64]byte
	x.id = x.texts.Of(contest.AppendRequestID(id[:0]))
	response := x.run(ctx)
	response.Header.Set("X-Request-Id", x.id)
	x.status = response.Status
	response.Done = x.answered
	return response
}

func (x *exchange) run(ctx context.Context) *message.Response {
	r := x.request
	if x.route = x.proxy.router.Find(r.Method, r.Path, x.values[:0]).Route; x.route < 0 {
		return &message.Response{Status: 404}
	}
	out := &x.out
	out.Method, out.Path, out.Query, out.Host, out.Body, out.Length = r.Method, r.Path, r.Query, r.Host, r.Body, r.Length
	out.Header = r.Header.AppendPassed(out.Header, nil)
	forwarded := r.ClientAddress()
	if before := r.Header.Values("X-Forwarded-For"); len(before) > 0 {
		forwarded = strings.Join(append(before, forwarded), ", ")
	}
	var text [64]byte
	out.Header.Set("X-Forwarded-For", forwarded)
	out.Header.Set("X-Forwarded-Proto", scheme(r))
	out.Header.Set("X-Forwarded-Port", x.texts.Of(strconv.AppendUint(text[:0], uint64(r.Server.Port()), 10)))
	out.Header.Set("X-Amzn-Trace-Id", x.texts.Of(contest.AppendTraceID(text[:0], x.start.Unix())))
	if err := out.Hold(); err != nil {
		return &message.Response{Status: 400}
	}
	response, failed := x.proxy.pool.Do(ctx, out)
	if failed != nil {
		slog.Error("call", "error", failed)
		return &message.Response{Status: 502}
	}
	response.Header.RemoveHop()
	response.Header.Del("X-Internal")
	return response
}

func scheme(r *message.Request) string {
	if r.Secure {
		return "https"
	}
	return "http"
}

// done writes the access log's line.
func (x *exchange) done(sent int64, err error) {
	r := x.request
	took := time.Since(x.start)
	line := x.proxy.log.Line(x.start.Add(took), slog.LevelInfo, "call")
	line.Word("requestId", x.id)
	line.Text("sourceIp", r.ClientAddress())
	line.Text("host", r.Host)
	line.Word("httpMethod", r.Method)
	line.Text("path", r.Path)
	line.Word("protocol", r.Proto)
	line.Text("userAgent", r.Header.Get("User-Agent"))
	line.Int("route", int64(x.route))
	line.Int("status", int64(x.status))
	line.Int("responseLength", sent)
	line.Int("responseLatency", took.Milliseconds())
	if err != nil {
		line.Text("error", err.Error())
	}
	line.End()
	if x.out.Body == nil { // else the body may still be passed on
		x.out.Reset()
		x.texts.Reset()
		x.proxy, x.request = nil, nil
		exchanges.Put(x)
	}
}
