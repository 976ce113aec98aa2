package http1

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// Request is a request, received or to be sent. A received one, with all its
// strings, is valid until the response has been sent and its Done been called.
type Request struct {
	Method string
	// Target is the request target as on the wire: in origin-form, in
	// absolute-form, in authority-form for CONNECT, or "*" (RFC 9112,
	// section 3.2). A received one holds no
	// white space, control characters or bytes above 126.
	Target string
	Minor  int // HTTP/1.Minor: 0 or 1
	Header Header
	// Body is nil if there is none. A received one is valid until the handler's
	// response has been sent; reading fails with ErrSlow or ErrGone if the
	// client is at fault.
	Body io.Reader
	// Length of Body in bytes; -1 if it is not known beforehand: then the body
	// is sent chunked.
	Length int64
	// Host, of a request to be sent, is its Host field, which goes first; Header
	// holds none then.
	Host string
	// Timeout, of a request to be sent, is how long the server may be silent,
	// before the response and in it, or take nothing of the request; 0: for
	// ever. It does not run while a piece of the request's body is waited for.
	Timeout time.Duration
	// Replay, of a request to be sent, is the whole body, in the place of Body.
	Replay []byte
	// Release, of a request to be sent, is called when Replay is needed no more,
	// at the latest before Do returns; nil if nobody wants to know.
	Release func()
	// Switch, of a request to be sent, allows the server to take the connection
	// over for the protocol that the Upgrade field names. A Connection field of
	// its own is added.
	Switch bool
	// Room, of a request to be sent, is memory for its exchange, and Texts for the
	// strings of the response; nil has some allocated.
	Room  *Room
	Texts *Texts
	// Conn is the connection that a received request came on.
	Conn *Conn
	// Memory, of a received request, is the handler's own: it finds there what it
	// left, of whichever request before.
	Memory any
}

// Conn is a connection of a server.
type Conn struct {
	net.Conn
	Client, Server netip.AddrPort // the connection's ends; zero if it is not of TCP
	// TLS is what was negotiated; nil without TLS.
	TLS *tls.ConnectionState
	// Value is what Options.Connect returned.
	Value any

	requests atomic.Int32 // of another protocol, under way
	last     atomic.Int64 // when one of them began, by clock
}

// Begin tells that a request of one of Options.Protocols has begun. A connection
// with none under way may be ended in favour of a new one.
func (c *Conn) Begin() {
	c.requests.Add(1)
	c.last.Store(clock())
}

// End tells that a request has ended.
func (c *Conn) End() { c.requests.Add(-1) }

// Response is a response, received or to be sent. A Connection field with the
// option close, of one to be sent, has its connection closed behind it.
type Response struct {
	Status int
	Header Header
	// Body is nil if there is none; otherwise whoever takes the response closes
	// it. A received body that is closed before its end costs its connection.
	Body io.ReadCloser
	// Length of Body in bytes; -1 if not known beforehand. Of a received
	// response to HEAD, the length that it tells.
	Length int64
	// Tunnel, with status 101, is the other end of the connection from here on,
	// in another protocol. Whoever takes the response closes it.
	Tunnel io.ReadWriteCloser
	// Done, if set, is called once a server has sent the response or given it
	// up, with the bytes of body that were sent.
	Done func(sent int64, err error)
}

// Handler answers requests; it never returns nil. The context ends with the
// connection: when the client leaves, or the server is closed.
type Handler func(context.Context, *Request) *Response

// Origin splits a request's target: into its authority, which is empty in
// origin-form, its path, which begins with "/" or is "*", and its query.
func (r *Request) Origin() (authority, path, query string) {
	path = r.Target
	if r.Method == "CONNECT" && path[0] != '/' {
		return path, "/", ""
	}
	if path[0] != '/' {
		if _, rest, ok := strings.Cut(path, "://"); ok {
			i := strings.IndexAny(rest, "/?#")
			if i < 0 {
				i = len(rest)
			}
			authority, path = rest[:i], rest[i:]
			if !strings.HasPrefix(path, "/") {
				path = "/" + path
			}
		}
	}
	path, _, _ = strings.Cut(path, "#")
	path, query, _ = strings.Cut(path, "?")
	return authority, path, query
}
