package http1

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// It is first looked whether a request's client is still there when the request
// has been handled for one to two times watchAfter: most are answered before. The
// looks that follow become rarer up to watchMost.
const (
	watchAfter = 50 * time.Millisecond
	watchMost  = time.Second
)

// watch looks, while a request is handled, whether its client is still there.
// Its timer runs on over short requests, so that these need neither set it nor
// know the time.
type watch struct {
	gone  func() // called if the client has left
	raw   syscall.RawConn
	timer *time.Timer
	turns atomic.Uint64 // how often a request was begun or ended: odd while one is handled
	armed atomic.Bool   // the timer runs

	// Of the timer's function alone:
	seen uint64        // turns when it ran last
	age  time.Duration // for how long they have been the same
	wait time.Duration // that it was set to
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
	w.turns.Add(1)
	w.arm()
}

func (w *watch) end() {
	if turns := w.turns.Load(); turns&1 == 1 {
		w.turns.Store(turns + 1)
	}
}

// close ends the watch for good.
func (w *watch) close() {
	w.end()
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) arm() {
	if !w.armed.Load() && w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(watchAfter)
	}
}

// look is called by the timer.
func (w *watch) look() {
	turns := w.turns.Load()
	if turns&1 == 0 {
		w.armed.Store(false)
		if w.turns.Load()&1 == 1 { // a request has begun in between
			w.arm()
		}
		return
	}
	if turns != w.seen {
		w.seen, w.age, w.wait = turns, 0, watchAfter
	} else {
		w.age += w.wait
		if left(w.raw) && w.turns.Load() == turns {
			w.armed.Store(false)
			w.gone()
			return
		}
		w.wait = min(w.age, watchMost)
	}
	w.timer.Reset(w.wait)
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
