package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options are a server's limits. Zero values mean the defaults.
type Options struct {
	MaxHeader     int           // of a request's line and header in bytes; default 32 KiB
	HeaderTimeout time.Duration // for a request's line and header, and for TLS's handshake; default 10 s
	IdleTimeout   time.Duration // of a kept connection between requests; default 60 s
	StallTimeout  time.Duration // for the next piece of a body, either way; default 30 s
	MinRate       int64         // of a body in bytes a second, either way, over all; default 1024; see Pace
	// MaxConnections is how many may be open at a time; default 10,000. When
	// there are as many, ones that wait for their clients are closed in favour of
	// new ones, rather of those clients' that have most, and rather the ones that
	// have been silent for longest.
	MaxConnections int
	// GaveWay, if set, is told of each that was closed so. It must not wait.
	GaveWay func()
	// Connect, if set, makes what each request of a connection finds as its
	// Conn.Value. It is called when the connection was accepted.
	Connect func(client, server netip.AddrPort) any
	// Protocols serve, by their ALPN names, connections whose clients have chosen
	// another protocol in TLS's handshake. A function returns when the connection
	// has ended. It ends it soon after stopping is closed, but not before the
	// requests under way have ended; its context ends with the server's patience.
	// It tells of each request by Conn.Begin and Conn.End.
	Protocols map[string]func(ctx context.Context, c *Conn, stopping <-chan struct{})
	// HandshakeFailed, if set, is told why a client's handshake of TLS failed.
	HandshakeFailed func(client netip.AddrPort, err error)
	// Refuse, if set, makes the answer to what is no request that can be served.
	Refuse func(*Refusal) *Response
	Log    *slog.Logger
}

// WithDefaults are the options with the defaults in the place of zero values.
func (o Options) WithDefaults() Options {
	o.setDefaults()
	return o
}

func (o *Options) setDefaults() {
	if o.MaxHeader == 0 {
		o.MaxHeader = 32 << 10
	}
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = 10 * time.Second
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 60 * time.Second
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = 30 * time.Second
	}
	if o.MinRate == 0 {
		o.MinRate = 1024
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 10_000
	}
	if o.Refuse == nil {
		o.Refuse = func(r *Refusal) *Response { return &Response{Status: r.Status} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Server serves a handler on listeners.
type Server struct {
	handler   Handler
	options   Options
	dismissed atomic.Bool // connections between requests are closed, too
	watches   watches

	mu        sync.Mutex
	closing   chan struct{} // closed by Shutdown and Drain
	closed    bool
	aborted   bool // patience has ended
	listeners map[net.Listener]struct{}
	crowd     crowd
	room      chan struct{} // has an element when a connection has ended
	emptied   chan struct{} // closed when nothing is accepted any more, and the last connection has ended
}

// NewServer makes a server.
func NewServer(h Handler, o Options) *Server {
	o.setDefaults()
	return &Server{
		handler: h, options: o,
		closing: make(chan struct{}), room: make(chan struct{}, 1), emptied: make(chan struct{}),
		listeners: map[net.Listener]struct{}{}, crowd: crowd{of: map[netip.Addr]int{}},
	}
}

// ErrShutdown is the cause that ends the context of requests that Shutdown cut
// off.
var ErrShutdown = errors.New("the server was shut down")

// Serve accepts connections until Shutdown, and then returns nil. It closes the
// listener.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, nil) }

// ServeTLS is Serve over TLS.
func (s *Server) ServeTLS(l net.Listener, c *tls.Config) error { return s.serve(l, c) }

func (s *Server) serve(l net.Listener, c *tls.Config) error {
	defer l.Close()
	if !s.track(l) {
		return nil
	}
	defer s.untrack(l)
	accepts, end := newTurns(acceptsAtOnce)
	defer end()
	if c != nil {
		handshakes, end := newTurns(1)
		defer end()
		c = handshakes.inTurn(c)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.isClosing() {
				return nil
			}
			if passing(err) {
				s.options.Log.Warn("accept", "error", err)
				if !s.pause(acceptPause) {
					return nil
				}
				continue
			}
			return err
		}
		sc := newServerConn(s, conn, c)
		if !s.admit(sc) {
			conn.Close()
			return nil
		}
		go s.run(sc)
		accepts.take()
	}
}

// acceptsAtOnce is how many connections of a burst are accepted before others
// have a turn.
const acceptsAtOnce = 16

// run serves a connection. One that rests is given another goroutine, whose stack
// is small: that of a request's handling would stay as large as it has become.
func (s *Server) run(c *serverConn) {
	if c.serve() {
		go s.run(c)
		return
	}
	s.remove(c)
}

// passing tells whether accepting may succeed again: the client has left, or
// the process or the machine lacks something (accept(2)).
func passing(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPROTO,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// acceptPause is how long nothing is accepted when the process has no file
// descriptors left.
const acceptPause = 50 * time.Millisecond

func (s *Server) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.closing:
		return false
	}
}

func (s *Server) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners[l] = struct{}{}
	}
	return !s.closed
}

func (s *Server) untrack(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.checkEmpty()
}

func (s *Server) remove(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crowd.remove(c)
	select {
	case s.room <- struct{}{}:
	default:
	}
	s.checkEmpty()
}

// checkEmpty is called with the lock held when something has ended.
func (s *Server) checkEmpty() {
	if s.closed && len(s.crowd.conns) == 0 && len(s.listeners) == 0 {
		close(s.emptied)
	}
}

// Shutdown stops accepting, closes tunnels and connections between requests, and lets
// requests under way end; their connections are closed behind them. What is
// left when the context ends is cut off, and the context's error returned.
func (s *Server) Shutdown(ctx context.Context) error { return s.end(ctx, true) }

// Drain is Shutdown without haste, for a server in whose place another one
// serves the same clients: connections between requests stay open, and the
// answer to the next request on each says that it is the last. So no client
// sends a request on a connection that is being closed.
func (s *Server) Drain(ctx context.Context) error { return s.end(ctx, false) }

// end stops accepting, and waits until all connections have ended.
func (s *Server) end(ctx context.Context, dismiss bool) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
		for l := range s.listeners {
			l.Close()
		}
		s.checkEmpty()
	}
	if dismiss && s.dismissed.CompareAndSwap(false, true) {
		for _, c := range s.crowd.conns {
			c.dismiss()
		}
	}
	s.mu.Unlock()
	select {
	case <-s.emptied:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.aborted = true
	for _, c := range s.crowd.conns {
		c.abort(ErrShutdown)
	}
	s.mu.Unlock()
	<-s.emptied
	return context.Cause(ctx)
}
