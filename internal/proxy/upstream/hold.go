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

// Hold reads a small body whole, if its length is known. The memory is given
// back when it has been sent, by Pool.Do.
func (r *Request) Hold() error {
	if r.Body == nil || r.Length < 0 || r.Length > holdable {
		return nil
	}
	whole, release := message.Whole(r.Body)
	if whole == nil {
		buf := holds.Get().(*[]byte)
		whole, release = (*buf)[:r.Length], func() { holds.Put(buf) }
		if _, err := io.ReadFull(r.Body, whole); err != nil {
			release()
			return err
		}
	}
	r.Body, r.Replay, r.release = nil, whole, release
	return nil
}
