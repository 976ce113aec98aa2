package alb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// doors are the ports at which a node listens, which come and go with the
// configuration.
type doors struct {
	handler func(port uint16) message.Handler
	tls     func(port uint16) *tls.Config
	refuse  func(*http1.Refusal) *http1.Response
	failed  func(port uint16, client netip.AddrPort, err error) // a handshake
	drain   time.Duration                                       // how long requests under way may take at an end
	log     *slog.Logger

	accepted atomic.Uint64 // connections
	gaveWay  atomic.Uint64 // of them, to others
	serving  sync.WaitGroup
	mu       sync.Mutex
	open     map[uint16]*door
	old      map[*server.Server]struct{} // those that were replaced, while they have connections
	idle     time.Duration               // of the servers
	ended    bool
}

type door struct {
	*socket
	secure bool
	server *server.Server
	tap    *tap
	served chan struct{} // closed when the server accepts no more
}

// idleTimeout is the balancer's; AWS's default if it is not set.
func idleTimeout(a *config.Attributes) time.Duration {
	if a.IdleTimeoutSeconds == 0 {
		return time.Minute
	}
	return time.Duration(a.IdleTimeoutSeconds) * time.Second
}

// headerTimeout is how long a request's line and header may take, if the idle
// timeout is not less.
const headerTimeout = 10 * time.Second

// set opens and closes ports until they are those of the configuration. What
// can't be opened is an error, and keeps nothing else.
func (d *doors) set(c *config.Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return errors.New("open listeners: the process ends")
	}
	want := map[uint16]bool{} // whether a port is secure
	for _, l := range c.Listeners {
		want[l.Port] = l.TLS != nil
	}
	for port, o := range d.open {
		if _, ok := want[port]; !ok {
			o.close()
			d.end(o.server)
			delete(d.open, port)
		}
	}
	idle := idleTimeout(&c.Attributes)
	changed := idle != d.idle
	d.idle = idle
	for port, o := range d.open {
		if changed || o.secure != want[port] {
			d.open[port] = d.serve(o.socket, port, want[port])
			d.replace(o)
		}
	}
	var errs []error
	for port, secure := range want {
		if d.open[port] != nil {
			continue
		}
		s, err := listen(netip.AddrPortFrom(c.Address, port).String(), d.log)
		if err != nil {
			errs = append(errs, fmt.Errorf("open listener: %w", err))
			continue
		}
		d.open[port] = d.serve(s, port, secure)
	}
	return errors.Join(errs...)
}

// serve starts a server on a socket.
func (d *doors) serve(s *socket, port uint16, secure bool) *door {
	o := server.Options{
		HeaderTimeout: min(headerTimeout, d.idle), IdleTimeout: d.idle, StallTimeout: d.idle,
		// The chain answers above its own limit, which is lower.
		MaxHeader:       maxHeader + 8<<10,
		Refuse:          d.refuse,
		HandshakeFailed: func(client netip.AddrPort, err error) { d.failed(port, client, err) },
		GaveWay:         func() { d.gaveWay.Add(1) },
		Connect: func(_, _ netip.AddrPort) any {
			d.accepted.Add(1)
			return &connection{arrived: time.Now()}
		},
		Log: d.log,
	}
	out := &door{socket: s, secure: secure, server: server.New(d.handler(port), o), tap: s.tap(), served: make(chan struct{})}
	serve := func() error { return out.server.Serve(out.tap) }
	if secure {
		config := d.tls(port)
		serve = func() error { return out.server.ServeTLS(out.tap, config) }
	}
	d.serving.Go(func() {
		defer close(out.served)
		if err := serve(); err != nil && !errors.Is(err, net.ErrClosed) {
			d.log.Error("serve", "address", out.tap.Addr(), "error", err)
		}
	})
	return out
}

// lastAccepts is how long a server may take to accept what it was handed, if it
// has room for it.
const lastAccepts = 100 * time.Millisecond

// replace lets the connections of a server end by themselves, in whose place
// another one serves the same socket. It accepts no more before it is told to
// end, so that no connection that it has just accepted is lost.
func (d *doors) replace(o *door) {
	if d.old == nil {
		d.old = map[*server.Server]struct{}{}
	}
	d.old[o.server] = struct{}{}
	o.tap.Close()
	d.serving.Go(func() {
		select {
		case <-o.served:
		case <-time.After(lastAccepts): // it has all the connections that it may have
		}
		o.server.Drain(context.Background())
		d.mu.Lock()
		delete(d.old, o.server)
		d.mu.Unlock()
	})
}

// end lets the requests of a server end, within the time for that.
func (d *doors) end(s *server.Server) {
	d.serving.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), d.drain)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			d.log.Warn("requests were cut off", "error", err)
		}
	})
}

// close closes all ports, and returns when the requests have ended.
func (d *doors) close() {
	d.mu.Lock()
	d.ended = true
	for _, o := range d.open {
		o.close()
		d.end(o.server)
	}
	for s := range d.old {
		d.end(s)
	}
	d.open = nil
	d.mu.Unlock()
	d.serving.Wait()
}
