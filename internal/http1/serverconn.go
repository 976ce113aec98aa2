package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
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

// serverConn is one client's connection. Its goroutine waits inside the
// callback of the socket's RawConn, and handles there what is whole: what the
// runtime's poller tells meanwhile is then not lost, and no read is tried that
// finds nothing. What has to be waited for beyond a request's head, such as its
// body, is done outside of it.
type serverConn struct {
	server *Server
	socket net.Conn
	conn   Conn // the socket, or TLS on it
	tls    *tls.Config
	in     *input
	state  atomic.Int32
	ctx    *connContext
	watch  watch

	request Request
	fields  [24]Field    // storage for the header of most requests
	body    *requestBody // of the request that is handled; nil if it has none

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

	out     []byte // what is being written
	outErr  error
	blocked bool // the client does not take it fast enough
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
)

func newServerConn(s *Server, conn net.Conn, c *tls.Config) *serverConn {
	return &serverConn{server: s, tls: c, socket: conn, conn: Conn{Conn: conn}, ctx: newConnContext()}
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
	c.ctx.cancel(cause)
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

// serve handles the requests of a connection until it ends.
func (c *serverConn) serve() {
	defer func() {
		if cause := recover(); cause != nil {
			c.server.options.Log.Error("a request made its handler panic", "cause", cause, "stack", string(debug.Stack()))
		}
		c.ctx.cancel(ErrGone)
		c.socket.Close()
		c.endRequest()
		c.watch.close()
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
	c.conn.Client, c.conn.Server = addrPort(c.socket.RemoteAddr()), addrPort(c.socket.LocalAddr())
	if o.Connect != nil {
		c.conn.Value = o.Connect(c.conn.Client, c.conn.Server)
	}
	if c.conn.TLS != nil {
		if serve := o.Protocols[c.conn.TLS.NegotiatedProtocol]; serve != nil {
			c.state.Store(connOther)
			c.socket.SetReadDeadline(time.Time{})
			serve(c.ctx, &c.conn, c.server.closing)
			return
		}
	}
	c.in = newInput(c.conn.Conn, smallInputs)
	c.reading.set = c.conn.SetReadDeadline
	c.watch.init(c.socket, func() { c.ctx.cancel(ErrGone) })
	if c.in.raw != nil {
		c.onReadable, c.onWritable = c.readable, c.writable
		for c.settle(c.wait()) {
		}
	} else {
		for c.settle(c.next()) {
		}
	}
	c.in.r = c.in.w
	c.in.release()
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

// wait handles requests of a socket until something is left for settle.
func (c *serverConn) wait() fate {
	if c.state.Load() == connNew {
		c.awaitFirst()
	} else {
		c.allowIdle() // the time for the last request's body may have passed
	}
	for {
		c.drained = false // what came until now makes the socket ready no more
		err := c.in.raw.Read(c.onReadable)
		switch {
		case err == nil:
			return c.stopped
		case c.looked || c.state.Load() != connIdle || !errors.Is(err, os.ErrDeadlineExceeded):
			return fateClosed
		}
		c.looked = true
		c.allowIdle()
	}
}

// lookAgain is how soon a connection that waits is read once more. The end that
// came together with the bytes before it, which were all that a read had room
// to tell of, makes a socket ready no more.
const lookAgain = 250 * time.Millisecond

// allowIdle sets the time for the next request.
func (c *serverConn) allowIdle() {
	idle := c.server.options.IdleTimeout
	switch {
	case idle <= lookAgain:
		c.looked = true
		c.reading.allow(idle)
	case c.looked:
		c.reading.allow(idle - lookAgain)
	default:
		c.reading.allow(lookAgain)
	}
}

// awaitFirst sets the time for the first request.
func (c *serverConn) awaitFirst() {
	c.reading.restart(c.server.options.HeaderTimeout)
	if c.server.isClosing() && c.server.dismissed.Load() {
		c.reading.restart(newConnGrace)
	}
}

// readable is the socket's callback; see syscall.RawConn. It returns false to
// be called again when something has come.
func (c *serverConn) readable(fd uintptr) bool {
	for {
		if c.in.buffered() == 0 || c.partial {
			drained, err := c.in.poll(fd)
			if err == errAgain {
				c.await()
				return false
			}
			if err != nil {
				return c.stop(fateClosed)
			}
			c.drained = drained
		}
		if !c.partial && !c.activate() {
			return c.stop(fateClosed)
		}
		begun, err := c.scan()
		if err != nil {
			c.refusal = err
			return c.stop(fateRefused)
		}
		if !begun {
			if !c.partial {
				c.partial = true
				c.reading.restart(c.server.options.HeaderTimeout)
			}
			if c.drained {
				return false
			}
			continue
		}
		c.partial = false
		if c.framing.kind != bodyNone && !c.bodyThere(fd) {
			return c.stop(fateBody)
		}
		if f := c.answer(); f != fateKept {
			return c.stop(f)
		}
		if c.in.buffered() == 0 && c.drained {
			c.await()
			return false
		}
	}
}

// bodyThere tells whether the whole body of a request has come, as that of most
// requests that have one: it is then handled as others are.
func (c *serverConn) bodyThere(fd uintptr) bool {
	f := &c.framing
	if c.in.from = smallInputs; f.length > int64(smallInputs.size) {
		c.in.from = largeInputs // the next request will be as large
	}
	if f.kind != bodyFixed || f.expect || f.length > int64(largeInputs.size) {
		return false
	}
	c.in.reserve(int(f.length))
	for int64(c.in.buffered()) < f.length && !c.drained {
		drained, err := c.in.poll(fd)
		if err != nil {
			return false // whoever waits for the body meets it again
		}
		c.drained = drained
	}
	return int64(c.in.buffered()) >= f.length
}

// scan begins a request if its head is whole.
func (c *serverConn) scan() (begun bool, err error) {
	for !begun && c.in.buffered() > 0 {
		head, whole, err := c.in.scan(c.server.options.MaxHeader)
		if err != nil || !whole {
			return false, err
		}
		if begun, err = c.begin(head); err != nil {
			return false, err
		}
	}
	return begun, nil
}

func (c *serverConn) stop(f fate) bool {
	c.stopped = f
	return true
}

// await prepares for a request, without a buffer.
func (c *serverConn) await() {
	c.in.release()
	if !c.partial && c.state.Load() != connNew {
		c.allowIdle()
	}
}

// activate is called when a request begins. It fails if the server has closed
// the connection.
func (c *serverConn) activate() bool {
	c.looked = false
	return c.state.CompareAndSwap(connIdle, connActive) || c.state.CompareAndSwap(connNew, connActive) || c.state.Load() == connActive
}

// begin reads a request's head. One empty line may come before it (RFC 9112,
// section 2.2).
func (c *serverConn) begin(head string) (begun bool, err error) {
	if head == "" {
		if c.blank {
			return false, refuse(400, "empty lines in the place of a request")
		}
		c.blank = true
		return false, nil
	}
	c.blank = false
	c.request = Request{Conn: &c.conn}
	if err := parseRequest(&c.request, head, c.fields[:0]); err != nil {
		return false, err
	}
	c.framing, err = frameRequest(&c.request)
	return true, err
}

// next reads and handles one request of a connection that is no socket.
func (c *serverConn) next() fate {
	if c.state.Load() == connNew {
		c.awaitFirst()
	} else {
		c.reading.allow(c.server.options.IdleTimeout)
	}
	if err := c.in.await(); err != nil || !c.activate() {
		return fateClosed
	}
	c.partial, c.in.readable = false, c.headDeadline
	defer func() { c.partial = false }()
	for begun := false; !begun; {
		head, err := "", c.in.await()
		if err == nil {
			head, err = c.in.head(c.server.options.MaxHeader)
		}
		if err == nil {
			begun, err = c.begin(head)
		}
		if c.refusal = err; err != nil {
			return fateRefused
		}
	}
	c.in.readable = nil
	return c.answer()
}

// headDeadline is called before the connection is read for the rest of a head.
func (c *serverConn) headDeadline() error {
	if !c.partial {
		c.partial = true
		c.reading.restart(c.server.options.HeaderTimeout)
	}
	return nil
}

// answer handles a request whose head has been read, and writes the response.
func (c *serverConn) answer() fate {
	r, f := &c.request, c.framing
	c.body = nil
	if f.kind != bodyNone {
		c.body = newRequestBody(c, f)
		r.Body, r.Length = c.body, f.length
		if f.kind == bodyChunked {
			r.Length = -1
		}
	}
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
	if response.Done != nil {
		response.Done(sent, err)
	}
	c.endRequest()
	if err != nil {
		return fateClosed
	}
	if !keep || response.Body != nil && response.Length < 0 && r.Minor == 0 {
		return fateLingers
	}
	// What waits for its next request keeps nothing of the last one.
	clear(c.fields[:])
	c.request = Request{}
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
		c.body.close()
		c.body = nil
		c.reading.forget()
	}
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
	for value := range r.Header.All("connection") {
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
	if c.in == nil || c.in.raw == nil {
		c.conn.SetWriteDeadline(time.Now().Add(c.server.options.StallTimeout))
		if _, err := c.conn.Write(b); err != nil {
			return errors.Join(ErrGone, err)
		}
		return nil
	}
	c.out, c.outErr = b, nil
	err := c.in.raw.Write(c.onWritable)
	if c.out = nil; c.blocked {
		c.blocked = false
		c.socket.SetWriteDeadline(time.Time{})
	}
	if err == nil {
		err = c.outErr
	}
	if err != nil {
		return errors.Join(ErrGone, err)
	}
	return nil
}

// writable is the socket's callback. The deadline is set only if the client is
// waited for.
func (c *serverConn) writable(fd uintptr) bool {
	n, err := writeNow(fd, c.out)
	if c.out = c.out[n:]; err == errAgain {
		c.blocked = true
		c.socket.SetWriteDeadline(time.Now().Add(c.server.options.StallTimeout))
		return false
	}
	c.outErr = err
	return true
}

// appendHead appends a response's head, with the fields that frame it.
func appendHead(b []byte, r *Response, kind bodyKind, bodiless, closing bool, minor int) []byte {
	b = appendStatus(b, r.Status)
	dated := false
	for range r.Header.All("date") {
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
		for value := range r.Header.All("content-length") {
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
