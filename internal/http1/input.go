package http1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// Sizes of buffers in bytes. What arrives is read in pieces of inputSize; a
// head that is longer makes its buffer grow, up to the head's limit.
const (
	inputSize  = 8 << 10
	outputSize = 32 << 10
)

var inputs = sync.Pool{New: func() any { b := make([]byte, inputSize); return &b }}

// input reads a connection through a buffer, which it holds only while
// something is in it or is being read.
type input struct {
	conn net.Conn
	raw  syscall.RawConn // nil if the connection is no socket, as with TLS
	try  func(fd uintptr) bool

	buf  *[]byte // nil while idle
	r, w int     // what was read and not consumed is (*buf)[r:w]

	tried    int // results of try
	triedErr error
	// readable, if set, is called before each read of the connection; it sets
	// the deadline.
	readable func() error
}

func newInput(conn net.Conn) *input {
	in := &input{conn: conn}
	if s, ok := conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			in.raw, in.try = raw, in.tryRead
		}
	}
	return in
}

func (in *input) buffered() int { return in.w - in.r }

// release gives the buffer back if nothing is in it.
func (in *input) release() {
	if in.buf == nil || in.buffered() > 0 {
		return
	}
	if len(*in.buf) == inputSize {
		inputs.Put(in.buf)
	}
	in.buf, in.r, in.w = nil, 0, 0
}

// await waits for the first byte of a message, without a buffer if possible.
func (in *input) await() error {
	if in.buffered() > 0 {
		return nil
	}
	in.release()
	if in.raw == nil {
		return in.fill(inputSize)
	}
	in.tried, in.triedErr = 0, nil
	if err := in.raw.Read(in.try); err != nil {
		return err
	}
	if in.triedErr != nil {
		return in.triedErr
	}
	if in.tried == 0 {
		return io.EOF
	}
	return nil
}

// tryRead reads what is there, and tells whether it was done waiting.
func (in *input) tryRead(fd uintptr) bool {
	in.buf = inputs.Get().(*[]byte)
	for {
		n, err := syscall.Read(int(fd), *in.buf)
		switch err {
		case nil:
			in.tried, in.r, in.w = n, 0, n
			return true
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			in.release()
			return false
		}
		in.release()
		in.triedErr = &net.OpError{Op: "read", Net: "tcp", Addr: in.conn.RemoteAddr(), Err: err}
		return true
	}
}

// fill reads more behind what is there, into a buffer of at most limit bytes.
// It fails with errFull if that is full.
func (in *input) fill(limit int) error {
	if in.buf == nil {
		in.buf = inputs.Get().(*[]byte)
	}
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if in.w == len(*in.buf) && in.r > 0 {
		in.w = copy(*in.buf, (*in.buf)[in.r:in.w])
		in.r = 0
	}
	if in.w == len(*in.buf) {
		if in.w >= limit {
			return errFull
		}
		grown := make([]byte, min(limit, 2*len(*in.buf)))
		copy(grown, *in.buf)
		if len(*in.buf) == inputSize {
			inputs.Put(in.buf)
		}
		in.buf = &grown
	}
	n, err := in.readConn((*in.buf)[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
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

// more fills the buffer while a head or a line is incomplete, from the byte
// scanned on.
func (in *input) more(limit int) error {
	// A longer head than the limit is told from one that ends there.
	if in.buffered() >= limit {
		return errFull
	}
	return in.fill(limit)
}

// head reads up to and with the first empty line. It fails with a *Refusal of
// status 431 above the limit in bytes, and with io.ErrUnexpectedEOF if the
// connection ends in between.
func (in *input) head(limit int) (string, error) {
	scanned, line := 0, 0 // from r on: what holds no further LF; where the line begins
	for {
		data := (*in.buf)[in.r:in.w]
		for {
			i := bytes.IndexByte(data[scanned:], '\n')
			if i < 0 {
				scanned = len(data)
				break
			}
			end := scanned + i
			if end == line || data[end-1] != '\r' {
				return "", refuse(400, "a line that ends without CR")
			}
			scanned = end + 1
			if end == line+1 {
				if line == 0 {
					// One empty line before a request is passed over
					// (RFC 9112, section 2.2): the caller consumes it.
					in.r += 2
					return "", nil
				}
				if scanned > limit {
					return "", errHead(limit)
				}
				head := string(data[:scanned])
				in.r += scanned
				return head, nil
			}
			line = scanned
		}
		if err := in.more(limit); err != nil {
			switch {
			case errors.Is(err, errFull):
				return "", errHead(limit)
			case errors.Is(err, io.EOF):
				return "", io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}

func errHead(limit int) error { return refuse(431, "a head of more than %d bytes", limit) }

// line reads one line of at most limit bytes, and returns it without CRLF; it
// is valid until the next read.
func (in *input) line(limit int) ([]byte, error) {
	scanned := 0
	for {
		if in.buf != nil {
			data := (*in.buf)[in.r:in.w]
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
		if err := in.fill(inputSize); err != nil {
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

// read reads body bytes: from the buffer, or else straight into p if that is
// large.
func (in *input) read(p []byte) (int, error) {
	if in.buffered() == 0 {
		if len(p) >= inputSize {
			in.release()
			return in.readConn(p)
		}
		if err := in.fill(inputSize); err != nil {
			return 0, err
		}
	}
	n := copy(p, (*in.buf)[in.r:in.w])
	in.r += n
	return n, nil
}

// hasHead tells whether what was read holds the end of a head.
func (in *input) hasHead() bool {
	return bytes.Contains((*in.buf)[in.r:in.w], []byte("\r\n\r\n"))
}

// begins tells whether what was read, as far as it goes, begins with a text.
func (in *input) begins(text string) bool {
	data := (*in.buf)[in.r:in.w]
	n := min(len(data), len(text))
	return string(data[:n]) == text[:n]
}
