package http1

import (
	"context"
	"sync"
)

// Context is the context of a server's connection, or of a stream of one, which
// its requests are given. Exchanges with servers hang on it without the
// allocations that context.AfterFunc would cost each of them.
type Context struct {
	context.Context
	end context.CancelCauseFunc

	mu    sync.Mutex
	ended bool
	first *exchange // of those that hang on it
}

// NewContext is a context that has not ended.
func NewContext() *Context {
	c := &Context{}
	c.Context, c.end = context.WithCancelCause(context.Background())
	return c
}

// Cancel ends the context and interrupts the exchanges.
func (c *Context) Cancel(cause error) {
	c.end(cause)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for x := c.first; x != nil; x = x.next {
		x.interrupt()
	}
}

// attach hangs an exchange on the context, and tells whether that has not ended.
func (c *Context) attach(x *exchange) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	if x.next = c.first; x.next != nil {
		x.next.previous = x
	}
	c.first = x
	return true
}

// detach takes an exchange off, and tells whether it was not interrupted.
func (c *Context) detach(x *exchange) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.previous != nil {
		x.previous.next = x.next
	} else if c.first == x {
		c.first = x.next
	}
	if x.next != nil {
		x.next.previous = x.previous
	}
	x.next, x.previous = nil, nil
	return !c.ended
}
