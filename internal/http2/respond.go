package http2

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/isthmus-net/isthmus/internal/http1"
)

const copySize = 32 << 10

var copies = sync.Pool{New: func() any { b := make([]byte, copySize); return &b }}

// Errors of a response's body.
var (
	errLonger  = errors.New("a body that is longer than its length")
	errShorter = errors.New("a body that is shorter than its length")
	// errSlowReader: see http1.Pace.
	errSlowReader = errors.New("HTTP/2: the client takes the response too slowly")
)

// send writes a response, whose body is passed on as it comes. After an error
// the stream is to be reset.
func (s *stream) send(r *http1.Response) (sent int64, err error) {
	bodiless := s.request.Method == "HEAD" || r.Status < 200 || r.Status == 204 || r.Status == 304
	if bodiless || r.Body == nil {
		return 0, s.writeHead(r, bodiless, nil, true)
	}
	pooled := copies.Get().(*[]byte)
	defer copies.Put(pooled)
	head := true // is still to be sent
	for {
		if head && r.HeadFirst() {
			if err := s.writeHead(r, false, nil, false); err != nil {
				return 0, err
			}
			head = false
		}
		n, readErr := r.Body.Read(*pooled)
		for readErr == nil && r.Length >= 0 && sent+int64(n) == r.Length && n < len(*pooled) {
			// The end is sent with what comes last.
			var more int
			more, readErr = r.Body.Read((*pooled)[n:])
			n += more
		}
		switch {
		case r.Length >= 0 && sent+int64(n) > r.Length:
			return sent, errLonger
		case readErr == io.EOF && r.Length >= 0 && sent+int64(n) != r.Length:
			readErr = errShorter
		}
		var trailer http.Header
		if readErr == io.EOF {
			trailer = Trailer(r.Body)
		}
		end := readErr == io.EOF && len(trailer) == 0
		if head {
			err, head = s.writeHead(r, false, (*pooled)[:n], end), false
		} else if n > 0 || end {
			err = s.writeData((*pooled)[:n], end)
		}
		if err != nil {
			return sent, err
		}
		sent += int64(n)
		switch {
		case len(trailer) > 0:
			return sent, s.writeTrailer(trailer)
		case readErr == io.EOF:
			return sent, nil
		case readErr != nil:
			return sent, readErr
		}
	}
}

// writeHead writes the header of a response and the beginning of its body, which
// may be all of it.
func (s *stream) writeHead(r *http1.Response, bodiless bool, body []byte, end bool) error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	final := end && len(body) == 0
	out, start := c.beginHeaders(s.id)
	*out = appendHeader(*out, r, bodiless)
	for i := range r.Header {
		if f := &r.Header[i]; len(f.Name) == len("connection") && strings.EqualFold(f.Name, "connection") && strings.EqualFold(f.Value, "close") {
			defer c.closeBehind()
		}
	}
	endHeaders(out, start, s.id, final)
	if final {
		s.finish()
	}
	c.flushSoon()
	if len(body) == 0 {
		return nil
	}
	return s.writeLocked(body, end)
}

// beginHeaders begins a header block, whose first frame is at start. The lock is
// held.
func (c *conn) beginHeaders(id uint32) (out *[]byte, start int) {
	out = c.room(2 << 10)
	start = len(*out)
	*out = appendFrame(*out, 0, frameHeaders, 0, id)
	if c.mustTell {
		*out = append(*out, tableEmpty)
		c.mustTell, c.emptied = false, true
	}
	return out, start
}

// endHeaders frames a header block that was appended.
func endHeaders(out *[]byte, start int, id uint32, end bool) {
	frame := (*out)[start:]
	if end {
		frame[4] |= flagEndStream
	}
	size := len(frame) - frameHeaderSize
	if size <= maxFrame {
		frame[4] |= flagEndHeaders
		putLength(frame, size)
		return
	}
	block := append([]byte(nil), frame[frameHeaderSize:]...)
	putLength(frame, maxFrame)
	*out = (*out)[:start+frameHeaderSize+maxFrame]
	for block = block[maxFrame:]; len(block) > 0; {
		n, flags := min(len(block), maxFrame), uint8(0)
		if n == len(block) {
			flags = flagEndHeaders
		}
		*out = append(appendFrame(*out, n, frameContinuation, flags, id), block[:n]...)
		block = block[n:]
	}
}

// closeBehind ends the connection behind the requests that have come, as a
// response asks for.
func (c *conn) closeBehind() {
	if c.stage == stageOpen {
		c.stage = stageAnnounced
		c.settleEnd()
	}
}

// ready waits until something may be written. The lock is held.
func (s *stream) ready() error {
	if err := s.conn.awaitRoom(); err != nil {
		return gone(err)
	}
	if s.failed != nil {
		return gone(s.failed)
	}
	return nil
}

func gone(err error) error {
	if errors.Is(err, http1.ErrGone) {
		return err
	}
	return errors.Join(http1.ErrGone, err)
}

func (s *stream) writeData(p []byte, end bool) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.writeLocked(p, end)
}

// writeLocked writes a part of a body, as the client grants it. The lock is
// held, and let go meanwhile.
func (s *stream) writeLocked(p []byte, end bool) error {
	c := s.conn
	for {
		if err := s.ready(); err != nil {
			return err
		}
		n := int(min(int64(len(p)), maxFrame, s.sendWindow, c.sendWindow))
		if n <= 0 && len(p) > 0 {
			if !s.await(&s.writing, &s.sent) {
				return errors.Join(http1.ErrGone, errSlowReader)
			}
			continue
		}
		flags := uint8(0)
		if end && n == len(p) {
			flags = flagEndStream
		}
		s.sendWindow -= int64(n)
		c.sendWindow -= int64(n)
		out := c.room(frameHeaderSize + n)
		*out = append(appendFrame(*out, n, frameData, flags, s.id), p[:n]...)
		c.flushSoon()
		c.merit(1)
		s.sent.Move(n, 0)
		s.move()
		if p = p[n:]; len(p) == 0 {
			if end {
				s.finish()
			}
			return nil
		}
	}
}

// writeTrailer writes the fields behind a body, and ends the stream.
func (s *stream) writeTrailer(trailer http.Header) error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	out, start := c.beginHeaders(s.id)
	for name, values := range trailer {
		for _, v := range values {
			if !isFraming(name) {
				*out = appendField(*out, name, v)
			}
		}
	}
	endHeaders(out, start, s.id, true)
	s.finish()
	c.flushSoon()
	return nil
}

// finish tells that all of the response was written. The lock is held.
func (s *stream) finish() {
	s.answered = true
	if s.ended {
		s.conn.closed(s)
	}
}

// isFraming tells whether a field concerns one connection only, or is this
// package's to write.
func isFraming(name string) bool {
	return http1.IsHop(name) || len(name) == len("content-length") && strings.EqualFold(name, "content-length")
}

// appendHeader appends a response's fields.
func appendHeader(b []byte, r *http1.Response, bodiless bool) []byte {
	b = appendStatus(b, r.Status)
	dated := false
	for i := range r.Header {
		f := &r.Header[i]
		if isFraming(f.Name) || !http1.Token(f.Name) {
			continue
		}
		dated = dated || len(f.Name) == len("date") && strings.EqualFold(f.Name, "date")
		b = appendField(b, f.Name, f.Value)
	}
	if !dated {
		b = appendField(b, "date", http1.Date())
	}
	switch {
	case !bodiless && r.Body == nil:
		b = appendLength(b, 0)
	case !bodiless && r.Length >= 0:
		b = appendLength(b, r.Length)
	case bodiless && r.Status >= 200 && r.Status != 204 && r.Status != 304:
		// The length that the response to a GET would have (RFC 9110, section
		// 8.6). With status 304, which may have one too, there are clients that
		// wait for the body.
		if n, err := strconv.ParseUint(r.Header.Get("Content-Length"), 10, 63); err == nil {
			b = appendLength(b, int64(n))
		}
	}
	return b
}

func appendLength(b []byte, n int64) []byte {
	var digits [20]byte
	value := strconv.AppendInt(digits[:0], n, 10)
	b = appendInteger(b, literal, literalPrefix, int(staticNames["content-length"]))
	b = appendInteger(b, 0, stringPrefix, len(value))
	return append(b, value...)
}
