package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// Doors are listeners, nil for none. Main closes them.
type Doors struct{ HTTP, HTTPS net.Listener }

// Process says what the gateway process is started with.
type Process struct {
	Public Doors // for clients
	// Inside is open inside API Gateway's VPC for what comes through interface
	// endpoints.
	Inside  Doors
	Metrics net.Listener // for who collects metrics; nil for none; closed by Main
	Export  *Export      // of spans; nil for none
	Feed    string       // path of the control process's feed socket
	Options Options      // Upstream.Explain, Caller, Balancers and Log are set by Main
	Server  server.Options
	// Drain is how long requests under way may take after the end was asked
	// for; default 30 s, the longest integration.
	Drain time.Duration
	// AllowRoot lets the process run as root. Nothing needs it; a process that
	// parses strangers' bytes should not have it.
	AllowRoot bool
	Log       *slog.Logger
}

// Main runs the gateway process until ctx ends, and then lets the requests
// under way end. Until the first configuration has come, connections wait in
// the listeners' queues.
func Main(ctx context.Context, p Process) error {
	if os.Geteuid() == 0 && !p.AllowRoot {
		return errors.New("start gateway: it must not run as root")
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Drain == 0 {
		p.Drain = 30 * time.Second
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// The gateway is made before the client whose requests it needs.
	var client *feed.Client
	p.Options.Upstream.Explain = func(ctx context.Context, src netip.Addr, dst netip.AddrPort) (upstream.Explanation, error) {
		return explain(ctx, client, src, dst)
	}
	asker := newAsker(func(ctx context.Context, method string, params, result any) error {
		return client.Call(ctx, method, params, result)
	})
	p.Options.Caller = asker.ask
	p.Options.Balancers = func(ctx context.Context) (found []albconfig.NodeMetrics, err error) {
		return found, client.Call(ctx, "balancer-metrics", struct{}{}, &found)
	}
	p.Options.Log, p.Server.Log = p.Log, p.Log
	if p.Export != nil {
		provider, err := newProvider(ctx, *p.Export, p.Log)
		if err != nil {
			return err
		}
		p.Options.Tracer = provider.Tracer("isthmus")
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := provider.Shutdown(ctx); err != nil {
				p.Log.Warn("export the last spans", "error", err)
			}
		}()
	}
	g := New(p.Options)
	defer g.Close()
	ready := make(chan struct{}, 1)
	client = feed.Dial(feed.ClientOptions{
		Path: p.Feed, Role: "gateway", Log: p.Log,
		Handlers: map[string]func(context.Context, json.RawMessage) (any, error){"preview": g.onPreview},
		OnConfig: func(_ context.Context, revision int64, raw json.RawMessage) error {
			var c config.Config
			if err := json.Unmarshal(raw, &c); err != nil {
				return fmt.Errorf("read configuration: %w", err)
			}
			g.Apply(&c)
			p.Log.Info("configuration applied", "revision", revision, "apis", len(c.APIs))
			select {
			case ready <- struct{}{}:
			default:
			}
			return nil
		},
	})
	public := server.New(g.Handle, p.Server)
	p.Server.Connect = g.Arrive
	inside := server.New(g.Handle, p.Server)
	group, ctx := errgroup.WithContext(ctx)
	// Requests under way at the end may still ask.
	asking, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go asker.run(asking)
	group.Go(func() error {
		if err := client.Run(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
	if p.Metrics != nil {
		group.Go(func() error { return serveMetrics(ctx, g, p.Metrics) })
	}
	group.Go(func() error {
		select {
		case <-ready:
		case <-ctx.Done():
			return errors.Join(p.Public.close(), p.Inside.close())
		}
		serve := func(l net.Listener, serve func() error) {
			if l == nil {
				return
			}
			group.Go(func() error {
				if err := serve(); err != nil {
					return fmt.Errorf("serve on %s: %w", l.Addr(), err)
				}
				return nil
			})
		}
		open := func(d Doors, s *server.Server) {
			group.Go(func() error { return drain(ctx, s, p.Drain) })
			serve(d.HTTP, func() error { return s.Serve(d.HTTP) })
			serve(d.HTTPS, func() error { return s.ServeTLS(d.HTTPS, g.TLS()) })
		}
		open(p.Public, public)
		open(p.Inside, inside)
		return nil
	})
	return group.Wait()
}

// drain waits for the end, and then for the requests under way. Those that
// take too long are cut off.
func drain(ctx context.Context, s *server.Server, patience time.Duration) error {
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		return fmt.Errorf("end requests under way: %w", err)
	}
	return nil
}

func (d Doors) close() error {
	var errs []error
	for _, l := range []net.Listener{d.HTTP, d.HTTPS} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// explain asks the control process, which traces the packet.
func explain(ctx context.Context, client *feed.Client, src netip.Addr, dst netip.AddrPort) (upstream.Explanation, error) {
	question := struct {
		Source      netip.Addr     `json:"source"`
		Destination netip.AddrPort `json:"destination"`
	}{src, dst}
	var answer struct {
		Verdict string `json:"verdict"`
		Cause   string `json:"cause"`
	}
	if err := client.Call(ctx, "explain", question, &answer); err != nil {
		return upstream.Explanation{}, err
	}
	// Only a packet that is dropped has a cause.
	return upstream.Explanation{Verdict: answer.Verdict, Cause: answer.Cause, Definitive: answer.Cause != ""}, nil
}
