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
// Whoever forwards it may still be reading when the response is complete; the
// connection's watch ends that.
type requestBody struct {
	bodyReader
	conn     *serverConn
	start    time.Time
	received int64
	expect   bool // the client waits for 100 Continue
	fault    error
	whole    atomic.Bool // the end was reached
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
		b.whole.Store(true)
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
func (b *requestBody) ended() bool { return b.whole.Load() }

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
	conn   *serverConn
	timer  *time.Timer
	body   *requestBody
	active bool          // between begin and end; the connection's goroutine's own
	looked chan struct{} // holds one when a look has ended that asks for no other

	reading sync.Mutex // held while the connection is read during a request
	state   sync.Mutex // guards over, and with it the deadline and the timer
	over    bool       // the request has been answered
}

func (w *watch) init(c *serverConn) {
	w.conn, w.over, w.looked = c, true, make(chan struct{}, 1)
}

func (w *watch) begin(body *requestBody) {
	w.active, w.body = true, body
	w.state.Lock()
	defer w.state.Unlock()
	w.over = false
	if w.timer == nil {
		w.timer = time.AfterFunc(watchAfter, w.look)
	} else {
		w.timer.Reset(watchAfter)
	}
}

// end makes the connection the caller's alone again. No look outlives it.
func (w *watch) end() {
	if !w.active {
		return
	}
	w.active = false
	w.state.Lock()
	w.over = true
	looking := !w.timer.Stop()
	if looking || w.body != nil {
		w.conn.conn.SetReadDeadline(time.Unix(1, 0)) // wakes a reader
	}
	w.state.Unlock()
	if looking {
		<-w.looked
	}
	if w.body != nil {
		// Whoever still forwards the body must not read what follows it.
		w.reading.Lock()
		w.conn.in.readable, w.body.fault = nil, errBodyClosed
		w.reading.Unlock()
		w.body = nil
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

// again asks for another look, unless the request has been answered.
func (w *watch) again() bool {
	w.state.Lock()
	defer w.state.Unlock()
	if !w.over {
		w.timer.Reset(watchAfter)
	}
	return !w.over
}

// look is called by the timer. It reads ahead, once the request's body has been
// read, into the buffer of the next request.
func (w *watch) look() {
	w.reading.Lock()
	defer w.reading.Unlock()
	if w.body != nil && !w.body.bodyReader.ended() && w.again() {
		return
	}
	if in := w.conn.in; in.buffered() == 0 && w.setDeadline(time.Time{}) {
		if err := in.await(); err != nil && !w.isOver() {
			w.conn.cancel(errors.Join(ErrGone, err))
		}
	}
	w.looked <- struct{}{}
}
