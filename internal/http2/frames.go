package http2

import (
	"encoding/binary"
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// readFrames reads frames until the connection ends, or the client does what it
// may not.
func (c *conn) readFrames() error {
	b, err := c.in.take(len(preface))
	if err != nil {
		return err
	}
	if string(b) != preface {
		return broken(codeProtocol, "no preface")
	}
	for first := true; ; first = false {
		b, err := c.in.take(frameHeaderSize)
		if err != nil {
			return err
		}
		h := parseFrameHeader(b)
		switch {
		case h.length > maxFrame:
			return broken(codeFrameSize, "a frame of %d bytes", h.length)
		case first && (h.kind != frameSettings || h.has(flagAck)):
			return broken(codeProtocol, "no settings at the beginning")
		case c.block.open && (h.kind != frameContinuation || h.stream != c.block.stream):
			return broken(codeProtocol, "a header block that another frame interrupts")
		}
		if err := c.readFrame(h); err != nil {
			return err
		}
	}
}

func (c *conn) readFrame(h frameHeader) error {
	switch h.kind {
	case frameData:
		return c.readData(h)
	case frameHeaders:
		return c.readHeaders(h)
	case frameContinuation:
		return c.readContinuation(h)
	case framePriority:
		return c.readPriority(h)
	case frameReset:
		return c.readReset(h)
	case frameSettings:
		return c.readSettings(h)
	case framePing:
		return c.readPing(h)
	case frameGoAway:
		if h.stream != 0 {
			return broken(codeProtocol, "GOAWAY of a stream")
		}
		// The client will take its answers, and send no more.
		return c.in.skip(h.length)
	case frameWindow:
		return c.readWindow(h)
	case framePush:
		return broken(codeProtocol, "a push from a client")
	}
	// Unknown types are to be ignored (RFC 9113, section 5.5).
	if err := c.costs(1); err != nil {
		return err
	}
	return c.in.skip(h.length)
}

// readPadding reads how much of a frame's payload is padding, and how much else
// is left of it.
func (c *conn) readPadding(h frameHeader) (left, padding int, err error) {
	if !h.has(flagPadded) {
		return h.length, 0, nil
	}
	if h.length == 0 {
		return 0, 0, broken(codeFrameSize, "a padded frame that is empty")
	}
	b, err := c.in.take(1)
	if err != nil {
		return 0, 0, err
	}
	return h.length - 1 - int(b[0]), int(b[0]), nil
}

// costs is fault without the lock held.
func (c *conn) costs(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault(n)
}

// reading counts a frame that costs something, and waits until an answer to it
// may be written. The lock is held.
func (c *conn) reading(cost int) error {
	if err := c.fault(cost); err != nil {
		return err
	}
	return c.awaitRoom()
}

func (c *conn) readSettings(h frameHeader) error {
	switch {
	case h.stream != 0:
		return broken(codeProtocol, "settings of a stream")
	case h.has(flagAck) && h.length != 0, h.length%settingSize != 0:
		return broken(codeFrameSize, "settings of %d bytes", h.length)
	case h.has(flagAck):
		return nil
	}
	type setting struct {
		id    uint16
		value uint32
	}
	settings := make([]setting, 0, 8) // as many as most have; no more than a frame's
	for range h.length / settingSize {
		b, err := c.in.take(settingSize)
		if err != nil {
			return err
		}
		settings = append(settings, setting{binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:])})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reading(1); err != nil {
		return err
	}
	// The acknowledgement goes out before anything that they allow (RFC 9113,
	// section 6.5.3).
	for _, s := range settings {
		if err := c.set(s.id, s.value); err != nil {
			return err
		}
	}
	c.settled = true
	b := c.room(frameHeaderSize)
	*b = appendFrame(*b, 0, frameSettings, flagAck, 0)
	c.flushSoon()
	return nil
}

// set takes one of the client's settings.
func (c *conn) set(id uint16, value uint32) error {
	switch id {
	case settingTableSize:
		// A table that becomes smaller must be told in the next block (RFC 7541,
		// section 4.2); none is used at all.
		c.mustTell = c.mustTell || value < tableSize && !c.emptied
	case settingPush:
		if value > 1 {
			return broken(codeProtocol, "a setting ENABLE_PUSH of %d", value)
		}
	case settingFrame:
		if value < maxFrame || value > 1<<24-1 {
			return broken(codeProtocol, "a setting MAX_FRAME_SIZE of %d", value)
		}
	case settingWindow:
		if value > maxWindow {
			return broken(codeFlowControl, "a setting INITIAL_WINDOW_SIZE of %d", value)
		}
		more := int64(value) - c.initialWindow
		c.initialWindow = int64(value)
		for _, s := range c.streams {
			if s.sendWindow += more; s.sendWindow > maxWindow {
				return broken(codeFlowControl, "a window that is too large")
			}
			s.writing.wake()
		}
	}
	return nil
}

func (c *conn) readPing(h frameHeader) error {
	switch {
	case h.stream != 0:
		return broken(codeProtocol, "a ping of a stream")
	case h.length != 8:
		return broken(codeFrameSize, "a ping of %d bytes", h.length)
	}
	payload, err := c.in.take(8)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.has(flagAck) {
		if string(payload) == endPing {
			c.settleEnd()
		}
		return c.fault(1)
	}
	if err := c.reading(1); err != nil || c.stage == stageOver {
		return err
	}
	b := c.room(frameHeaderSize + 8)
	*b = append(appendFrame(*b, 8, framePing, flagAck, 0), payload...)
	c.flushSoon()
	return nil
}

// leastGrant is how much a window has to grow by, in bytes, to be no fault: the
// sum of what is granted is bounded, and so is the number of such frames.
const leastGrant = 512

func (c *conn) readWindow(h frameHeader) error {
	if h.length != 4 {
		return broken(codeFrameSize, "WINDOW_UPDATE of %d bytes", h.length)
	}
	b, err := c.in.take(4)
	if err != nil {
		return err
	}
	more := int64(binary.BigEndian.Uint32(b) & maxWindow)
	c.mu.Lock()
	defer c.mu.Unlock()
	if more < leastGrant {
		if err := c.fault(1); err != nil {
			return err
		}
	}
	if h.stream == 0 {
		if c.sendWindow += more; c.sendWindow > maxWindow {
			return broken(codeFlowControl, "a window that is too large")
		}
		if more == 0 {
			return broken(codeProtocol, "a window that does not grow")
		}
		for _, s := range c.streams {
			s.writing.wake()
		}
		return nil
	}
	s, err := c.find(h.stream)
	if s == nil || err != nil {
		return err
	}
	if more == 0 {
		return c.refuse(s, codeProtocol, "a window that does not grow")
	}
	if s.sendWindow += more; s.sendWindow > maxWindow {
		return c.refuse(s, codeFlowControl, "a window that is too large")
	}
	s.writing.wake()
	return nil
}

func (c *conn) readReset(h frameHeader) error {
	if h.length != 4 {
		return broken(codeFrameSize, "RST_STREAM of %d bytes", h.length)
	}
	if _, err := c.in.take(4); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fault(1); err != nil {
		return err
	}
	s, err := c.find(h.stream)
	if s == nil || err != nil {
		return err
	}
	s.fail(errReset)
	c.closed(s)
	return nil
}

func (c *conn) readPriority(h frameHeader) error {
	if h.stream == 0 {
		return broken(codeProtocol, "a priority of no stream")
	}
	if h.length != 5 {
		if err := c.in.skip(h.length); err != nil {
			return err
		}
		return c.refuseID(h.stream, codeFrameSize)
	}
	b, err := c.in.take(5)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(b)&maxWindow == h.stream {
		return c.refuseID(h.stream, codeProtocol)
	}
	return c.costs(1)
}

// find is an open stream; nil if it has ended. Of one that the client has not
// begun yet there may be no frames.
func (c *conn) find(id uint32) (*stream, error) {
	if s := c.streams[id]; s != nil {
		return s, nil
	}
	if id == 0 || id%2 == 0 || id > c.last && c.stage < stageLast {
		return nil, broken(codeProtocol, "a frame of a stream that has not begun")
	}
	return nil, nil
}

// refuseID resets a stream that may not be open.
func (c *conn) refuseID(id uint32, x code) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[id]; s != nil {
		return c.refuse(s, x, "a frame that is not right")
	}
	return c.resetID(id, x)
}

// resetID tells the client that a stream is not served. The lock is held.
func (c *conn) resetID(id uint32, x code) error {
	if err := c.reading(10); err != nil {
		return err
	}
	c.ownReset.add(id)
	if c.stage < stageOver {
		c.append(appendReset, id, x)
	}
	return nil
}

// refuse resets a stream because of what the client sent. The lock is held.
func (c *conn) refuse(s *stream, x code, reason string) error {
	c.server.options.Log.Debug("HTTP/2 stream reset", "client", c.conn.RemoteAddr(), "reason", reason)
	s.fail(errMalformed)
	c.closed(s)
	return c.resetID(s.id, x)
}
