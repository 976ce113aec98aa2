package http1

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Client keeps connections to servers and sends requests on them. Connections
// of different keys are kept apart.
type Client struct {
	// Dial opens a connection of a key.
	Dial func(ctx context.Context, key string) (net.Conn, error)
	// IdleTimeout is how long an unused connection is kept. It should be
	// shorter than the servers'.
	IdleTimeout time.Duration
	MaxIdle     int // connections of a key that are kept unused
	HeadLimit   int // of a response's head in bytes

	mu      sync.Mutex
	open    map[*clientConn]struct{} // all of them, and those that are being opened
	idle    map[string]*lane
	retired bool
	aborted error // why no request goes on; nil before Abort
	sweeper *time.Timer
}

// lane are the unused connections of a key. The last one was used last.
type lane []*clientConn

// clientConn is one connection to a server.
type clientConn struct {
	client     *Client
	key        string
	giveUp     context.CancelFunc // ends the opening
	conn       net.Conn           // nil until it is open
	in         *input
	kept       bool  // it has served a request before
	since      int64 // when it came to be unused, by clock
	taken      int64 // when it was taken last, by clock
	exchanging *exchange

	reading, writing patience
	onReadable       func(fd uintptr) bool // the socket's callback
}

// dial opens a connection.
func (c *Client) dial(ctx context.Context, key string) (*clientConn, error) {
	cc := &clientConn{client: c, key: strings.Clone(key)} // which outlives the request that it is of
	ctx, cc.giveUp = context.WithCancel(ctx)
	defer cc.giveUp()
	c.mu.Lock()
	if c.aborted != nil {
		c.mu.Unlock()
		return nil, c.aborted
	}
	if c.open == nil {
		c.open = map[*clientConn]struct{}{}
	}
	c.open[cc] = struct{}{}
	c.mu.Unlock()
	conn, err := c.Dial(ctx, cc.key)
	if err == nil {
		conn = Socket(conn)
		cc.in = newInput(conn, largeInputs)
		cc.reading.set, cc.writing.set = conn.SetReadDeadline, conn.SetWriteDeadline
		cc.in.readable, cc.onReadable = cc.beforeRead, cc.readable
	}
	c.mu.Lock()
	if cc.conn = conn; err != nil {
		delete(c.open, cc)
	}
	aborted := c.aborted
	c.mu.Unlock()
	switch {
	case aborted == nil:
		return cc, err
	case err == nil:
		drop(cc)
	}
	return nil, aborted
}

// close ends a connection.
func (cc *clientConn) close() error {
	cc.client.mu.Lock()
	delete(cc.client.open, cc)
	cc.client.mu.Unlock()
	return cc.conn.Close()
}

// drop closes connections and waits for none: the end of TLS is written, which
// takes seconds when the server reads nothing any more.
func drop(conns ...*clientConn) {
	for _, cc := range conns {
		if cc.in.raw == nil {
			go cc.close()
		} else {
			cc.close()
		}
	}
}

// Do sends a request and returns when the head of the response is there. The
// context bounds the exchange until the response's body is closed or read to
// its end.
//
// A request that a server may have seen is not sent again, but for one case: a
// kept connection turned out to be closed before a byte of the response came,
// and the request is idempotent and can be replayed (RFC 9110, section 9.2.2).
func (c *Client) Do(ctx context.Context, key string, r *Request) (*Response, error) {
	defer r.release()
	if !all(r.Method, classToken) || !all(r.Target, classTarget) {
		return nil, refuse(400, "a request to send whose method or target has characters that it may not have")
	}
	for {
		cc, spent, err := c.take(ctx, key, r)
		if err != nil {
			return nil, err
		}
		response, fresh, err := cc.exchange(ctx, r, spent)
		switch {
		case err == nil:
			return response, nil
		case err == errStale, cc.kept && fresh && replayable(r) && ctx.Err() == nil && err != ErrTimeout:
			continue
		}
		return nil, err
	}
}

// replayable tells whether a request may be sent twice.
func replayable(r *Request) bool {
	return r.Body == nil && Idempotent(r.Method)
}

// release gives up Replay.
func (r *Request) release() {
	if r.Release != nil {
		r.Release()
		r.Replay, r.Release = nil, nil
	}
}

// Idempotent tells whether requests of a method may be carried out twice (RFC
// 9110, section 9.2.2).
func Idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// take returns a kept connection, or opens one and tells how long that took.
func (c *Client) take(ctx context.Context, key string, r *Request) (cc *clientConn, spent time.Duration, err error) {
	for {
		c.mu.Lock()
		cc := c.idle[key].pop()
		c.mu.Unlock()
		if cc == nil {
			break
		}
		// What can't be sent again must not be sent on a connection that the
		// server has closed already. Without a body to stream, the exchange
		// looks itself.
		if cc.taken = clock(); cc.unused(cc.taken) < c.IdleTimeout && (r.Body == nil || cc.quiet()) {
			return cc, 0, nil
		}
		drop(cc)
	}
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.Timeout, ErrTimeout)
		defer cancel()
	}
	start := time.Now()
	cc, err = c.dial(ctx, key)
	if err != nil {
		if context.Cause(ctx) == ErrTimeout {
			err = errors.Join(err, ErrTimeout)
		}
		return nil, 0, err
	}
	cc.taken = clock()
	return cc, time.Since(start), nil
}

// pop takes the last connection out; nil if there is none.
func (l *lane) pop() *clientConn {
	if l == nil || len(*l) == 0 {
		return nil
	}
	last := len(*l) - 1
	cc := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return cc
}

// keep takes a connection back, behind a whole exchange.
func (c *Client) keep(cc *clientConn) {
	cc.in.release()
	cc.exchanging = nil
	cc.kept, cc.since = true, clock()
	c.mu.Lock()
	l := c.idle[cc.key]
	if c.retired || l != nil && len(*l) >= c.MaxIdle || cc.in.buffered() > 0 {
		c.mu.Unlock()
		drop(cc)
		return
	}
	defer c.mu.Unlock()
	if l == nil {
		if c.idle == nil {
			c.idle = map[string]*lane{}
		}
		l = new(lane)
		c.idle[cc.key] = l
	}
	*l = append(*l, cc)
	if c.sweeper == nil {
		c.sweeper = time.AfterFunc(c.IdleTimeout, c.sweep)
	}
}

// sweep closes what has been unused for too long.
func (c *Client) sweep() {
	var old []*clientConn
	defer func() { drop(old...) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	now, next := clock(), time.Duration(0)
	for key, l := range c.idle {
		list, n := *l, 0
		for n < len(list) && list[n].unused(now) >= c.IdleTimeout {
			n++
		}
		old = append(old, list[:n]...)
		if n == len(list) {
			delete(c.idle, key)
			continue
		}
		*l = slices.Clone(list[n:])
		if wait := c.IdleTimeout - list[n].unused(now); next == 0 || wait < next {
			next = wait
		}
	}
	if c.sweeper = nil; next > 0 {
		c.sweeper = time.AfterFunc(next, c.sweep)
	}
}

// Retire closes unused connections now, and the others when their exchange
// ends.
func (c *Client) Retire() {
	c.mu.Lock()
	c.retired = true
	var unused []*clientConn
	for _, l := range c.idle {
		unused = append(unused, *l...)
	}
	c.idle = nil
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
	c.mu.Unlock()
	drop(unused...)
}

// Abort closes all connections now. Requests under way and those to come fail
// with the cause; of a response that has begun the body does.
func (c *Client) Abort(cause error) {
	c.mu.Lock()
	if c.aborted == nil {
		c.aborted = cause
	}
	c.retired = true
	var conns []*clientConn
	for cc := range c.open {
		if cc.conn == nil {
			cc.giveUp()
		} else {
			conns = append(conns, cc)
		}
	}
	c.mu.Unlock()
	drop(conns...)
}

func (c *Client) abortion() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.aborted
}

// unused is for how long it has been kept at a time by clock.
func (cc *clientConn) unused(now int64) time.Duration { return time.Duration(now - cc.since) }

// quiet tells whether a kept connection has nothing to read.
func (cc *clientConn) quiet() (open bool) {
	if cc.in.raw == nil {
		return true // TLS: an end can't be told from a ticket
	}
	err := cc.in.raw.Control(func(fd uintptr) { open = quiet(fd) })
	return err == nil && open
}

// exchange sends a request and reads the head of its response. Of its time,
// some may be spent. fresh tells, with an error, that nothing of a response had
// come.
func (cc *clientConn) exchange(ctx context.Context, r *Request, spent time.Duration) (response *Response, fresh bool, err error) {
	x := r.Room.take()
	x.cc, x.request, x.ctx, x.wait = cc, r, ctx, r.Timeout
	if r.Timeout > 0 {
		x.wait = max(time.Millisecond, r.Timeout-spent)
	}
	cc.exchanging = x
	defer func() {
		if err != nil {
			free := x.end()
			cc.close()
			if cc.client.abortion() == nil {
				x.sender.Wait()
			} else {
				free = false // nobody waits for the client's next piece, which the sender does
			}
			err = x.cause(err)
			x.free = free
		}
	}()
	if !x.begin() {
		return nil, false, context.Cause(ctx)
	}
	if err := x.send(r); err == errStale {
		return nil, true, err
	} else if err != nil {
		if failed := x.failure(); failed != nil {
			return nil, false, failed
		}
		return nil, true, errors.Join(errNoResponse, err, x.sendErr)
	}
	// A server may answer and close without having read the whole request.
	for {
		if err := x.await(); err != nil {
			return nil, false, err
		}
		if !cc.in.begins("HTTP/") {
			return nil, false, refuse(502, "a response that is not HTTP")
		}
		head, err := cc.in.head(cc.client.HeadLimit)
		if err == nil && len(head) == 0 {
			err = refuse(502, "an empty line in the place of a response")
		}
		if err != nil {
			return nil, false, err
		}
		response := &x.response
		minor, err := parseResponse(response, r.Texts.Of(head), x.fields[:0])
		if err != nil {
			return nil, false, err
		}
		if response.Status >= 100 && response.Status < 200 && response.Status != 101 {
			if x.interim++; x.interim > maxInterim {
				return nil, false, refuse(502, "more than %d interim responses", maxInterim)
			}
			continue
		}
		f, err := frameResponse(response, minor, r.Method)
		if err != nil {
			return nil, false, err
		}
		return x.receive(f), false, nil
	}
}

// errNoResponse is the failure of a connection that ended before a response.
var errNoResponse = errors.New("the connection ended before the response")

// maxInterim bounds the 1xx responses before a response.
const maxInterim = 8
