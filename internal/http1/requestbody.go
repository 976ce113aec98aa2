package http1

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Faults of the client.
var (
	ErrSlow = errors.New("the client sends its request too slowly")
	ErrGone = errors.New("the client closed the connection")
)

// requestBody is a request's body, which a client may not send too slowly.
// Whoever forwards it may still be reading when the response is complete; the
// connection's watch ends that.
type requestBody struct {
	bodyReader
	conn     *serverConn
	start    time.Time
	received int64
	expect   bool // the client waits for 100 Continue
	fault    error
}

func newRequestBody(c *serverConn, f framing) *requestBody {
	b := &requestBody{bodyReader: *newBodyReader(c.in, f), conn: c, start: time.Now(), expect: f.expect}
	c.in.readable = b.beforeRead
	return b
}

var errBodyClosed = errors.New("the body was read after the response")

func (b *requestBody) Read(p []byte) (int, error) {
	w := &b.conn.watch
	w.reading.Lock()
	defer w.reading.Unlock()
	if b.fault != nil {
		return 0, b.fault
	}
	if b.expect {
		b.expect = false
		if err := b.conn.write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			b.fault = err
			return 0, err
		}
	}
	n, err := b.bodyReader.Read(p)
	b.received += int64(n)
	if b.bodyReader.ended() {
		b.conn.in.readable = nil
	}
	var refused *Refusal
	var timeout net.Error
	switch {
	case err == nil || err == io.EOF || errors.Is(err, errBodyClosed):
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

// ended tells whether the whole body was read, without waiting for a reader.
func (b *requestBody) ended() bool {
	w := &b.conn.watch
	if !w.reading.TryLock() {
		return false
	}
	defer w.reading.Unlock()
	return b.bodyReader.ended()
}

// beforeRead sets the deadline of the next piece. Single bytes, each in time,
// must not hold a connection for ever.
func (b *requestBody) beforeRead() error {
	o := &b.conn.server.options
	deadline := time.Now().Add(o.StallTimeout)
	overall := b.start.Add(o.StallTimeout + time.Duration(b.received/o.MinRate)*time.Second)
	if overall.Before(deadline) {
		deadline = overall
	}
	if !b.conn.watch.setDeadline(deadline) {
		return errBodyClosed
	}
	return nil
}

// watchAfter is how long a request may be handled before the connection is
// watched for the client's leaving. Most are answered before.
const watchAfter = 50 * time.Millisecond

// watch looks, while a request is handled, whether its client is still there,
// and keeps the connection's readers apart.
type watch struct {
	conn  *serverConn
	timer *time.Timer
	body  *requestBody

	reading sync.Mutex // held while the connection is read during a request
	state   sync.Mutex // guards over, and with it the deadline
	over    bool       // the request has been answered
}

func (w *watch) init(c *serverConn) {
	w.conn, w.over = c, true
}

func (w *watch) begin(body *requestBody) {
	w.state.Lock()
	// A look for the last request may be late, and takes itself for this one's.
	w.over, w.body = false, body
	w.state.Unlock()
	if w.timer == nil {
		w.timer = time.AfterFunc(watchAfter, w.look)
	} else {
		w.timer.Reset(watchAfter)
	}
}

// end makes the connection the caller's alone again.
func (w *watch) end() {
	quiet := w.timer.Stop() && w.body == nil
	w.state.Lock()
	w.over = true
	if !quiet {
		w.conn.conn.SetReadDeadline(time.Unix(1, 0)) // wakes a reader
	}
	w.state.Unlock()
	if !quiet {
		w.reading.Lock()
		if w.conn.in.readable = nil; w.body != nil {
			w.body.fault = errBodyClosed
		}
		w.body = nil
		w.reading.Unlock()
	}
}

// stop ends watching for good.
func (w *watch) stop() {
	if w.timer != nil {
		w.end()
	}
}

func (w *watch) isOver() bool {
	w.state.Lock()
	defer w.state.Unlock()
	return w.over
}

// setDeadline does nothing once the request has been answered.
func (w *watch) setDeadline(t time.Time) bool {
	w.state.Lock()
	defer w.state.Unlock()
	if !w.over {
		w.conn.conn.SetReadDeadline(t)
	}
	return !w.over
}

// look is called by the timer. It reads ahead, once the request's body has been
// read, into the buffer of the next request.
func (w *watch) look() {
	w.reading.Lock()
	defer w.reading.Unlock()
	in := w.conn.in
	switch {
	case w.isOver() || in.buffered() > 0:
		return
	case w.body != nil && !w.body.bodyReader.ended():
		w.state.Lock()
		if !w.over {
			w.timer.Reset(watchAfter)
		}
		w.state.Unlock()
		return
	case !w.setDeadline(time.Time{}):
		return
	}
	if err := in.await(); err != nil && !w.isOver() {
		w.conn.cancel(errors.Join(ErrGone, err))
	}
}
