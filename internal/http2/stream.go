package http2

import (
	"errors"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// Why the client gets no answer any more.
var (
	errReset     = errors.Join(http1.ErrGone, errors.New("HTTP/2: the client reset the stream"))
	errMalformed = errors.Join(http1.ErrGone, errors.New("HTTP/2: the client sent what it may not"))
	errAnswered  = errors.New("HTTP/2: the body was read after the response")
)

// stream is a request and its response.
type stream struct {
	conn    *conn
	id      uint32
	ctx     *http1.Context
	request Request
	fields  []http1.Field
	refusal *http1.Refusal // what is sent in the place of a handler's response
	expects bool           // the client waits for 100 Continue; the body's reader's

	// Guarded by the connection's lock.
	failed     error // nothing comes or goes any more
	ended      bool  // the client has sent all
	short      bool  // it had with the header
	answered   bool  // all was sent to the client
	left       int64 // of the body, as its length was told; -1 if it was not
	sendWindow int64
	granted    granted
	data       []byte        // of the body, that nobody has read yet
	read       int           // how much of data was
	trailer    http.Header   // names that were announced
	behind     []http1.Field // trailers that have come
	moved      time.Time     // when either side last sent something; of patient requests

	reading, writing waiter

	runner func() // is run, made once
	body   body
	sent   http1.Pace
}

var streams sync.Pool

// newStream is a stream in the memory of one that has ended.
func (c *conn) newStream(id uint32) *stream {
	s, _ := streams.Get().(*stream)
	if s == nil {
		s = &stream{ctx: http1.NewContext()}
		s.runner = s.run
	}
	s.conn, s.id = c, id
	s.sendWindow, s.granted.window = c.initialWindow, streamBuffer
	s.request.Conn = c.conn
	s.reading.init(&c.mu)
	s.writing.init(&c.mu)
	return s
}

// recycle gives the memory away, if nobody else may hold it: a body may still be
// read by whoever passes it on, and a context that has ended is none again.
func (s *stream) recycle() {
	if s.failed != nil || !s.short || s.reading.timer != nil || s.writing.timer != nil {
		return
	}
	fields, memory := s.fields[:cap(s.fields)], s.request.Memory
	clear(fields)
	*s = stream{ctx: s.ctx, runner: s.runner, fields: fields[:0]}
	s.request.Memory = memory
	streams.Put(s)
}

// run answers the request.
func (s *stream) run() {
	c := s.conn
	code, err := codeInternal, errPanic
	defer func() {
		if err == errPanic {
			if cause := recover(); cause != nil {
				c.server.options.Log.Error("a request made its handler panic", "cause", cause, "stack", string(debug.Stack()))
			}
		}
		c.mu.Lock()
		s.end(code, err)
		c.running--
		if err == nil {
			c.merit(10)
		}
		c.mu.Unlock()
		c.conn.End()
		s.recycle()
		c.handlers.Done()
	}()
	code, err = s.answer()
}

var errPanic = errors.New("HTTP/2: the handler has failed")

// answer has the handler answer, and sends that.
func (s *stream) answer() (code, error) {
	var response *http1.Response
	if s.refusal != nil {
		o := &s.conn.server.options
		o.Log.Debug("request refused", "client", s.conn.conn.RemoteAddr(), "reason", s.refusal.Reason)
		response = o.Refuse(s.refusal)
	} else {
		response = s.conn.server.handler(s.ctx, &s.request)
	}
	if response.Tunnel != nil {
		response.Tunnel.Close()
	}
	sent, err := s.send(response)
	if response.Body != nil {
		response.Body.Close()
	}
	if response.Done != nil {
		response.Done(sent, err)
	}
	if errors.Is(err, http1.ErrGone) {
		return codeCancel, err
	}
	return codeInternal, err
}

// end ends the stream for whoever has not ended it yet. The lock is held.
func (s *stream) end(x code, err error) {
	c := s.conn
	open := s.failed == nil && c.streams[s.id] == s
	if err == nil {
		// The client need not send the rest of what nobody wants (RFC 9113,
		// section 8.1).
		x = codeNone
	}
	if open {
		c.ownReset.add(s.id)
		c.append(appendReset, s.id, x)
		s.fail(errAnswered)
		c.closed(s)
	}
	s.drop()
}

// fail ends all waiting for the client. The lock is held.
func (s *stream) fail(cause error) {
	if s.failed != nil {
		return
	}
	s.failed = cause
	s.reading.wake()
	s.writing.wake()
	s.drop()
	s.ctx.Cancel(cause)
}

// waiter is a goroutine that waits for the client, within limits of time. The
// connection's lock guards it.
type waiter struct {
	cond    sync.Cond
	timer   *time.Timer
	until   time.Time
	waiting bool
	late    bool // the time has passed
}

func (w *waiter) init(l sync.Locker) { w.cond.L = l }

func (w *waiter) wake() {
	if w.waiting {
		w.cond.Signal()
	}
}

// wait waits until something has changed, and tells whether it did in time.
func (w *waiter) wait(d time.Duration) bool {
	if d <= 0 {
		return false
	}
	w.until, w.late = time.Now().Add(d), false
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.expire)
	} else {
		w.timer.Reset(d)
	}
	w.waiting = true
	w.cond.Wait()
	w.waiting = false
	w.timer.Stop()
	return !w.late
}

// expire is called by the timer, which may be late: what it was for may have
// come, and something else be waited for.
func (w *waiter) expire() {
	w.cond.L.Lock()
	defer w.cond.L.Unlock()
	if w.waiting && !time.Now().Before(w.until) {
		w.late = true
		w.cond.Signal()
	}
}

// await waits for the client, at most as long as it may still be waited for. It
// returns false when that is over.
func (s *stream) await(w *waiter, p *http1.Pace) bool {
	o := &s.conn.server.options
	if s.request.Patient {
		for {
			if s.moved.IsZero() {
				s.moved = time.Now()
			}
			left := o.StallTimeout - time.Since(s.moved)
			if left <= 0 || w.wait(left) {
				return left > 0
			}
		}
	}
	before := time.Now()
	came := w.wait(p.Patience(o))
	p.Move(0, time.Since(before))
	return came
}

// move tells that something was sent by either side.
func (s *stream) move() {
	if s.request.Patient {
		s.moved = time.Now()
	}
}
