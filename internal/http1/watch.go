package http1

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A request may be handled for watchAfter before it is looked, again and again,
// whether its client is still there: most are answered before. The looks become
// rarer up to watchMost.
const (
	watchAfter = 50 * time.Millisecond
	watchMost  = time.Second
)

// watch looks, while a request is handled, whether its client is still there.
// Its timer runs on over short requests, so that these need not set it.
type watch struct {
	gone  func() // called if the client has left
	raw   syscall.RawConn
	timer *time.Timer
	since atomic.Int64 // when the request's handling began, by clock; between requests that of the last one, negative
	armed atomic.Bool  // the timer runs
}

// init prepares the watch of a socket; connections of other kinds have none.
func (w *watch) init(conn net.Conn, gone func()) {
	s, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := s.SyscallConn(); err == nil {
		w.raw, w.gone = raw, gone
		w.timer = time.AfterFunc(time.Hour, w.look)
		w.timer.Stop()
	}
}

func (w *watch) begin() {
	if w.raw == nil {
		return
	}
	w.since.Store(clock())
	w.arm(watchAfter)
}

func (w *watch) end() {
	if since := w.since.Load(); since > 0 {
		w.since.Store(-since)
	}
}

// close ends the watch for good.
func (w *watch) close() {
	w.end()
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) arm(after time.Duration) {
	if w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(after)
	}
}

// look is called by the timer.
func (w *watch) look() {
	since := w.since.Load()
	if since <= 0 {
		w.armed.Store(false)
		if w.since.Load() > 0 { // a request has begun in between
			w.arm(watchAfter)
		}
		return
	}
	age := time.Duration(clock() - since)
	if age < watchAfter {
		w.timer.Reset(watchAfter - age)
		return
	}
	if left(w.raw) && w.since.Load() == since {
		w.armed.Store(false)
		w.gone()
		return
	}
	w.timer.Reset(min(age, watchMost))
}

// left tells whether a connection's other end has closed it, whatever was sent
// before and has not been read (tcp(7), TCP_INFO).
func left(raw syscall.RawConn) bool {
	closed := false
	raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		closed = err == nil && info.State != tcpEstablished
	})
	return closed
}

const tcpEstablished = 1 // of include/net/tcp_states.h
