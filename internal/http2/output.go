package http2

import (
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1"
)

const (
	smallOut = 16 << 10
	// pendingMost bounds what a connection gathers, in bytes; whoever wants to
	// write more waits.
	pendingMost = 64 << 10
	// largeOut has room for that and for what then comes at once.
	largeOut = pendingMost + maxFrame + 4<<10
)

var (
	smallOuts = sync.Pool{New: func() any { b := make([]byte, 0, smallOut); return &b }}
	largeOuts = sync.Pool{New: func() any { b := make([]byte, 0, largeOut); return &b }}
)

// putOut gives a buffer back to where it is from.
func putOut(b *[]byte) {
	switch *b = (*b)[:0]; cap(*b) {
	case smallOut:
		smallOuts.Put(b)
	case largeOut:
		largeOuts.Put(b)
	}
}

// room is the buffer of what is to be written, with room for so many bytes more.
// The lock is held.
func (c *conn) room(n int) *[]byte {
	if c.out == nil {
		c.out = smallOuts.Get().(*[]byte)
	}
	if size := len(*c.out) + n; size > cap(*c.out) && size <= largeOut {
		small := c.out
		c.out = largeOuts.Get().(*[]byte)
		*c.out = append(*c.out, *small...)
		putOut(small)
	}
	return c.out
}

// awaitRoom waits until something may be written that the client makes the
// server write. The lock is held, and let go meanwhile.
func (c *conn) awaitRoom() error {
	for c.out != nil && len(*c.out) >= pendingMost && c.failed == nil {
		c.changed.Wait()
	}
	return c.failed
}

// flushSoon has written what there is. The lock is held.
func (c *conn) flushSoon() {
	if !c.flushing {
		c.flushing = true
		go c.flusher()
	}
}

// flush writes until there is nothing left. Others who can write go first, so that
// it goes out together.
func (c *conn) flush() {
	runtime.Gosched()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out != nil && c.failed == nil {
		out := c.out
		c.out = nil
		c.mu.Unlock()
		c.conn.SetWriteDeadline(time.Now().Add(c.server.options.StallTimeout))
		_, err := c.conn.Write(*out)
		putOut(out)
		c.mu.Lock()
		if err != nil {
			c.fail(errors.Join(http1.ErrGone, err))
		}
		c.changed.Broadcast()
	}
	if c.stage == stageOver && c.failed == nil {
		c.conn.SetReadDeadline(time.Now().Add(lingerTime))
		c.mu.Unlock()
		c.halfClose()
		c.mu.Lock()
	}
	c.flushing = false
	c.changed.Broadcast()
}
