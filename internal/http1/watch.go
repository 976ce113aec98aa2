package http1

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Every watchEvery it is looked whether clients are still there whose requests
// have been handled since the last time: most are answered before. The looks
// that follow become rarer, up to each watchMost-th time.
const (
	watchEvery = 50 * time.Millisecond
	watchMost  = 20
)

// watches look, while requests are handled, whether their clients are still
// there. All connections of a server have one timer: those of each would wake a
// process again and again that has little else to do.
type watches struct {
	mu    sync.Mutex
	armed []*watch
	timer *time.Timer // runs while there are armed ones

	due []*watch // of look alone
}

// watch is that of a connection. It stays armed over short requests, so that
// these need neither arm it nor know the time.
type watch struct {
	of    *watches
	raw   syscall.RawConn
	gone  func()        // called if the client has left
	turns atomic.Uint64 // how often a request was begun or ended: odd while one is handled
	armed atomic.Bool

	// Of look alone:
	seen uint64 // turns when it was looked at last
	age  int    // for how many looks they have been the same
}

// init prepares the watch of a socket; connections of other kinds have none.
func (w *watch) init(of *watches, conn net.Conn, gone func()) {
	if s, ok := conn.(*socket); ok {
		w.of, w.raw, w.gone = of, s.raw, gone
	}
}

func (w *watch) begin() {
	if w.of == nil {
		return
	}
	w.turns.Add(1)
	if !w.armed.Load() && w.armed.CompareAndSwap(false, true) {
		w.of.arm(w)
	}
}

func (w *watch) end() {
	if turns := w.turns.Load(); turns&1 == 1 {
		w.turns.Store(turns + 1)
	}
}

func (ws *watches) arm(w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.armed = append(ws.armed, w); len(ws.armed) > 1 {
		return
	}
	if ws.timer == nil {
		ws.timer = time.AfterFunc(watchEvery, ws.look)
	} else {
		ws.timer.Reset(watchEvery)
	}
}

// look is called by the timer.
func (ws *watches) look() {
	ws.mu.Lock()
	for _, w := range ws.armed {
		if w.ages() {
			ws.due = append(ws.due, w)
		}
	}
	ws.mu.Unlock()
	for _, w := range ws.due {
		if left(w.raw) && w.turns.Load() == w.seen { // not of another request by now
			w.gone()
		}
	}
	clear(ws.due)
	ws.due = ws.due[:0]
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.disarm(); len(ws.armed) > 0 {
		ws.timer.Reset(watchEvery)
	}
}

// ages counts a look, and tells whether the client is to be looked for.
func (w *watch) ages() bool {
	turns := w.turns.Load()
	if turns&1 == 0 || turns != w.seen {
		w.seen, w.age = turns, 0
		return false
	}
	w.age++
	return w.age&(w.age-1) == 0 || w.age%watchMost == 0
}

// disarm takes out the connections without a request.
func (ws *watches) disarm() {
	kept := ws.armed[:0]
	for _, w := range ws.armed {
		if w.turns.Load()&1 == 0 {
			w.armed.Store(false)
			// A request may have begun in between, which found it armed.
			if w.turns.Load()&1 == 0 || !w.armed.CompareAndSwap(false, true) {
				continue
			}
		}
		kept = append(kept, w)
	}
	clear(ws.armed[len(kept):])
	ws.armed = kept
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
