package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// The states of a server's connection. One that waits for a request may be
// closed by Shutdown, or to make room, and by Shutdown one that carries another
// protocol, whose end can't be waited for.
const (
	connNew  int32 = iota // no request has come yet
	connHead              // a part of a request's head has come; may only be closed to make room
	connIdle
	connActive
	connTunnel
	connOther // one of Options.Protocols
	connDismissed
)

// serverConn is one client's connection. Its goroutine waits inside the
// callback of the socket's RawConn, and handles there what is whole: what the
// runtime's poller tells meanwhile is then not lost, and no read is tried that
// finds nothing. What has to be waited for beyond a request's head, such as its
// body, is done outside of it.
type serverConn struct {
	server   *Server
	socket   net.Conn
	conn     Conn // the socket, or TLS on it
	tls      *tls.Config
	accepted int64        // by clock
	rested   atomic.Int64 // when its last request had ended, by clock; 0 before
	in       *input
	state    atomic.Int32
	ctx      *Context
	watch    watch

	// Its part of the server's crowd, under the server's lock.
	place   int
	leaving bool // it has given way to another

	request *received    // that is handled; nil between requests
	body    *requestBody // its body; nil if it has none

	reading  patience
	looked   bool  // whether a client that has left silently was looked for
	drained  bool  // the last read took all that was there
	partial  bool  // a part of a head has been read
	blank    bool  // an empty line has come in its place
	stopped  fate  // why the callback was left
	refusal  error // what it was that was refused
	framing  framing
	switched *Response // with a tunnel

	onReadable, onWritable func(fd uintptr) bool // the socket's callbacks
	onBodySent             func()                // gives back the memory of a body that was taken whole
	fd                     uintptr
	held                   bool // the socket is within a callback, and fd is good

	out     []byte // what is being written
	outPipe *Pipe  // likewise; nil if it is in out
	outErr  error
	writing patience // for it, with TLS or if the connection is no socket
	blocked int64    // otherwise: since when the client has not taken it, by clock; 0 if it was not waited for
	pace    Pace     // of what is written
}

// fate is what becomes of a connection.
type fate uint8

const (
	fateKept     fate = iota // it waits for the next request
	fateClosed               // at once
	fateLingers              // closed, once the client has seen the response
	fateSwitched             // it carries another protocol
	fateRefused              // what came is no request that can be served
	fateBody                 // a request's body is to be waited for
	fateRests                // it has waited for a while, and may wait long
)

func newServerConn(s *Server, conn net.Conn, c *tls.Config) *serverConn {
	conn = Socket(conn)
	return &serverConn{
		server: s, tls: c, socket: conn, accepted: clock(), ctx: NewContext(),
		conn: Conn{Conn: conn, Client: addrPort(conn.RemoteAddr()), Server: addrPort(conn.LocalAddr())},
	}
}

// newConnGrace is how long a connection on which no request has come yet is
// given for one when the server shuts down.
const newConnGrace = time.Second

// dismiss closes the connection if it waits for a request.
func (c *serverConn) dismiss() {
	if c.state.CompareAndSwap(connIdle, connDismissed) || c.state.CompareAndSwap(connTunnel, connDismissed) {
		c.cut()
	} else if c.state.Load() == connNew {
		c.socket.SetReadDeadline(time.Now().Add(newConnGrace))
		if c.state.Load() == connOther {
			c.socket.SetReadDeadline(time.Time{})
		}
	}
}

// abort ends whatever is under way.
func (c *serverConn) abort(cause error) {
	c.ctx.Cancel(cause)
	c.cut()
}

// cut ends the connection without waiting for its goroutine, as closing the
// socket would: that waits until its callback has returned.
func (c *serverConn) cut() {
	if s, ok := c.socket.(interface {
		CloseRead() error
		CloseWrite() error
	}); ok {
		s.CloseRead()
		s.CloseWrite()
		return
	}
	c.socket.Close()
}

// serve handles the requests of a connection until it ends, or rests: then it
// is to be served on by another goroutine.
func (c *serverConn) serve() (rests bool) {
	defer func() {
		if cause := recover(); cause != nil {
			c.server.options.Log.Error("a request made its handler panic", "cause", cause, "stack", string(debug.Stack()))
		}
		if rests {
			return
		}
		c.ctx.Cancel(ErrGone)
		c.socket.Close()
		c.endRequest()
	}()
	if c.in == nil && !c.open() {
		return false
	}
	if c.in.raw == nil {
		for c.settle(c.next()) {
		}
	} else {
		f := c.wait()
		for c.settle(f) {
			f = c.wait()
		}
		if f == fateRests {
			return true
		}
	}
	c.in.r = c.in.w
	c.in.release()
	return false
}

// open begins a connection. It returns false once that has ended, as one that
// carries another protocol has.
func (c *serverConn) open() bool {
	o := &c.server.options
	if c.tls != nil {
		if s, ok := c.socket.(*socket); ok {
			s.records = &records{}
		}
		growStack(int(c.state.Load()))
		t := tls.Server(c.socket, c.tls)
		ctx, cancel := context.WithTimeout(c.ctx, o.HeaderTimeout)
		err := t.HandshakeContext(ctx)
		cancel()
		if err != nil {
			o.Log.Debug("TLS handshake", "client", c.socket.RemoteAddr(), "error", err)
			if o.HandshakeFailed != nil {
				o.HandshakeFailed(c.conn.Client, err)
			}
			return false
		}
		state := t.ConnectionState()
		c.conn.Conn, c.conn.TLS = t, &state
	}
	if o.Connect != nil {
		c.conn.Value = o.Connect(c.conn.Client, c.conn.Server)
	}
	if c.conn.TLS != nil {
		if serve := o.Protocols[c.conn.TLS.NegotiatedProtocol]; serve != nil {
			if c.state.CompareAndSwap(connNew, connOther) {
				c.socket.SetReadDeadline(time.Time{})
				serve(c.ctx, &c.conn, c.server.closing)
			}
			return false
		}
	}
	c.in = newInput(c.conn.Conn, smallInputs)
	if s, ok := c.socket.(*socket); ok && c.tls != nil {
		c.in.raw, c.in.tls = s.raw, s
	}
	c.reading.set, c.writing.set = c.conn.SetReadDeadline, c.conn.SetWriteDeadline
	c.watch.init(&c.server.watches, c.socket, func() { c.ctx.Cancel(ErrGone) })
	c.onReadable, c.onWritable, c.onBodySent = c.readable, c.writable, c.in.release
	return true
}

// growStack has a new goroutine's stack grow to what a handshake needs. It grows
// by doubling otherwise, each time with a copy of all that is on it: 3 % of what a
// handshake costs.
//
//go:noinline
func growStack(at int) byte {
	var room [7 << 10]byte
	return room[at]
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		at := tcp.AddrPort()
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	return netip.AddrPort{}
}

// settle does what the callback can't, and tells whether the connection is
// kept.
func (c *serverConn) settle(f fate) bool {
	if f == fateBody {
		f = c.answer()
	}
	switch f {
	case fateKept:
		return true
	case fateRefused:
		var refused *Refusal
		if !errors.As(c.refusal, &refused) {
			return false
		}
		c.server.options.Log.Debug("request refused", "client", c.conn.RemoteAddr(), "reason", refused.Reason)
		c.send("", 1, c.server.options.Refuse(refused), true)
		c.linger()
	case fateLingers:
		c.linger()
	case fateSwitched:
		sent, err := c.tunnel(c.switched)
		if c.switched.Done != nil {
			c.switched.Done(sent, err)
		}
	}
	return false
}

// answer handles a request whose head has been read, and writes the response.
func (c *serverConn) answer() fate {
	r, f := &c.request.Request, c.framing
	c.body = nil
	if f.kind != bodyNone {
		c.body = &c.request.body
		c.body.begin(c, f)
		r.Body, r.Length = c.body, f.length
		if f.kind == bodyChunked {
			r.Length = -1
		}
	}
	c.in.release() // unless a body or another request has come
	c.watch.begin()
	response := c.server.handler(c.ctx, r)
	if response.Tunnel != nil {
		c.endRequest()
		c.switched = response
		return fateSwitched
	}
	// The answer may be whole before the request's body is.
	keep := !f.close && !closes(response) && (c.body == nil || c.body.ended()) && !c.server.isClosing()
	sent, err := c.send(r.Method, r.Minor, response, !keep)
	if response.Body != nil {
		response.Body.Close()
	}
	lingers := !keep || response.Body != nil && response.Length < 0 && r.Minor == 0
	if response.Done != nil {
		response.Done(sent, err) // after which the response may be another's
	}
	c.endRequest()
	c.forgetRequest()
	if err != nil {
		return fateClosed
	}
	if lingers {
		return fateLingers
	}
	if !c.state.CompareAndSwap(connActive, connIdle) {
		return fateClosed
	}
	// Shutdown may have passed by while the state was another.
	if c.server.isClosing() && c.in.buffered() == 0 && c.server.dismissed.Load() {
		return fateClosed
	}
	return fateKept
}

// endRequest makes the connection the server's own again.
func (c *serverConn) endRequest() {
	c.watch.end()
	if c.body != nil {
		if c.body.close() {
			c.reading.forget()
		}
		c.body = nil
	}
}

// received is a request, and the memory that it needs.
type received struct {
	Request
	texts  Texts
	fields [24]Field // storage for the header of most requests
	body   requestBody
}

var requests = sync.Pool{New: func() any { return new(received) }}

// forgetRequest gives back the memory of a request that nobody looks at any more:
// what waits for its next request holds none. A body that has not ended may still
// be looked at by whoever passes it on.
func (c *serverConn) forgetRequest() {
	r := c.request
	c.request = nil
	if c.framing.kind != bodyNone && !r.body.ended() {
		return
	}
	r.texts.Reset()
	r.Request = Request{Memory: r.Memory}
	requests.Put(r)
}

// The rest of a body that nobody wanted is read to this extent before the
// connection is closed: a client that is still sending would not see the
// answer if the connection were reset.
const (
	lingerBytes = 256 << 10
	lingerTime  = time.Second
)

// linger ends the connection's own direction, and waits for the client's end.
func (c *serverConn) linger() {
	half, ok := c.conn.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.conn.SetReadDeadline(time.Now().Add(min(lingerTime, c.server.options.StallTimeout)))
	io.CopyN(io.Discard, c.conn.Conn, lingerBytes)
}
