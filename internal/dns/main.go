package dns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-net/isthmus/internal/dns/config"
	"github.com/isthmus-net/isthmus/internal/feed"
)

// Sockets are where queries come from.
type Sockets struct {
	TCP net.Listener
	UDP net.PacketConn
}

// Process says what the resolver's process is started with. Main closes the
// sockets.
type Process struct {
	Inside Sockets // in API Gateway's VPC, to which the VPCs' resolvers lead
	Host   Sockets // for the machine itself; nil for none
	// Forward is a UDP socket that is connected to the resolver that is asked
	// about all other names; nil: nobody is.
	Forward net.Conn
	// ForwardStream is the path of a Unix socket from which streams lead to the
	// same resolver over TCP.
	ForwardStream string
	Feed          string // path of the control process's feed socket
	Log           *slog.Logger
	// AllowRoot lets the process run as root, which nothing needs.
	AllowRoot bool
}

// Limits of connections against slow and idle clients.
const (
	readTimeout   = 5 * time.Second
	writeTimeout  = 5 * time.Second
	idleTimeout   = 10 * time.Second
	maxTCPQueries = 256
	// maxQuery is the longest query over UDP that is read whole.
	maxQuery = 1232
)

// Main runs the resolver until ctx ends. Until the first configuration has
// come, queries wait in the sockets. While the control process is away it goes
// on with what it has.
func Main(ctx context.Context, p Process) error {
	if os.Geteuid() == 0 && !p.AllowRoot {
		return errors.New("start resolver: it must not run as root")
	}
	var forward upstream
	if p.Forward != nil {
		defer p.Forward.Close()
		forward = newForwarder(p.Forward, func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", p.ForwardStream)
		})
	}
	h := newHandler(forward, p.Log)
	ready := make(chan struct{}, 1)
	client := feed.Dial(feed.ClientOptions{
		Path: p.Feed, Role: "dns", Log: p.Log,
		OnConfig: func(_ context.Context, revision int64, raw json.RawMessage) error {
			var c config.Config
			if err := json.Unmarshal(raw, &c); err != nil {
				return fmt.Errorf("read names: %w", err)
			}
			h.apply(newNames(c, func(name string, err error) {
				p.Log.Warn("name left out", "name", name, "error", err)
			}))
			p.Log.Info("configuration applied", "revision", revision, "vpcs", len(c.VPCs))
			select {
			case ready <- struct{}{}:
			default:
			}
			return nil
		},
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return client.Run(ctx) })
	group.Go(func() error {
		select {
		case <-ready:
		case <-ctx.Done():
			return errors.Join(p.Inside.close(), p.Host.close())
		}
		for _, s := range servers(p.Inside, h.inside, p.Log) {
			group.Go(func() error { return serve(ctx, s) })
		}
		for _, s := range servers(p.Host, h.host, p.Log) {
			group.Go(func() error { return serve(ctx, s) })
		}
		return nil
	})
	return group.Wait()
}

func (s Sockets) close() error {
	var errs []error
	if s.TCP != nil {
		errs = append(errs, s.TCP.Close())
	}
	if s.UDP != nil {
		errs = append(errs, s.UDP.Close())
	}
	return errors.Join(errs...)
}

func servers(s Sockets, handle dns.HandlerFunc, log *slog.Logger) []*dns.Server {
	var list []*dns.Server
	if s.TCP != nil {
		list = append(list, &dns.Server{
			Listener: newBounded(s.TCP, log), Handler: handle, MaxTCPQueries: maxTCPQueries,
			ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: func() time.Duration { return idleTimeout },
		})
	}
	if s.UDP != nil {
		// The timeout only says how often an idle socket is looked after.
		list = append(list, &dns.Server{PacketConn: s.UDP, Handler: handle, UDPSize: maxQuery, ReadTimeout: time.Minute, WriteTimeout: writeTimeout})
	}
	return list
}

// serve runs a server until ctx ends.
func serve(ctx context.Context, s *dns.Server) error {
	started := make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	done := make(chan error, 1)
	go func() { done <- s.ActivateAndServe() }()
	select {
	case err := <-done:
		return fmt.Errorf("serve names: %w", err)
	case <-started:
	}
	select {
	case err := <-done:
		return fmt.Errorf("serve names: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := s.ShutdownContext(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("end serving names: %w", err)
	}
	return nil
}
