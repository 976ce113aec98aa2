package http1

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Faults of the client.
var (
	ErrSlow = errors.New("the client sends its request too slowly")
	ErrGone = errors.New("the client closed the connection")
)

// requestBody is a request's body, which a client may not send too slowly.
// Whoever forwards it may still be reading when the response is complete; close
// ends that.
type requestBody struct {
	bodyReader
	conn   *serverConn
	pace   Pace
	asked  int64 // since when the client is waited for, by clock; 0 if it is not
	expect bool  // the client waits for 100 Continue
	fault  error
	whole  atomic.Bool // the end was reached

	reads sync.Mutex // held while the body is read
	state sync.Mutex // guards what follows, and with it the deadline
	over  bool       // the request has been answered
	timed bool       // the connection's deadline was set
}

// begin begins the body of the connection's request.
func (b *requestBody) begin(c *serverConn, f framing) {
	*b = requestBody{bodyReader: makeBodyReader(c.in, f), conn: c, expect: f.expect}
	c.in.readable = b.beforeRead
}

var errBodyClosed = errors.New("the body was read after the response")

func (b *requestBody) Read(p []byte) (int, error) {
	return b.read(func() (int, error) { return b.bodyReader.Read(p) })
}

// ReadPipe is of a body of a fixed length; see Piped.
func (b *requestBody) ReadPipe(p *Pipe) (int, error) {
	return b.read(func() (int, error) { return b.bodyReader.readPipe(p) })
}

func (b *requestBody) read(next func() (int, error)) (int, error) {
	b.reads.Lock()
	defer b.reads.Unlock()
	if b.fault != nil {
		return 0, b.fault
	}
	if b.expect {
		b.expect = false
		b.conn.conn.SetWriteDeadline(time.Now().Add(b.conn.server.options.StallTimeout))
		_, err := io.WriteString(&b.conn.conn, "HTTP/1.1 100 Continue\r\n\r\n")
		b.conn.conn.SetWriteDeadline(time.Time{})
		if err != nil {
			b.fault = errors.Join(ErrGone, err)
			return 0, b.fault
		}
	}
	n, err := next()
	b.waited()
	b.pace.Move(n, 0)
	if b.bodyReader.ended() {
		b.conn.in.readable = nil
		b.whole.Store(true)
	}
	var refused *Refusal
	var timeout net.Error
	switch {
	case err == nil || err == io.EOF || err == errors.ErrUnsupported || errors.Is(err, errBodyClosed):
	case errors.As(err, &refused):
		b.fault = err
	case errors.As(err, &timeout) && timeout.Timeout():
		err, b.fault = ErrSlow, ErrSlow
	default:
		err = errors.Join(ErrGone, err)
		b.fault = err
	}
	return n, err
}

// Whole is a method that a request's body may have: it takes all that is left of
// the body if that is there, without a copy, or else nothing and returns nil.
// What it returns is valid until release is called, or else the request answered.
type Whole interface {
	Whole() (body []byte, release func())
}

// Whole takes what is left of the body.
func (b *requestBody) Whole() (body []byte, release func()) {
	b.reads.Lock()
	defer b.reads.Unlock()
	if b.fault != nil || b.expect {
		return nil, nil
	}
	whole := b.bodyReader.whole()
	if whole == nil {
		return nil, nil
	}
	b.pace.Move(len(whole), 0)
	b.conn.in.readable = nil
	b.whole.Store(true)
	return whole, b.conn.onBodySent
}

// ended tells whether the whole body was read, without waiting for a reader. None
// reads it any more then.
func (b *requestBody) ended() bool { return b.whole.Load() }

// beforeRead sets the deadline of the next piece.
func (b *requestBody) beforeRead() error {
	b.waited()
	b.asked = clock()
	patience := b.pace.Patience(&b.conn.server.options)
	b.state.Lock()
	defer b.state.Unlock()
	if b.over {
		return errBodyClosed
	}
	b.timed = true
	return b.conn.conn.SetReadDeadline(time.Now().Add(patience))
}

// waited is called when the client is not waited for any more.
func (b *requestBody) waited() {
	if b.asked != 0 {
		b.pace.Move(0, time.Duration(clock()-b.asked))
		b.asked = 0
	}
}

// close ends the body, and a read of whoever still forwards it: what follows on
// the connection is not his. It tells whether the connection's deadline is
// another than before the body.
func (b *requestBody) close() (timed bool) {
	b.state.Lock()
	if b.over = true; !b.ended() {
		b.timed = true
		b.conn.conn.SetReadDeadline(time.Unix(1, 0)) // wakes a reader
	}
	timed = b.timed
	b.state.Unlock()
	b.reads.Lock()
	defer b.reads.Unlock()
	b.conn.in.readable, b.fault = nil, errBodyClosed
	return timed
}
