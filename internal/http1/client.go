package http1

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
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
	idle    map[string][]*clientConn // the last one was used last
	retired bool
	sweeper *time.Timer
}

// clientConn is one connection to a server.
type clientConn struct {
	client *Client
	key    string
	conn   net.Conn
	in     *input
	kept   bool // it has served a request before
	since  time.Time
}

// Do sends a request and returns when the head of the response is there. The
// context bounds the exchange until the response's body is closed or read to
// its end.
//
// A request that a server may have seen is not sent again, but for one case: a
// kept connection turned out to be closed before a byte of the response came,
// and the request is idempotent and can be replayed (RFC 9110, section 9.2.2).
func (c *Client) Do(ctx context.Context, key string, r *Request) (*Response, error) {
	if !all(r.Method, classToken) || !all(r.Target, classTarget) {
		return nil, refuse(400, "a request to send whose method or target has characters that it may not have")
	}
	for {
		cc, err := c.take(ctx, key, r)
		if err != nil {
			return nil, err
		}
		response, fresh, err := cc.exchange(ctx, r)
		if err == nil {
			return response, nil
		}
		if ctx.Err() == nil && cc.kept && fresh && replayable(r) {
			continue
		}
		return nil, err
	}
}

// replayable tells whether a request may be sent twice.
func replayable(r *Request) bool {
	if r.Body != nil {
		return false
	}
	switch r.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// take returns a kept connection or opens one.
func (c *Client) take(ctx context.Context, key string, r *Request) (*clientConn, error) {
	for {
		c.mu.Lock()
		list := c.idle[key]
		if len(list) == 0 {
			c.mu.Unlock()
			break
		}
		cc := list[len(list)-1]
		list[len(list)-1] = nil
		c.idle[key] = list[:len(list)-1]
		c.mu.Unlock()
		// What can't be sent again must not be sent on a connection that the
		// server has closed already.
		if time.Since(cc.since) < c.IdleTimeout && (replayable(r) || cc.quiet()) {
			return cc, nil
		}
		cc.conn.Close()
	}
	conn, err := c.Dial(ctx, key)
	if err != nil {
		return nil, err
	}
	return &clientConn{client: c, key: key, conn: conn, in: newInput(conn)}, nil
}

// keep takes a connection back, behind a whole exchange.
func (c *Client) keep(cc *clientConn) {
	cc.in.release()
	cc.kept, cc.since = true, time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired || len(c.idle[cc.key]) >= c.MaxIdle || cc.in.buffered() > 0 {
		cc.conn.Close()
		return
	}
	if c.idle == nil {
		c.idle = map[string][]*clientConn{}
	}
	c.idle[cc.key] = append(c.idle[cc.key], cc)
	if c.sweeper == nil {
		c.sweeper = time.AfterFunc(c.IdleTimeout, c.sweep)
	}
}

// sweep closes what has been unused for too long.
func (c *Client) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var next time.Duration
	for key, list := range c.idle {
		n := 0
		for n < len(list) && time.Since(list[n].since) >= c.IdleTimeout {
			list[n].conn.Close()
			n++
		}
		if n == len(list) {
			delete(c.idle, key)
			continue
		}
		c.idle[key] = append([]*clientConn(nil), list[n:]...)
		if wait := c.IdleTimeout - time.Since(list[n].since); next == 0 || wait < next {
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
	defer c.mu.Unlock()
	c.retired = true
	for _, list := range c.idle {
		for _, cc := range list {
			cc.conn.Close()
		}
	}
	c.idle = nil
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
}

// quiet tells whether a kept connection has nothing to read, as one that the
// server closed would.
func (cc *clientConn) quiet() bool {
	if cc.in.raw == nil {
		return true // TLS: an end can't be told from a ticket
	}
	open := false
	err := cc.in.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = err == syscall.EAGAIN
		return true
	})
	return err == nil && open
}

// exchange sends a request and reads the head of its response. fresh tells,
// with an error, that nothing of a response had come.
func (cc *clientConn) exchange(ctx context.Context, r *Request) (response *Response, fresh bool, err error) {
	x := &exchange{cc: cc, request: r, ctx: ctx}
	if ctx.Done() != nil {
		x.stop = context.AfterFunc(ctx, func() { cc.conn.SetDeadline(time.Unix(1, 0)) })
	}
	defer func() {
		if err != nil {
			if x.end(); ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			cc.conn.Close()
			x.sender.Wait()
		}
	}()
	sendErr := x.send(r)
	if sendErr != nil && !errors.Is(sendErr, syscall.EPIPE) && !errors.Is(sendErr, syscall.ECONNRESET) {
		return nil, true, sendErr
	}
	// A server may answer and close without having read the whole request.
	for {
		if err := cc.in.await(); err != nil {
			if failed := x.failure(); failed != nil {
				return nil, false, failed
			}
			return nil, true, errors.Join(errNoResponse, err, sendErr)
		}
		if !cc.in.begins("HTTP/") {
			return nil, false, refuse(502, "a response that is not HTTP")
		}
		head, err := cc.in.head(cc.client.HeadLimit)
		if err == nil && head == "" {
			err = refuse(502, "an empty line in the place of a response")
		}
		if err != nil {
			return nil, false, err
		}
		response, minor, err := parseResponse(head, nil)
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
		x.receive(response, f)
		return response, false, nil
	}
}

// errNoResponse is the failure of a connection that ended before a response.
var errNoResponse = errors.New("the connection ended before the response")

// maxInterim bounds the 1xx responses before a response.
const maxInterim = 8
