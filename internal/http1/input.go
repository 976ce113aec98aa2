package http1

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"syscall"
)

// outputSize is the size of buffers for what is written, in bytes. Larger ones
// make large bodies dearer: they leave the CPU's caches.
const outputSize = 32 << 10

// inputs are buffers of one size for what is read. A head that is longer makes
// its buffer grow, up to the head's limit.
type inputs struct {
	size int
	pool sync.Pool
}

// Requests are read into small ones, since any client may hold one for as long
// as a head may take; responses into large ones, to have them with one call.
var smallInputs, largeInputs = newInputs(8 << 10), newInputs(32 << 10)

func newInputs(size int) *inputs {
	return &inputs{size, sync.Pool{New: func() any { return &buffer{make([]byte, size)} }}}
}

// buffer is one of them.
type buffer struct{ b []byte }

// putInput gives a buffer back to where it is from.
func putInput(buf *buffer) {
	switch len(buf.b) {
	case smallInputs.size:
		smallInputs.pool.Put(buf)
	case largeInputs.size:
		largeInputs.pool.Put(buf)
	}
}

// larger makes a larger buffer, of at most the limit.
func larger(buf []byte, limit int) *buffer {
	if len(buf) < largeInputs.size && largeInputs.size <= limit {
		return largeInputs.pool.Get().(*buffer)
	}
	return &buffer{make([]byte, min(limit, 2*len(buf)))}
}

// input reads a connection through a buffer, which it holds only while
// something is in it or is being read.
type input struct {
	conn net.Conn
	raw  syscall.RawConn // of the socket that is read, if it is one
	tls  *socket         // that is below conn; nil without TLS
	from *inputs         // that the next buffer is taken of

	buf  *buffer // nil while idle
	r, w int     // what was read and not consumed is buf.b[r:w]

	scanned int // how much of what was not consumed has been scanned for a head's end
	begun   int // where the line begins that is being scanned

	// readable, if set, is called before each read of the connection; it sets
	// the deadline.
	readable func() error
}

func newInput(conn net.Conn, from *inputs) *input {
	in := &input{conn: conn, from: from}
	if s, ok := conn.(*socket); ok {
		in.raw = s.raw
	}
	return in
}

func (in *input) buffered() int { return in.w - in.r }

// release gives the buffer back if nothing is in it.
func (in *input) release() {
	if in.buf == nil || in.buffered() > 0 {
		return
	}
	putInput(in.buf)
	in.buf, in.r, in.w = nil, 0, 0
}

// await waits for the first byte of a message.
func (in *input) await() error {
	if in.buffered() > 0 {
		return nil
	}
	in.release()
	return in.fill(in.from.size)
}

// poll reads what is there, of a socket, within its callback, without waiting for
// it: errAgain says that there was nothing. drained tells that nothing was left.
func (in *input) poll(fd uintptr) (drained bool, err error) {
	if err := in.room(math.MaxInt); err != nil {
		return false, err
	}
	space := in.buf.b[in.w:]
	n := 0
	if in.tls == nil {
		n, err = readNow(fd, space)
		drained = n < len(space)
	} else {
		n, err = in.conn.Read(space) // another record may have come
	}
	if n > 0 {
		in.w += n
		return drained, nil
	}
	in.release()
	return true, err
}

// torn tells whether the last bytes that came, over TLS, ended within a record.
func (in *input) torn() bool { return in.tls != nil && in.tls.records.within() }

// fill reads more behind what is there, into a buffer of at most limit bytes.
// It fails with errFull if that is full.
func (in *input) fill(limit int) error {
	if err := in.room(limit); err != nil {
		return err
	}
	n, err := in.readConn(in.buf.b[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// room makes room behind what is there, in a buffer of at most limit bytes.
func (in *input) room(limit int) error {
	if in.buf == nil {
		in.buf = in.from.pool.Get().(*buffer)
	}
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if in.w == len(in.buf.b) && in.r > 0 {
		in.w = copy(in.buf.b, in.buf.b[in.r:in.w])
		in.r = 0
	}
	if in.w == len(in.buf.b) {
		if in.w >= limit {
			return errFull
		}
		grown := larger(in.buf.b, limit)
		copy(grown.b, in.buf.b)
		putInput(in.buf)
		in.buf = grown
	}
	return nil
}

// reserve makes room for n bytes in all behind what was consumed, of at most
// those of a large buffer.
func (in *input) reserve(n int) {
	if in.buf == nil || len(in.buf.b)-in.r >= n || len(in.buf.b) >= largeInputs.size {
		return
	}
	grown := largeInputs.pool.Get().(*buffer)
	in.w = copy(grown.b, in.buf.b[in.r:in.w])
	putInput(in.buf)
	in.buf, in.r = grown, 0
}

var errFull = errors.New("longer than its limit")

func (in *input) readConn(p []byte) (int, error) {
	if in.readable != nil {
		if err := in.readable(); err != nil {
			return 0, err
		}
	}
	return in.conn.Read(p)
}

// head reads up to and with the first empty line, and returns it all; see scan. It
// fails with a *Refusal of status 431 above the limit in bytes, and with
// io.ErrUnexpectedEOF if the connection ends in between.
func (in *input) head(limit int) ([]byte, error) {
	for {
		head, whole, err := in.scan(limit)
		if whole || err != nil {
			return head, err
		}
		if err := in.fill(limit); err != nil {
			switch {
			case errors.Is(err, errFull):
				return nil, errHead(limit)
			case errors.Is(err, io.EOF):
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// scan takes a head off what was read if it is whole. It goes on where it
// stopped the last time. In a head there are no control characters but tabs and
// the lines' ends; an empty line in its place is an empty head. It is valid until
// the next read, or the release.
func (in *input) scan(limit int) (head []byte, whole bool, err error) {
	data := in.buf.b[in.r:in.w]
	for {
		i := control(data, in.scanned)
		if i < len(data) && data[i] == '\t' {
			in.scanned = i + 1
			continue
		}
		if in.scanned = i; i+1 >= len(data) && (i == len(data) || data[i] == '\r') {
			// A longer head than the limit is told from one that ends there.
			if len(data) >= limit {
				return nil, false, errHead(limit)
			}
			return nil, false, nil
		}
		if data[i] == '\n' {
			return nil, false, refuse(400, "a line that ends without CR")
		}
		if data[i] != '\r' || data[i+1] != '\n' {
			return nil, false, errControl
		}
		in.scanned = i + len("\r\n")
		if i > in.begun {
			in.begun = in.scanned
			continue
		}
		size, first := in.scanned, in.begun == 0
		in.scanned, in.begun = 0, 0
		if first {
			// One empty line before a request is passed over (RFC 9112,
			// section 2.2).
			in.r += size
			return nil, true, nil
		}
		if size > limit {
			return nil, false, errHead(limit)
		}
		in.r += size
		return data[:size], true, nil
	}
}

var errControl = refuse(400, "control characters in a header")

func errHead(limit int) error { return refuse(431, "a head of more than %d bytes", limit) }

// line reads one line of at most limit bytes, and returns it without CRLF; it
// is valid until the next read.
func (in *input) line(limit int) ([]byte, error) {
	scanned := 0
	for {
		if in.buf != nil {
			data := in.buf.b[in.r:in.w]
			if i := bytes.IndexByte(data[scanned:], '\n'); i >= 0 {
				end := scanned + i
				if end == 0 || data[end-1] != '\r' {
					return nil, refuse(400, "a line that ends without CR")
				}
				if end-1 > limit {
					return nil, errLine(limit)
				}
				in.r += end + 1
				return data[:end-1], nil
			}
			scanned = len(data)
		}
		if in.buffered() > limit+len("\r") {
			return nil, errLine(limit)
		}
		if err := in.fill(in.from.size); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

func errLine(limit int) error {
	return refuse(400, "a line of more than %d bytes in a chunked body", limit)
}

// straight is the size of a reader's buffer from which on a body is read past
// the input's.
const straight = 8 << 10

// read reads body bytes: from the buffer, or else straight into p if that is
// large.
func (in *input) read(p []byte) (int, error) {
	if in.buffered() == 0 {
		if len(p) >= straight {
			in.release()
			return in.readConn(p)
		}
		if err := in.fill(in.from.size); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.buf.b[in.r:in.w])
	in.r += n
	return n, nil
}

// begins tells whether what was read, as far as it goes, begins with a text.
func (in *input) begins(text string) bool {
	data := in.buf.b[in.r:in.w]
	n := min(len(data), len(text))
	return string(data[:n]) == text[:n]
}
