package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// exchange is one request and its response on a connection to a server.
type exchange struct {
	cc      *clientConn
	request *Request
	ctx     context.Context
	wait    time.Duration // for the next piece of the response

	holder         *Context    // that the exchange hangs on
	next, previous *exchange   // others that do
	stop           func() bool // the hold of a context of another kind; nil if it has none
	interrupted    atomic.Bool

	out     []byte  // what is to be written before the response is waited for
	pooled  *[]byte // the memory of out; nil once it has been given back
	replay  []byte  // likewise, behind it: a body
	written bool
	sendErr error // why it could not be
	readErr error

	interim   int
	streaming bool           // the rest of the request's body is sent beside the response
	sender    sync.WaitGroup // that sends it
	asking    atomic.Bool    // a piece of it is waited for
	progress  atomic.Int64   // when one came, by clock

	mu   sync.Mutex
	sent bool  // the request is whole
	err  error // why its body could not be read

	response Response
	fields   [12]Field // storage for the header of most responses
	body     bodyReader
	keep     bool // the connection may serve another request
	over     atomic.Bool
	close    sync.Once
	free     bool // it has ended, and neither its context nor a sender holds it
}

// Room is the memory of an exchange with a server. It may serve another one when
// nobody looks at the response any more, whose body must be closed or read to
// its end.
type Room struct{ exchange *exchange }

// take is memory that is free: an exchange that something else may still hold
// keeps its own.
func (r *Room) take() *exchange {
	if r == nil {
		return new(exchange)
	}
	if r.exchange == nil || !r.exchange.free {
		r.exchange = new(exchange)
	} else {
		*r.exchange = exchange{}
	}
	return r.exchange
}

// ErrTimeout is the failure of an exchange whose server was silent for longer
// than the request's timeout.
var ErrTimeout = errors.New("the server was silent for too long")

// begin hangs the exchange on its context, unless that has ended.
func (x *exchange) begin() bool {
	if holder, ok := x.ctx.(*Context); ok {
		if x.holder = holder; !holder.attach(x) {
			x.holder = nil
			return false
		}
	} else if x.ctx.Done() != nil {
		if x.ctx.Err() != nil {
			return false
		}
		x.stop = context.AfterFunc(x.ctx, x.interrupt)
	}
	return true
}

// end takes the exchange out of its context's hold, and tells whether it was
// still free of it.
func (x *exchange) end() bool {
	if holder := x.holder; holder != nil {
		x.holder = nil
		return holder.detach(x)
	}
	return x.stop == nil || x.stop()
}

// interrupt ends all waiting on the connection.
func (x *exchange) interrupt() {
	x.interrupted.Store(true)
	x.cc.conn.SetDeadline(time.Unix(1, 0))
}

// cause is the error that the exchange ends with, of one that the connection
// met.
func (x *exchange) cause(err error) error {
	aborted := x.cc.client.abortion()
	switch {
	case x.interrupted.Load():
		return context.Cause(x.ctx)
	case aborted != nil:
		return aborted
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTimeout
	}
	return err
}

// appendRequest appends a request's head.
func appendRequest(b []byte, r *Request) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	if r.Host != "" {
		b = appendField(b, "Host", r.Host)
	}
	b = appendFields(b, r.Header)
	switch {
	case r.Replay != nil:
		b = appendLength(b, int64(len(r.Replay)))
	case r.Body != nil && r.Length >= 0:
		b = appendLength(b, r.Length)
	case r.Body != nil:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH":
		b = appendLength(b, 0)
	}
	if r.Switch {
		b = append(b, "Connection: Upgrade\r\n"...)
	}
	return append(b, "\r\n"...)
}

// send writes the request and waits for the first bytes of the response. What
// there is of a body beyond Replay is sent beside that.
func (x *exchange) send(r *Request) error {
	x.pooled = outputs.Get().(*[]byte)
	defer x.forget()
	x.out = appendRequest((*x.pooled)[:0], r)
	if r.Body == nil && x.cc.in.raw != nil {
		x.replay = r.Replay
		return x.sendAndAwait()
	}
	if r.Body == nil {
		x.out = append(x.out, r.Replay...)
	}
	x.written = true
	x.cc.writing.allow(r.Timeout)
	if _, err := x.cc.conn.Write(x.out); err != nil {
		x.sendErr = err
	}
	x.forget()
	if r.Body == nil || x.sendErr != nil {
		x.sent = x.sendErr == nil
		return x.await()
	}
	x.streaming = true
	x.progress.Store(clock())
	x.sender.Go(func() {
		pooled := outputs.Get().(*[]byte)
		readErr, writeErr := x.sendBody(r, (*pooled)[:outputSize])
		outputs.Put(pooled)
		x.mu.Lock()
		x.sent, x.err = readErr == nil && writeErr == nil, readErr
		x.mu.Unlock()
		if readErr != nil {
			// The server waits for what does not come.
			x.cc.close()
		}
	})
	return x.await()
}

// forget gives back the memory of what was written, which is not held while the
// response is waited for.
func (x *exchange) forget() {
	if x.pooled == nil {
		return
	}
	outputs.Put(x.pooled)
	x.pooled, x.out, x.replay = nil, nil, nil
	if x.written && !replayable(x.request) {
		x.request.release()
	}
}

// sendAndAwait writes the request and waits for the response within one call of
// the socket: the readiness that the response brings is waited for from before
// the request is written, so that no read is tried in vain. That readiness is
// lost which a kept connection had before, by its server's end: it is looked at
// once more before long.
func (x *exchange) sendAndAwait() error {
	all, first := x.wait, x.wait
	if x.cc.kept && (all == 0 || all > lookAgain) {
		first = lookAgain
	}
	x.wait = first
	err := x.readSocket(x.cc.taken)
	if first == all || x.sendErr != nil || !errors.Is(err, os.ErrDeadlineExceeded) || x.interrupted.Load() {
		return err
	}
	if x.wait = 0; all > 0 {
		x.wait = all - first
	}
	return x.readSocket(clock())
}

// readSocket waits for the response from a time on that is known by clock.
func (x *exchange) readSocket(now int64) error {
	// A deadline of the request before may have passed meanwhile.
	if err := x.cc.waitFrom(now); err != nil {
		return err
	}
	if err := x.cc.in.raw.Read(x.cc.onReadable); err != nil {
		return err
	}
	return x.readErr
}

// readable is the socket's callback; see syscall.RawConn. It writes the request
// and then returns false, to be called again when the response comes.
func (cc *clientConn) readable(fd uintptr) bool {
	x := cc.exchanging
	if x.written {
		_, err := cc.in.poll(fd)
		if err == errAgain {
			return false
		}
		x.readErr = err
		return true
	}
	if cc.kept && !replayable(x.request) && !quiet(fd) {
		x.readErr = errStale
		return true
	}
	x.written = true
	n, err := writeBoth(fd, x.out, x.replay)
	if err == errAgain {
		cc.writing.allow(x.request.Timeout)
		_, err = writeRest(cc.conn.Write, x.out, x.replay, n)
	}
	x.forget()
	if x.sendErr = err; err == nil {
		x.sent = true
	} else if !mayAnswer(err) {
		x.readErr = err
		return true
	}
	return false
}

// writeRest writes what is left of two pieces of which some was sent.
func writeRest(write func([]byte) (int, error), a, b []byte, sent int) (int, error) {
	for sent < len(a)+len(b) {
		rest := b[max(0, sent-len(a)):]
		if sent < len(a) {
			rest = a[sent:]
		}
		n, err := write(rest)
		if sent += n; err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// mayAnswer tells whether a server whose connection failed so, while the
// request was written, may have answered before: it need not read it all.
func mayAnswer(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

var errStale = errors.New("a kept connection that its server has closed")

// quiet tells whether a socket has nothing to read, as one that the server
// closed would.
func quiet(fd uintptr) bool {
	var b byte
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	return errno == errAgain
}

// await waits for the first bytes of the response.
func (x *exchange) await() error {
	for {
		err := x.cc.in.await()
		if err == nil || !x.streaming || x.interrupted.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		// The time begins anew whenever the request's sender gave something.
		left := x.request.Timeout
		if !x.asking.Load() {
			left -= time.Duration(clock() - x.progress.Load())
		}
		if left <= 0 {
			return err
		}
		x.wait = left
	}
}

// beforeRead is called before each read of the connection.
func (cc *clientConn) beforeRead() error { return cc.waitFrom(clock()) }

// waitFrom sets the time for the next piece of the response. An interruption
// must not be undone by the deadline that is set.
func (cc *clientConn) waitFrom(now int64) error {
	x := cc.exchanging
	cc.reading.allowAt(now, x.wait)
	if x.interrupted.Load() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// failure is why the request's body could not be read.
func (x *exchange) failure() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

func (x *exchange) sendBody(r *Request, buf []byte) (readErr, writeErr error) {
	before, after, chunked := 0, 0, r.Length < 0
	if chunked {
		before, after = chunkHeader, len("\r\n"+lastChunk)
	}
	read := func() (int, error) { return r.Body.Read(buf[before : len(buf)-after]) }
	write := func(n int, last bool) error {
		out := buf[:0]
		if n > 0 {
			out = buf[:before+n]
			if chunked {
				putChunkHeader(buf, n)
				out = append(out, "\r\n"...)
			}
		}
		if last && chunked {
			out = append(out, lastChunk...)
		}
		_, err := x.cc.conn.Write(out)
		return err
	}
	for sent := int64(0); ; {
		if over, readErr, writeErr := x.pass(r, &sent, read, write); over {
			return readErr, writeErr
		}
		if r.Length-sent >= leastPiped {
			if over, readErr, writeErr := x.sendPiped(r, &sent); over {
				return readErr, writeErr
			}
		}
	}
}

// sendPiped writes what comes next of a body through a pipe, if that can be done.
func (x *exchange) sendPiped(r *Request, sent *int64) (over bool, readErr, writeErr error) {
	body, from := r.Body.(Piped)
	socket, to := x.cc.conn.(*socket)
	if !from || !to {
		return false, nil, nil
	}
	pipe := takePipe()
	if pipe == nil {
		return false, nil, nil
	}
	defer pipe.put()
	read := func() (int, error) { return body.ReadPipe(pipe) }
	// The time begins anew whenever the server takes something.
	writable := func(fd uintptr) bool {
		n, err := pipe.drain(fd)
		if err == errAgain && n > 0 {
			x.progress.Store(clock())
			if x.cc.writing.allow(r.Timeout); x.interrupted.Load() {
				err = os.ErrDeadlineExceeded
			}
		}
		pipe.err = err
		return err != errAgain
	}
	write := func(int, bool) error {
		if err := socket.raw.Write(writable); err != nil {
			return err
		}
		return pipe.err
	}
	for {
		over, readErr, writeErr := x.pass(r, sent, read, write)
		if readErr == errors.ErrUnsupported {
			return false, nil, nil
		}
		if over {
			return true, readErr, writeErr
		}
	}
}

// pass reads a piece of a body, and writes it.
func (x *exchange) pass(r *Request, sent *int64, read func() (int, error), write func(n int, last bool) error) (over bool, readErr, writeErr error) {
	x.asking.Store(true)
	n, readErr := read()
	x.progress.Store(clock())
	x.asking.Store(false)
	if *sent += int64(n); r.Length >= 0 && *sent > r.Length {
		return true, errLonger, nil
	}
	last := readErr == io.EOF
	if n > 0 || last && r.Length < 0 {
		if x.cc.writing.allow(r.Timeout); x.interrupted.Load() {
			return true, nil, os.ErrDeadlineExceeded
		}
		if err := write(n, last); err != nil {
			return true, nil, err
		}
	}
	switch {
	case last && *sent < r.Length:
		return true, io.ErrUnexpectedEOF, nil
	case last:
		return true, nil, nil
	}
	return readErr != nil, readErr, nil
}

// receive makes the response's body, behind which the connection is kept.
func (x *exchange) receive(f framing) *Response {
	r := &x.response
	x.wait = x.request.Timeout
	if x.keep = !f.close && r.Status != 101; r.Status == 101 && x.request.Switch {
		// It lives by the clock of whoever carries it on.
		x.wait = 0
		x.cc.reading.allow(0)
		x.cc.writing.allow(0)
		r.Tunnel = upgraded{x}
		return r
	}
	switch f.kind {
	case bodyNone:
		r.Length = f.length // that of HEAD
		x.finish(true)
	case bodyFixed:
		r.Length = f.length
	default:
		r.Length = -1
	}
	if f.kind != bodyNone {
		x.body = makeBodyReader(x.cc.in, f)
		r.Body = (*responseBody)(x)
	}
	return r
}

// finish ends the exchange: the connection is kept or closed.
func (x *exchange) finish(whole bool) {
	x.close.Do(func() {
		x.over.Store(true)
		free := x.end()
		x.free = free && !x.streaming
		x.mu.Lock()
		sent := x.sent
		x.mu.Unlock()
		if whole && free && sent && x.keep {
			x.cc.client.keep(x.cc)
			return
		}
		x.cc.close()
		x.cc.in.r = x.cc.in.w
		x.cc.in.release()
	})
}

// responseBody is the body of a response, as its receiver sees it.
type responseBody exchange

func (b *responseBody) Read(p []byte) (int, error) {
	x := (*exchange)(b)
	if x.over.Load() {
		return 0, x.body.err
	}
	n, err := x.body.Read(p)
	return n, b.ends(err)
}

// ReadPipe is of a body of a fixed length; see Piped.
func (b *responseBody) ReadPipe(p *Pipe) (int, error) {
	x := (*exchange)(b)
	if x.over.Load() {
		return 0, x.body.err
	}
	n, err := x.body.readPipe(p)
	if err == errors.ErrUnsupported {
		return 0, err
	}
	return n, b.ends(err)
}

// ends ends the exchange if a read has failed, or was the last.
func (b *responseBody) ends(err error) error {
	if err == nil {
		return nil
	}
	x := (*exchange)(b)
	if err != io.EOF {
		err = x.cause(err)
		x.body.err = err
	}
	x.finish(err == io.EOF)
	return err
}

// Buffered is how many bytes can be read without waiting.
func (b *responseBody) Buffered() int {
	if (*exchange)(b).over.Load() {
		return 0
	}
	return b.body.buffered()
}

// Close ends the exchange. What was not read is not waited for.
func (b *responseBody) Close() error {
	x := (*exchange)(b)
	if !x.over.Load() {
		x.body.err = net.ErrClosed
		x.finish(false)
	}
	return nil
}
