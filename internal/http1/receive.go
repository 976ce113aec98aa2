package http1

import (
	"errors"
	"os"
	"time"
)

// wait handles requests of a socket until something is left for settle.
func (c *serverConn) wait() fate {
	if c.state.Load() == connNew {
		c.awaitFirst()
	} else {
		c.allowIdle() // the time for the last request's body may have passed
	}
	c.drained = false // what came until now makes the socket ready no more
	err := c.in.raw.Read(c.onReadable)
	switch {
	case err == nil:
		return c.stopped
	case c.looked || c.state.Load() != connIdle || !errors.Is(err, os.ErrDeadlineExceeded):
		return fateClosed
	}
	c.looked = true
	return fateRests
}

// lookAgain is how soon a connection that waits is read once more. The end that
// came together with the bytes before it, which were all that a read had room
// to tell of, makes a socket ready no more.
const lookAgain = 250 * time.Millisecond

// allowIdle sets the time for the next request.
func (c *serverConn) allowIdle() {
	now, idle := clock(), c.server.options.IdleTimeout
	if !c.looked {
		c.rested.Store(now)
	}
	switch {
	case idle <= lookAgain:
		c.looked = true
	case c.looked:
		idle -= lookAgain
	default:
		idle = lookAgain
	}
	c.reading.allowAt(now, idle)
}

// awaitFirst sets the time for the first request.
func (c *serverConn) awaitFirst() {
	c.reading.restart(c.server.options.HeaderTimeout)
	if c.server.isClosing() && c.server.dismissed.Load() {
		c.reading.restart(newConnGrace)
	}
}

// readable is the socket's callback; see syscall.RawConn. It returns false to
// be called again when something has come.
func (c *serverConn) readable(fd uintptr) bool {
	c.fd, c.held = fd, true // until the callback returns
	if c.in.tls != nil {
		c.in.tls.hold(fd)
	}
	defer c.leave()
	for {
		if c.in.buffered() == 0 || c.partial {
			drained, err := c.in.poll(fd)
			if err == errAgain {
				if !c.in.torn() {
					c.await()
				} else if c.activate() {
					c.awaitHead() // which each piece would put off otherwise
				} else {
					return c.stop(fateClosed)
				}
				return false
			}
			if err != nil {
				return c.stop(fateClosed)
			}
			c.drained = drained
		}
		if !c.activate() {
			return c.stop(fateClosed)
		}
		begun, err := c.scan()
		if err != nil {
			c.refusal = err
			return c.stop(fateRefused)
		}
		if !begun {
			c.awaitHead()
			if c.drained {
				return false
			}
			continue
		}
		c.partial = false
		if c.framing.kind != bodyNone && !c.bodyThere(fd) {
			return c.stop(fateBody)
		}
		if f := c.answer(); f != fateKept {
			return c.stop(f)
		}
		if c.in.buffered() == 0 && c.drained {
			c.await()
			return false
		}
	}
}

// leave ends the callback.
func (c *serverConn) leave() {
	if c.held = false; c.in.tls != nil {
		c.in.tls.release()
	}
}

// bodyThere tells whether the whole body of a request has come, as that of most
// requests that have one: it is then handled as others are.
func (c *serverConn) bodyThere(fd uintptr) bool {
	f := &c.framing
	if c.in.from = smallInputs; f.length > int64(smallInputs.size) {
		c.in.from = largeInputs // the next request will be as large
	}
	if f.kind != bodyFixed || f.expect || f.length > int64(largeInputs.size) {
		return false
	}
	c.in.reserve(int(f.length))
	for int64(c.in.buffered()) < f.length && !c.drained {
		drained, err := c.in.poll(fd)
		if err != nil {
			return false // whoever waits for the body meets it again
		}
		c.drained = drained
	}
	return int64(c.in.buffered()) >= f.length
}

// scan begins a request if its head is whole.
func (c *serverConn) scan() (begun bool, err error) {
	for !begun && c.in.buffered() > 0 {
		head, whole, err := c.in.scan(c.server.options.MaxHeader)
		if err != nil || !whole {
			return false, err
		}
		if begun, err = c.begin(head); err != nil {
			return false, err
		}
	}
	return begun, nil
}

func (c *serverConn) stop(f fate) bool {
	c.stopped = f
	return true
}

// await prepares for a request, without a buffer.
func (c *serverConn) await() {
	c.in.release()
	if !c.partial && c.state.Load() != connNew {
		c.allowIdle()
	}
}

// activate is called when something of a request has come. It fails if the server
// has closed the connection.
func (c *serverConn) activate() bool {
	c.looked = false
	for _, state := range [...]int32{connIdle, connNew, connHead} {
		if c.state.CompareAndSwap(state, connActive) {
			return true
		}
	}
	return c.state.Load() == connActive
}

// awaitHead is called before the rest of a head is waited for.
func (c *serverConn) awaitHead() {
	c.state.CompareAndSwap(connActive, connHead)
	if !c.partial {
		c.partial = true
		c.reading.restart(c.server.options.HeaderTimeout)
	}
}

// begin reads a request's head. One empty line may come before it (RFC 9112,
// section 2.2).
func (c *serverConn) begin(head []byte) (begun bool, err error) {
	if len(head) == 0 {
		if c.blank {
			return false, refuse(400, "empty lines in the place of a request")
		}
		c.blank = true
		return false, nil
	}
	c.blank = false
	r := requests.Get().(*received)
	c.request, r.Conn = r, &c.conn
	if err := parseRequest(&r.Request, r.texts.Of(head), r.fields[:0]); err != nil {
		return false, err
	}
	c.framing, err = frameRequest(&r.Request)
	return true, err
}

// next reads and handles one request of a connection that is no socket.
func (c *serverConn) next() fate {
	if c.state.Load() == connNew {
		c.awaitFirst()
	} else {
		now := clock()
		c.rested.Store(now)
		c.reading.allowAt(now, c.server.options.IdleTimeout)
	}
	if err := c.in.await(); err != nil || !c.activate() {
		return fateClosed
	}
	c.partial, c.in.readable = false, c.headRead
	defer func() { c.partial = false }()
	for begun := false; !begun; {
		var head []byte
		err := c.in.await()
		if err == nil {
			head, err = c.in.head(c.server.options.MaxHeader)
		}
		if err == nil {
			begun, err = c.begin(head)
		}
		if c.refusal = err; err != nil {
			return fateRefused
		}
	}
	if !c.activate() {
		return fateClosed
	}
	c.in.readable = nil
	return c.answer()
}

// headRead is called before the connection is read for the rest of a head.
func (c *serverConn) headRead() error {
	c.awaitHead()
	return nil
}
