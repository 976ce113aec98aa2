package upstream

import (
	"io"
	"sync"

	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// holdable is the size up to which a request's body is read before the backend
// is called. A slow client then holds no connection to it, and the request can
// be sent again on a new connection when a kept one turns out to be closed.
const holdable = 64 << 10

var holds = sync.Pool{New: func() any { b := make([]byte, holdable); return &b }}

// Held is the memory of a body that was read whole, if one was and is not where
// it came to.
type Held struct{ buf *[]byte }

// Release gives the memory back.
func (h Held) Release() {
	if h.buf != nil {
		holds.Put(h.buf)
	}
}

// Hold reads a small body whole, if its length is known. What it returns is
// released when the request has been sent.
func (r *Request) Hold() (Held, error) {
	if r.Body == nil || r.Length < 0 || r.Length > holdable {
		return Held{}, nil
	}
	if whole := message.Whole(r.Body); whole != nil {
		r.Body, r.Replay = nil, whole
		return Held{}, nil
	}
	h := Held{holds.Get().(*[]byte)}
	whole := (*h.buf)[:r.Length]
	if _, err := io.ReadFull(r.Body, whole); err != nil {
		h.Release()
		return Held{}, err
	}
	r.Body, r.Replay = nil, whole
	return h, nil
}
