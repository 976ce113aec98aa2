package http1

import (
	"errors"
	"io"
	"time"
)

// closes tells whether a response asks for its connection to be closed.
func closes(r *Response) bool {
	for value := range r.Header.All("connection") {
		if wantsClose(value, false) {
			return true
		}
	}
	return false
}

// Buffered is what a response's body may implement: how many bytes can be read
// without waiting. If it says none, the head is sent before the body is read;
// so it is for a body that does not say, if its length is not known.
type Buffered interface{ Buffered() int }

// HeadFirst tells whether a response's head is to be sent before its body is read.
func (r *Response) HeadFirst() bool {
	if b, ok := r.Body.(Buffered); ok {
		return b.Buffered() == 0
	}
	return r.Length < 0
}

// send writes a response, whose body is passed on as it comes.
func (c *serverConn) send(method string, minor int, r *Response, closing bool) (sent int64, err error) {
	c.pace = Pace{}
	pooled := outputs.Get().(*[]byte)
	defer outputs.Put(pooled)
	bodiless := method == "HEAD" || r.Status < 200 || r.Status == 204 || r.Status == 304
	kind := bodyFixed
	switch {
	case bodiless || r.Body == nil:
		kind = bodyNone
	case r.Length < 0 && minor > 0:
		kind = bodyChunked
	case r.Length < 0:
		kind = bodyUntilClose
	}
	b := appendHead((*pooled)[:0], r, kind, bodiless, closing || kind == bodyUntilClose, minor)
	if kind == bodyNone {
		return 0, c.write(b)
	}
	if r.HeadFirst() || len(b) > outputSize/2 {
		if err := c.write(b); err != nil {
			return 0, err
		}
		b = (*pooled)[:0]
	}
	return c.sendBody(r, kind == bodyChunked, (*pooled)[:outputSize], len(b))
}

// sendBody writes a body. The first head bytes of the buffer are written with
// its beginning.
func (c *serverConn) sendBody(r *Response, chunked bool, buf []byte, head int) (sent int64, err error) {
	before, after := 0, 0
	if chunked {
		before, after = chunkHeader, len("\r\n"+lastChunk)
	}
	for {
		n, readErr := r.Body.Read(buf[head+before : len(buf)-after])
		out := buf[:head]
		if n > 0 {
			if chunked {
				putChunkHeader(buf[head:], n)
			}
			out = buf[:head+before+n]
			if chunked {
				out = append(out, "\r\n"...)
			}
		}
		if readErr == io.EOF && chunked {
			out = append(out, lastChunk...)
		}
		if len(out) > 0 {
			if err := c.write(out); err != nil {
				return sent, err
			}
			head, sent = 0, sent+int64(n)
		}
		if over, err := r.over(sent, readErr); over {
			return sent, err
		}
		if r.Length-sent >= leastPiped && c.in.raw != nil && c.in.tls == nil {
			if over, err := c.sendPiped(r, &sent); over {
				return sent, err
			}
		}
	}
}

// over tells whether a body has ended after so many bytes, and how.
func (r *Response) over(sent int64, readErr error) (bool, error) {
	switch {
	case r.Length >= 0 && sent > r.Length:
		return true, errLonger
	case readErr == io.EOF && r.Length >= 0 && sent != r.Length:
		return true, io.ErrUnexpectedEOF
	case readErr == io.EOF:
		return true, nil
	}
	return readErr != nil, readErr
}

// sendPiped writes what comes next of a body through a pipe, if that can be done.
func (c *serverConn) sendPiped(r *Response, sent *int64) (over bool, err error) {
	body, ok := r.Body.(Piped)
	if !ok {
		return false, nil
	}
	pipe := takePipe()
	if pipe == nil {
		return false, nil
	}
	defer pipe.put()
	for {
		n, readErr := body.ReadPipe(pipe)
		if readErr == errors.ErrUnsupported {
			return false, nil
		}
		if n > 0 {
			if err := c.writePipe(pipe); err != nil {
				return true, err
			}
			*sent += int64(n)
		}
		if over, err := r.over(*sent, readErr); over {
			return true, err
		}
	}
}

var errLonger = errors.New("a body that is longer than its length")

// write writes to the client, which may not take it too slowly.
func (c *serverConn) write(b []byte) error {
	if c.in.raw == nil || c.in.tls != nil {
		before := clock()
		c.writing.allowAt(before, c.pace.Patience(&c.server.options))
		n, err := c.conn.Write(b)
		c.pace.Move(n, time.Duration(clock()-before))
		if err != nil {
			return errors.Join(ErrGone, err)
		}
		return nil
	}
	if c.held {
		n, err := writeNow(c.fd, b)
		c.pace.Move(n, 0)
		if b = b[n:]; err == nil {
			return nil
		} else if err != errAgain {
			return errors.Join(ErrGone, err)
		}
	}
	c.out = b
	return c.writeRest()
}

// writePipe is write, of what is in a pipe.
func (c *serverConn) writePipe(p *Pipe) error {
	if c.held {
		n, err := p.drain(c.fd)
		c.pace.Move(n, 0)
		if err == nil {
			return nil
		} else if err != errAgain {
			return errors.Join(ErrGone, err)
		}
	}
	c.outPipe = p
	return c.writeRest()
}

// writeRest waits until what is to be written has been.
func (c *serverConn) writeRest() error {
	c.outErr = nil
	err := c.in.raw.Write(c.onWritable)
	if c.out, c.outPipe = nil, nil; c.blocked != 0 {
		c.blocked = 0
		c.socket.SetWriteDeadline(time.Time{})
	}
	if err == nil {
		err = c.outErr
	}
	if err != nil {
		return errors.Join(ErrGone, err)
	}
	return nil
}

// writable is the socket's callback. The deadline is set only if the client is
// waited for.
func (c *serverConn) writable(fd uintptr) bool {
	if c.blocked != 0 {
		c.pace.Move(0, time.Duration(clock()-c.blocked))
	}
	n, err := 0, error(nil)
	if c.outPipe != nil {
		n, err = c.outPipe.drain(fd)
	} else {
		n, err = writeNow(fd, c.out)
		c.out = c.out[n:]
	}
	c.pace.Move(n, 0)
	if err == errAgain {
		c.blocked = clock()
		c.socket.SetWriteDeadline(time.Now().Add(c.pace.Patience(&c.server.options)))
		return false
	}
	c.outErr = err
	return true
}

// appendHead appends a response's head, with the fields that frame it.
func appendHead(b []byte, r *Response, kind bodyKind, bodiless, closing bool, minor int) []byte {
	b = appendStatus(b, r.Status)
	dated := false
	for range r.Header.All("date") {
		dated = true
	}
	if !dated {
		b = appendDate(b)
	}
	b = appendFields(b, r.Header)
	switch {
	case kind == bodyFixed:
		b = appendLength(b, r.Length)
	case kind == bodyChunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case kind == bodyNone && !bodiless:
		b = appendLength(b, 0)
	case bodiless && r.Status >= 200 && r.Status != 204:
		// The length that the response to a GET would have (RFC 9110,
		// section 8.6).
		for value := range r.Header.All("content-length") {
			if n, err := parseLength(value); err == nil {
				b = appendLength(b, n)
				break
			}
		}
	}
	switch {
	case closing:
		b = append(b, "Connection: close\r\n"...)
	case minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}
