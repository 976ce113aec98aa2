package upstream

import (
	"io"
	"maps"
	"net"
	"net/http"
	"sync"

	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// keptBody is a request's body of which the beginning is kept, so that the
// request can be sent again: up to the size that is held of other requests, and
// until there is an answer. A reader that was given up may still wait for the
// source: what it gets belongs to the next one.
type keptBody struct {
	source io.Reader
	names  http.Header // of the fields behind the body, without values
	x      *http2Exchange

	mu      sync.Mutex
	turn    sync.Cond // reading has changed, or a reader was closed
	kept    []byte
	keeping bool // kept holds all that was read
	reading bool // from the source
	err     error
}

func newKeptBody(source io.Reader, x *http2Exchange) *keptBody {
	b := &keptBody{source: source, names: maps.Clone(message.Trailer(source)), x: x, keeping: true}
	b.turn.L = &b.mu
	return b
}

// open returns the body from its beginning, if all of it is there.
func (b *keptBody) open() (*keptReader, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &keptReader{body: b, trailer: maps.Clone(b.names)}, b.keeping
}

// settle is called when the request will not be sent again.
func (b *keptBody) settle() {
	if b != nil {
		b.mu.Lock()
		b.keeping = false
		b.mu.Unlock()
	}
}

// keptReader reads what is kept, and then the source.
type keptReader struct {
	body *keptBody
	// trailer is its own, since whoever reads the source to its end writes to the
	// source's: it has its values when Read has told of the end.
	trailer http.Header
	at      int
	closed  bool
}

func (r *keptReader) Read(p []byte) (int, error) {
	n, err := r.read(p)
	if err == io.EOF {
		values := message.Trailer(r.body.source)
		for name := range r.trailer {
			r.trailer[name] = values[name]
		}
	}
	return n, err
}

func (r *keptReader) read(p []byte) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.reading && !r.closed && r.at == len(b.kept) {
		b.turn.Wait()
	}
	switch {
	case r.closed:
		return 0, net.ErrClosed
	case r.at < len(b.kept):
		n := copy(p, b.kept[r.at:])
		if r.at += n; r.at == len(b.kept) && !b.keeping {
			b.kept, r.at = nil, 0
		}
		return n, nil
	case b.err != nil:
		return 0, b.err
	}
	b.reading = true
	b.mu.Unlock()
	b.x.asking.Store(true)
	n, err := b.source.Read(p)
	b.x.moved()
	b.x.asking.Store(false)
	b.mu.Lock()
	b.reading, b.err = false, err
	b.turn.Broadcast()
	if r.closed || b.keeping {
		b.kept = append(b.kept, p[:n]...)
		r.at = len(b.kept)
	}
	if b.keeping = b.keeping && len(b.kept) <= holdable; !b.keeping && !r.closed {
		b.kept, r.at = nil, 0
	}
	if r.closed {
		return 0, net.ErrClosed
	}
	return n, err
}

func (r *keptReader) Close() error {
	r.body.mu.Lock()
	r.closed = true
	r.body.turn.Broadcast()
	r.body.mu.Unlock()
	return nil
}
