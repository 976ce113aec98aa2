package http2

import (
	"io"
	"net"
	"sync"
)

// input is what is read of a connection.
type input struct {
	conn net.Conn
	buf  [2 << 10]byte
	r, w int // what is buffered
}

// fill reads until so many bytes are buffered, which the buffer has room for.
func (i *input) fill(n int) error {
	if i.w-i.r >= n {
		return nil
	}
	if i.r > 0 {
		i.w = copy(i.buf[:], i.buf[i.r:i.w])
		i.r = 0
	}
	for i.w < n {
		m, err := i.conn.Read(i.buf[i.w:])
		if i.w += m; err != nil && i.w < n {
			return err
		}
	}
	return nil
}

// take takes so many bytes, which are good until the next call.
func (i *input) take(n int) ([]byte, error) {
	if err := i.fill(n); err != nil {
		return nil, err
	}
	b := i.buf[i.r : i.r+n]
	i.r += n
	return b, nil
}

// pieces are for payloads that are not buffered.
var pieces = sync.Pool{New: func() any { b := make([]byte, maxFrame); return &b }}

// payload hands out a payload of so many bytes, piece by piece.
func (i *input) payload(n int, take func([]byte) error) error {
	if there := min(n, i.w-i.r); there > 0 {
		p := i.buf[i.r : i.r+there]
		i.r, n = i.r+there, n-there
		if err := take(p); err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	piece := pieces.Get().(*[]byte)
	defer pieces.Put(piece)
	for n > 0 {
		m, err := i.conn.Read((*piece)[:n])
		if n -= m; m > 0 {
			if err := take((*piece)[:m]); err != nil {
				return err
			}
		}
		if err != nil && n > 0 {
			return err
		}
	}
	return nil
}

func (i *input) skip(n int) error {
	return i.payload(n, func([]byte) error { return nil })
}

// discard reads until the connection's end.
func (i *input) discard() { io.Copy(io.Discard, i.conn) }
