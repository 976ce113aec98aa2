package server

import (
	"net"
	"sync"
	"time"
)

// gatheredMost bounds what a connection gathers, in bytes; whoever writes more
// waits.
const gatheredMost = 64 << 10

// gatheredSize has room for that and for what then comes at once: a frame.
const gatheredSize = gatheredMost + maxFrame + 4<<10

// gatherBuffers are for more than a buffer of copyBuffers takes.
var gatherBuffers = sync.Pool{New: func() any { b := make([]byte, gatheredSize); return &b }}

// gathered is a connection whose writes are gathered: what is written while
// others have something to do goes out together. net/http's HTTP/2 writes each
// frame by itself, so that a response would cost two records of TLS and two
// system calls.
type gathered struct {
	net.Conn
	patience time.Duration // for the other end to take something

	mu      sync.Mutex
	changed sync.Cond
	pending *[]byte // of copyBuffers or gatherBuffers; nil if there is nothing
	writing bool    // a goroutine does
	err     error
}

func gather(c net.Conn, patience time.Duration) *gathered {
	g := &gathered{Conn: c, patience: patience}
	g.changed.L = &g.mu
	return g
}

// Write takes what is to be written. Its failure is told by a later call.
func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.pending != nil && len(*g.pending) >= gatheredMost && g.err == nil {
		g.changed.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	if g.pending == nil {
		g.pending = copyBuffers.Get().(*[]byte)
		*g.pending = (*g.pending)[:0]
	}
	if size := len(*g.pending) + len(p); size > cap(*g.pending) && size <= gatheredSize {
		small, large := g.pending, gatherBuffers.Get().(*[]byte)
		*large = append((*large)[:0], *small...)
		g.pending = large
		putGathered(small)
	}
	*g.pending = append(*g.pending, p...)
	if !g.writing {
		g.writing = true
		go g.flush()
	}
	return len(p), nil
}

// flush writes until there is nothing left.
func (g *gathered) flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.pending != nil && g.err == nil {
		out := g.pending
		g.pending = nil
		g.mu.Unlock()
		g.Conn.SetWriteDeadline(time.Now().Add(g.patience))
		_, err := g.Conn.Write(*out)
		putGathered(out)
		g.mu.Lock()
		g.err = err
		g.changed.Broadcast()
	}
	g.writing = false
	g.changed.Broadcast()
}

// putGathered gives a buffer back to where it is from.
func putGathered(b *[]byte) {
	switch *b = (*b)[:cap(*b)]; len(*b) {
	case copySize:
		copyBuffers.Put(b)
	case gatheredSize:
		gatherBuffers.Put(b)
	}
}

// SetWriteDeadline has no effect: the connection has patience of its own.
func (g *gathered) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets that of reading.
func (g *gathered) SetDeadline(t time.Time) error { return g.Conn.SetReadDeadline(t) }

// Close writes what is left before.
func (g *gathered) Close() error {
	g.mu.Lock()
	for g.writing && g.err == nil {
		g.changed.Wait()
	}
	if g.err == nil {
		g.err = net.ErrClosed
	}
	g.mu.Unlock()
	return g.Conn.Close()
}
