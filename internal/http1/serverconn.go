package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// The states of a server's connection. One that waits for a request may be
// closed by Shutdown, and one that carries another protocol, whose end can't be
// waited for.
const (
	connNew int32 = iota // no request has come yet
	connIdle
	connActive
	connTunnel
	connOther // one of Options.Protocols
	connDismissed
)

// serverConn is one client's connection.
type serverConn struct {
	server *Server
	socket net.Conn
	conn   Conn // the socket, or TLS on it
	tls    *tls.Config
	in     *input
	state  atomic.Int32
	fields [24]Field // storage for the header of most requests

	ctx    context.Context
	cancel context.CancelCauseFunc
	body   *requestBody // of the request that is handled; nil if it has none
	watch  watch
}

func newServerConn(s *Server, conn net.Conn, c *tls.Config) *serverConn {
	sc := &serverConn{server: s, tls: c, socket: conn, conn: Conn{Conn: conn}}
	sc.ctx, sc.cancel = context.WithCancelCause(context.Background())
	return sc
}

// newConnGrace is how long a connection on which no request has come yet is
// given for one when the server shuts down.
const newConnGrace = time.Second

// dismiss closes the connection if it waits for a request.
func (c *serverConn) dismiss() {
	if c.state.CompareAndSwap(connIdle, connDismissed) || c.state.CompareAndSwap(connTunnel, connDismissed) {
		c.socket.Close()
	} else if c.state.Load() == connNew {
		c.socket.SetReadDeadline(time.Now().Add(newConnGrace))
		if c.state.Load() == connOther {
			c.socket.SetReadDeadline(time.Time{})
		}
	}
}

// abort ends whatever is under way.
func (c *serverConn) abort(cause error) {
	c.cancel(cause)
	c.socket.Close()
}

// serve handles the requests of a connection until it ends.
func (c *serverConn) serve() {
	defer func() {
		if cause := recover(); cause != nil {
			c.server.options.Log.Error("a request made its handler panic", "cause", cause, "stack", string(debug.Stack()))
		}
		c.cancel(ErrGone)
		c.socket.Close()
		c.watch.end()
	}()
	o := &c.server.options
	if c.tls != nil {
		t := tls.Server(c.socket, c.tls)
		ctx, cancel := context.WithTimeout(c.ctx, o.HeaderTimeout)
		err := t.HandshakeContext(ctx)
		cancel()
		if err != nil {
			o.Log.Debug("TLS handshake", "client", c.socket.RemoteAddr(), "error", err)
			return
		}
		state := t.ConnectionState()
		c.conn.Conn, c.conn.TLS = t, &state
	}
	if o.Connect != nil {
		c.conn.Value = o.Connect(addrPort(c.socket.RemoteAddr()), addrPort(c.socket.LocalAddr()))
	}
	if c.conn.TLS != nil {
		if serve := o.Protocols[c.conn.TLS.NegotiatedProtocol]; serve != nil {
			c.state.Store(connOther)
			c.socket.SetReadDeadline(time.Time{})
			serve(c.ctx, &c.conn, c.server.closing)
			return
		}
	}
	c.in = newInput(c.conn.Conn)
	c.watch.init(c)
	for c.next() {
	}
	c.in.r = c.in.w
	c.in.release()
}

func addrPort(a net.Addr) netip.AddrPort {
	at, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// next handles one request, and tells whether another may follow.
func (c *serverConn) next() bool {
	request, f, err := c.receive()
	if err != nil {
		var refused *Refusal
		if errors.As(err, &refused) {
			c.server.options.Log.Debug("request refused", "client", c.conn.RemoteAddr(), "reason", refused.Reason)
			c.send("", 1, c.server.options.Refuse(refused), true)
			c.linger()
		}
		return false
	}
	request.Conn = &c.conn
	c.body = nil
	if f.kind != bodyNone {
		c.body = newRequestBody(c, f)
		request.Body, request.Length = c.body, f.length
		if f.kind == bodyChunked {
			request.Length = -1
		}
	}
	c.watch.begin(c.body)
	response := c.server.handler(c.ctx, request)
	if response.Tunnel != nil {
		c.watch.end()
		sent, err := c.tunnel(response)
		if response.Done != nil {
			response.Done(sent, err)
		}
		return false
	}
	// The answer may be whole before the request's body is.
	keep := !f.close && !closes(response) && (c.body == nil || c.body.ended()) && !c.server.isClosing()
	sent, err := c.send(request.Method, request.Minor, response, !keep)
	if response.Body != nil {
		response.Body.Close()
	}
	if response.Done != nil {
		response.Done(sent, err)
	}
	c.watch.end()
	if err != nil {
		return false
	}
	if !keep || response.Body != nil && response.Length < 0 && request.Minor == 0 {
		c.linger()
		return false
	}
	clear(c.fields[:])
	if !c.state.CompareAndSwap(connActive, connIdle) {
		return false
	}
	// Shutdown may have passed by while the state was another.
	return !c.server.isClosing() || c.in.buffered() > 0 || !c.server.isDismissed()
}

func (s *Server) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// receive reads the head of the next request.
func (c *serverConn) receive() (*Request, framing, error) {
	o := &c.server.options
	var none framing
	if c.state.Load() == connNew {
		c.conn.SetReadDeadline(time.Now().Add(o.HeaderTimeout))
		if c.server.isClosing() && c.server.isDismissed() {
			c.conn.SetReadDeadline(time.Now().Add(newConnGrace))
		}
	} else {
		c.conn.SetReadDeadline(time.Now().Add(o.IdleTimeout))
	}
	if err := c.in.await(); err != nil {
		return nil, none, err
	}
	if !c.state.CompareAndSwap(connIdle, connActive) && !c.state.CompareAndSwap(connNew, connActive) {
		return nil, none, net.ErrClosed
	}
	if !c.in.hasHead() {
		c.conn.SetReadDeadline(time.Now().Add(o.HeaderTimeout))
	}
	head, err := c.in.head(o.MaxHeader)
	if err == nil && head == "" {
		if err = c.in.await(); err == nil {
			if head, err = c.in.head(o.MaxHeader); err == nil && head == "" {
				err = refuse(400, "empty lines in the place of a request")
			}
		}
	}
	if err != nil {
		return nil, none, err
	}
	r, err := parseRequest(head, c.fields[:0])
	if err != nil {
		return nil, none, err
	}
	f, err := frameRequest(r)
	return r, f, err
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

// closes tells whether a response asks for its connection to be closed.
func closes(r *Response) bool {
	for value := range fieldsOf(r.Header, "connection") {
		if wantsClose(value, false) {
			return true
		}
	}
	return false
}

// Buffered is what a response's body may implement: how many bytes can be read
// without waiting. If it says none, the head is sent before the body is read;
// so it is for a body that does not say, if its length is not known.
type Buffered interface{ Buffered() int }

func waits(r *Response) bool {
	if b, ok := r.Body.(Buffered); ok {
		return b.Buffered() == 0
	}
	return r.Length < 0
}

// send writes a response, whose body is passed on as it comes.
func (c *serverConn) send(method string, minor int, r *Response, closing bool) (sent int64, err error) {
	pooled := outputs.Get().(*[]byte)
	defer outputs.Put(pooled)
	bodiless := method == "HEAD" || r.Status < 200 || r.Status == 204 || r.Status == 304
	kind := bodyFixed
	switch {
	case bodiless || r.Body == nil:
		kind = bodyNone
	case r.Length < 0 && minor > 0:
		kind = bodyChunked
	case r.Length < 0:
		kind = bodyUntilClose
	}
	b := appendHead((*pooled)[:0], r, kind, bodiless, closing || kind == bodyUntilClose, minor)
	if kind == bodyNone {
		return 0, c.write(b)
	}
	if waits(r) || len(b) > outputSize/2 {
		if err := c.write(b); err != nil {
			return 0, err
		}
		b = (*pooled)[:0]
	}
	return c.sendBody(r, kind == bodyChunked, (*pooled)[:outputSize], len(b))
}

// sendBody writes a body. The first head bytes of the buffer are written with
// its beginning.
func (c *serverConn) sendBody(r *Response, chunked bool, buf []byte, head int) (sent int64, err error) {
	before, after := 0, 0
	if chunked {
		before, after = chunkHeader, len("\r\n"+lastChunk)
	}
	for {
		n, readErr := r.Body.Read(buf[head+before : len(buf)-after])
		out := buf[:head]
		if n > 0 {
			if chunked {
				putChunkHeader(buf[head:], n)
			}
			out = buf[:head+before+n]
			if chunked {
				out = append(out, "\r\n"...)
			}
		}
		if readErr == io.EOF && chunked {
			out = append(out, lastChunk...)
		}
		if len(out) > 0 {
			if err := c.write(out); err != nil {
				return sent, err
			}
			head, sent = 0, sent+int64(n)
		}
		switch {
		case r.Length >= 0 && sent > r.Length:
			return sent, errLonger
		case readErr == io.EOF && r.Length >= 0 && sent != r.Length:
			return sent, io.ErrUnexpectedEOF
		case readErr == io.EOF:
			return sent, nil
		case readErr != nil:
			return sent, readErr
		}
	}
}

var errLonger = errors.New("a body that is longer than its length")

// write writes to the client, which may not take it too slowly.
func (c *serverConn) write(b []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(c.server.options.StallTimeout))
	if _, err := c.conn.Write(b); err != nil {
		return errors.Join(ErrGone, err)
	}
	return nil
}

// appendHead appends a response's head, with the fields that frame it.
func appendHead(b []byte, r *Response, kind bodyKind, bodiless, closing bool, minor int) []byte {
	b = appendStatus(b, r.Status)
	dated := false
	for range fieldsOf(r.Header, "date") {
		dated = true
	}
	if !dated {
		b = appendDate(b)
	}
	b = appendFields(b, r.Header)
	switch {
	case kind == bodyFixed:
		b = appendLength(b, r.Length)
	case kind == bodyChunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case kind == bodyNone && !bodiless:
		b = appendLength(b, 0)
	case bodiless && r.Status >= 200 && r.Status != 204:
		// The length that the response to a GET would have (RFC 9110,
		// section 8.6).
		for value := range fieldsOf(r.Header, "content-length") {
			if n, err := parseLength(value); err == nil {
				b = appendLength(b, n)
				break
			}
		}
	}
	switch {
	case closing:
		b = append(b, "Connection: close\r\n"...)
	case minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}
