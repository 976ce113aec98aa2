package http2

import (
	"io"
	"net/http"
	"sync"

	"github.com/isthmus-net/isthmus/internal/http1"
)

const smallBody = 16 << 10

// bodies are for what has come of a body that nobody has read yet.
var bodies = sync.Pool{New: func() any { b := make([]byte, 0, smallBody); return &b }}

func (c *conn) readData(h frameHeader) error {
	if h.stream == 0 {
		return broken(codeProtocol, "data of no stream")
	}
	size, padding, err := c.readPadding(h)
	if err != nil {
		return err
	}
	if size < 0 {
		return broken(codeProtocol, "padding that is longer than its frame")
	}
	c.mu.Lock()
	s, err := c.beginData(h, size)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := c.in.payload(size, func(p []byte) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.received(s, p)
		return nil
	}); err != nil {
		return err
	}
	if err := c.in.skip(padding); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grant(s, h.length-size)
	if s == nil || !h.has(flagEndStream) || c.streams[s.id] != s {
		return nil
	}
	if s.left > 0 {
		return c.refuse(s, codeProtocol, "a body that is shorter than its length")
	}
	s.endInput()
	return nil
}

// beginData finds the stream of a frame of data; nil if it is to be thrown away.
// The lock is held.
func (c *conn) beginData(h frameHeader, size int) (*stream, error) {
	if c.granted.window -= int64(h.length); c.granted.window < 0 {
		return nil, broken(codeFlowControl, "more data than was granted")
	}
	if size == 0 && !h.has(flagEndStream) {
		if err := c.fault(1); err != nil {
			return nil, err
		}
	} else {
		c.merit(1)
	}
	s, err := c.find(h.stream)
	switch {
	case err != nil:
		return nil, err
	case s == nil && (c.ownReset.has(h.stream) || c.stage >= stageLast):
		return nil, nil // it was on its way
	case s == nil:
		return nil, c.resetID(h.stream, codeStreamClosed)
	case s.ended:
		return nil, c.refuse(s, codeStreamClosed, "data behind the end of a stream")
	}
	if s.granted.window -= int64(h.length); s.granted.window < 0 {
		return nil, c.refuse(s, codeFlowControl, "more data than was granted")
	}
	if s.left >= 0 {
		if s.left -= int64(size); s.left < 0 {
			return nil, c.refuse(s, codeProtocol, "a body that is longer than its length")
		}
	}
	return s, nil
}

// received takes a piece of a body, for a stream that may have ended meanwhile.
func (c *conn) received(s *stream, p []byte) {
	if s == nil || s.failed != nil || c.streams[s.id] != s {
		c.grant(nil, len(p))
		return
	}
	if s.data == nil {
		s.data = *bodies.Get().(*[]byte)
	}
	if s.read > 0 && len(s.data)+len(p) > cap(s.data) {
		s.data = s.data[:copy(s.data, s.data[s.read:])]
		s.read = 0
	}
	s.data = append(s.data, p...)
	s.reading.wake()
}

// endInput tells that the client has sent all of a stream. The lock is held.
func (s *stream) endInput() {
	s.ended = true
	if s.answered {
		s.conn.closed(s)
	}
	s.reading.wake()
}

// grant lets the client send as much again as was taken, of a stream and of the
// connection. Little is not worth a frame, so that these are few.
func (c *conn) grant(s *stream, n int) {
	c.grantWindow(&c.granted, 0, n, connectionBuffer)
	if s != nil && !s.ended && s.failed == nil {
		c.grantWindow(&s.granted, s.id, n, streamBuffer)
	}
}

// granted is what a client may send, of a stream or of the connection.
type granted struct {
	window int64
	taken  int64 // bytes that it has sent, and that may be granted anew
}

func (c *conn) grantWindow(g *granted, stream uint32, n, buffer int) {
	if g.taken += int64(n); g.taken < int64(buffer)/2 {
		return
	}
	b := c.room(frameHeaderSize + 4)
	*b = appendWindow(*b, stream, uint32(g.taken))
	c.flushSoon()
	g.window, g.taken = g.window+g.taken, 0
}

// drop throws away what has come of a body. The lock is held.
func (s *stream) drop() {
	if s.data != nil {
		s.conn.grant(nil, len(s.data)-s.read)
		s.putData()
	}
}

func (s *stream) putData() {
	if data := s.data[:0]; cap(data) == smallBody {
		bodies.Put(&data)
	}
	s.data, s.read = nil, 0
}

// body is a request's body, as its handler sees it. It may be read until the
// response has been sent, by one goroutine at a time.
type body struct {
	stream *stream
	pace   http1.Pace
	err    error // that it has ended with
	copied http.Header
}

func (b *body) Read(p []byte) (int, error) {
	s := b.stream
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	s.move()
	for {
		switch {
		case len(s.data) > s.read:
			n := copy(p, s.data[s.read:])
			if s.read += n; s.read == len(s.data) {
				s.putData()
			}
			b.pace.Move(n, 0)
			s.move()
			c.grant(s, n)
			return n, nil
		case s.failed != nil:
			if b.err = s.failed; b.err != errAnswered {
				b.err = gone(b.err)
			}
			return 0, b.err
		case s.ended:
			b.copyTrailer()
			b.err = io.EOF
			return 0, b.err
		}
		if s.expects {
			s.expects = false
			head := c.room(frameHeaderSize + 5)
			*head = appendStatus(appendFrame(*head, 5, frameHeaders, flagEndHeaders, s.id), 100)
			c.flushSoon()
		}
		if !s.await(&s.reading, &b.pace) {
			b.err = http1.ErrSlow
			return 0, b.err
		}
	}
}

// Trailing is a body behind which fields may follow. Their names are there when
// they were announced, their values when the body has been read to its end.
type Trailing interface {
	Trailer() http.Header
}

// Trailer are the fields behind a body; nil if it has none.
func Trailer(body io.Reader) http.Header {
	if b, ok := body.(Trailing); ok {
		return b.Trailer()
	}
	return nil
}

// Trailer are the fields that the client announced behind the body.
func (b *body) Trailer() http.Header {
	if b.copied == nil && b.stream.trailer != nil {
		b.copied = b.stream.trailer.Clone()
	}
	return b.copied
}

func (b *body) copyTrailer() {
	trailer := b.Trailer()
	for _, f := range b.stream.behind {
		name := http.CanonicalHeaderKey(f.Name)
		trailer[name] = append(trailer[name], f.Value)
	}
}

// Buffered is how many bytes can be read without waiting.
func (b *body) Buffered() int {
	b.stream.conn.mu.Lock()
	defer b.stream.conn.mu.Unlock()
	return len(b.stream.data) - b.stream.read
}
