package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/message"
)

// body is a request's body, which a client may not send too slowly. Whoever
// forwards it may still be reading when the response is complete; close ends
// that, since the connection then belongs to the library again.
type body struct {
	reader   io.Reader
	control  *http.ResponseController
	options  *Options
	start    time.Time
	received int64
	ended    atomic.Bool // the whole body was read

	reading sync.Mutex // held while the connection is read
	state   sync.Mutex // held while the deadline is set
	closed  bool
}

func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	now := time.Now()
	deadline := now.Add(b.options.StallTimeout)
	// Single bytes, each in time, must not hold a connection for ever.
	overall := b.start.Add(b.options.StallTimeout + time.Duration(b.received/b.options.MinRate)*time.Second)
	if overall.Before(deadline) {
		deadline = overall
	}
	if !b.setDeadline(deadline) {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.reader.Read(p)
	b.received += int64(n)
	if err == io.EOF {
		b.ended.Store(true)
		// The library now watches the connection for the client's leaving,
		// which no deadline may end.
		b.setDeadline(time.Time{})
		return n, err
	}
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return n, message.ErrClientSlow
		}
		return n, errors.Join(message.ErrClientGone, err)
	}
	return n, nil
}

// setDeadline does nothing after close.
func (b *body) setDeadline(t time.Time) bool {
	b.state.Lock()
	defer b.state.Unlock()
	if !b.closed {
		b.control.SetReadDeadline(t)
	}
	return !b.closed
}

// The rest of a body that nobody wanted is read to this extent before the
// connection is closed: a client that is still sending would not see the
// answer if the connection were reset.
const (
	lingerBytes = 256 << 10
	lingerTime  = time.Second
)

// close ends reading. With linger, it reads the rest of the body, within
// limits.
func (b *body) close(linger bool) {
	b.state.Lock()
	b.closed = true
	if !b.ended.Load() {
		b.control.SetReadDeadline(time.Unix(1, 0)) // wakes a reader
	}
	b.state.Unlock()
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.ended.Load() || !linger {
		return
	}
	b.control.Flush()
	b.control.SetReadDeadline(time.Now().Add(min(lingerTime, b.options.StallTimeout)))
	io.CopyN(io.Discard, b.reader, lingerBytes)
}
