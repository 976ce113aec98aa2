package upstream

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the HTTP/2 connections to a backend. What the backend has sent, and
// nobody has read yet, is bounded for each stream; a connection has room for
// all of its streams, so that a slow reader of one holds up no other.
const (
	maxStreams       = 100
	streamBuffer     = 256 << 10
	connectionBuffer = maxStreams * streamBuffer
	// takeTimeout ends a connection whose backend takes no byte of what is sent.
	takeTimeout = time.Minute
)

// http2Client keeps HTTP/2 connections to one destination. Each carries many
// requests at a time; another one is opened when all are as full as they or the
// backend allow.
type http2Client struct {
	dial    func(context.Context) (net.Conn, error)
	idle    time.Duration // after which an unused connection is closed
	secure  bool
	retired atomic.Bool

	mu        sync.Mutex
	conns     []*http2Conn
	opening   *opening // nil while no connection is being opened
	exchanges map[*http2Exchange]struct{}
	aborted   error // why none goes on; nil before abort
}

// http2Conn is one of its connections.
type http2Conn struct {
	*http.ClientConn
	wire   *greetedConn
	opened *opening
	// spent says that it is given no further requests: nothing at all came on it
	// while one waited in vain.
	spent atomic.Bool
}

// opening is a connection that is being opened for all who need one.
type opening struct {
	done    chan struct{} // closed when it is there, or err
	err     error
	waiting int // who has not looked yet whether it is of use
	cancel  context.CancelFunc
}

// take reserves room for a request on a connection, which is the least busy one
// or a new one.
func (c *http2Client) take(ctx context.Context) (*http2Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if conn := c.reserve(); conn != nil {
			return conn, nil
		}
		if c.opening == nil {
			c.open()
		}
		if err := c.wait(ctx, c.opening); err != nil {
			return nil, err
		}
	}
}

// wait waits for a connection that is being opened; it is called with the lock
// held.
func (c *http2Client) wait(ctx context.Context, o *opening) (err error) {
	o.waiting++
	c.mu.Unlock()
	select {
	case <-o.done:
		err = o.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	c.mu.Lock()
	if o.waiting--; o.waiting > 0 {
		return err
	}
	o.cancel()
	if c.opening == o {
		c.opening = nil
	}
	if c.retired.Load() {
		go c.tidy() // nobody may have come to use it
	}
	return err
}

// reserve is called with the lock held. It is nil if no connection has room.
func (c *http2Client) reserve() *http2Conn {
	var best *http2Conn
	for _, conn := range c.conns {
		if !conn.spent.Load() && conn.Available() > 0 && conn.InFlight() < maxStreams && (best == nil || conn.InFlight() < best.InFlight()) {
			best = conn
		}
	}
	if best == nil || best.Reserve() != nil {
		return nil
	}
	return best
}

// open begins to open a connection; it is called with the lock held. Nobody's
// context bounds it, but it ends when nobody waits for it any more.
func (c *http2Client) open() {
	ctx, cancel := context.WithCancel(context.Background())
	o := &opening{done: make(chan struct{}), cancel: cancel}
	c.opening = o
	go func() {
		defer cancel()
		conn, err := c.connect(ctx)
		for tries := 1; err == errSpent && tries < maxSends; tries++ {
			conn, err = c.connect(ctx)
		}
		c.mu.Lock()
		if o.err = err; err == nil {
			conn.opened = o
			c.conns = append(c.conns, conn)
		}
		if c.opening == o {
			c.opening = nil
		}
		c.mu.Unlock()
		close(o.done)
		if err == nil {
			conn.SetStateHook(func(*http.ClientConn) { c.changed(conn) })
			c.changed(conn)
		}
	}()
}

// errSpent is the failure of a connection that ends as soon as it has begun.
var errSpent = error(&Error{Protocol, "backend", "it allows no HTTP/2 streams"})

// connect opens a connection and waits for the backend's SETTINGS, which say
// how many requests it takes.
func (c *http2Client) connect(ctx context.Context) (*http2Conn, error) {
	raw, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	greeted := &greetedConn{Conn: raw, greeted: make(chan struct{})}
	// A transport opens a connection by a dial of its own, and keeps none.
	transport := &http.Transport{
		Protocols:              new(http.Protocols),
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return greeted, nil },
		IdleConnTimeout:        c.idle,
		MaxResponseHeaderBytes: maxHead,
		DisableCompression:     true,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: connectionBuffer,
			WriteByteTimeout: takeTimeout,
		},
	}
	transport.Protocols.SetUnencryptedHTTP2(true) // TLS is dial's
	conn, err := transport.NewClientConn(ctx, "http", "backend:80")
	if err != nil {
		raw.Close()
		return nil, err
	}
	patience := time.NewTimer(handshakeTimeout)
	defer patience.Stop()
	select {
	case <-greeted.greeted:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-patience.C:
		err = &Error{Timeout, "backend", "it did not begin to speak HTTP/2 in time"}
	}
	switch {
	case err != nil:
	case !greeted.begun.Load():
		err = &Error{Network, "backend", "the connection was closed before HTTP/2 began"}
	case !greeted.heard.Load():
		err = &Error{Protocol, "backend", "it does not speak HTTP/2"}
	case conn.Available() == 0:
		err = errSpent
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &http2Conn{ClientConn: conn, wire: greeted}, nil
}

// changed is called when a request on a connection has ended, or itself.
func (c *http2Client) changed(conn *http2Conn) {
	if conn.Err() != nil || c.leaves(conn) {
		go c.tidy() // the caller may hold the lock
	}
}

// leaves tells whether a connection is to be closed behind its last request.
func (c *http2Client) leaves(conn *http2Conn) bool { return c.retired.Load() || conn.spent.Load() }

// tidy forgets connections that have ended, and closes those that leave and have
// no requests.
func (c *http2Client) tidy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.conns[:0]
	for _, conn := range c.conns {
		switch {
		case conn.Err() != nil:
		case c.leaves(conn) && conn.InFlight() == 0 && conn.opened.waiting == 0:
			go conn.Close() // the end of TLS may wait for the backend
		default:
			kept = append(kept, conn)
		}
	}
	clear(c.conns[len(kept):])
	c.conns = kept
}

// retire closes unused connections now, and the others when their requests have
// ended.
func (c *http2Client) retire() {
	c.retired.Store(true)
	c.tidy()
}

// abort is retire, but requests end now, with the cause, as do those to come.
func (c *http2Client) abort(cause error) {
	c.mu.Lock()
	if c.aborted == nil {
		c.aborted = cause
	}
	for x := range c.exchanges {
		x.cancel(cause)
	}
	c.mu.Unlock()
	c.retire()
}

func (c *http2Client) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.conns)
}

func (c *http2Client) unused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.exchanges) == 0
}

// begin takes in an exchange, or ends it if none goes on.
func (c *http2Client) begin(x *http2Exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted != nil {
		x.cancel(c.aborted)
		return
	}
	if c.exchanges == nil {
		c.exchanges = map[*http2Exchange]struct{}{}
	}
	c.exchanges[x] = struct{}{}
}

func (c *http2Client) forget(x *http2Exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.exchanges, x)
}

// greetedConn tells when the first bytes that came on a connection have been
// taken in: what reads it comes back for more then. The first frame is the
// backend's SETTINGS (RFC 9113, section 3.4).
type greetedConn struct {
	net.Conn
	begun   atomic.Bool  // something came
	last    atomic.Int64 // when it did, in Unix nanoseconds
	heard   atomic.Bool  // and was taken in
	once    sync.Once
	greeted chan struct{} // closed when they have been heard, or will not be
}

func (c *greetedConn) Read(p []byte) (int, error) {
	if c.begun.Load() {
		c.heard.Store(true)
		c.tell()
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.begun.Store(true)
		c.last.Store(time.Now().UnixNano())
	}
	return n, err
}

// silent is for how long nothing has come.
func (c *greetedConn) silent() time.Duration { return time.Since(time.Unix(0, c.last.Load())) }

func (c *greetedConn) Close() error {
	c.tell()
	return c.Conn.Close()
}

func (c *greetedConn) tell() { c.once.Do(func() { close(c.greeted) }) }
