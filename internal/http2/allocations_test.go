//go:build !race

package http2

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"testing"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// again is a response whose memory serves again.
type again struct {
	http1.Response
	read bool
	free *sync.Pool
}

func (a *again) Read(p []byte) (int, error) {
	if a.read {
		return 0, io.EOF
	}
	a.read = true
	return copy(p, "hello"), nil
}

func (a *again) Close() error { return nil }

func newAgain(free *sync.Pool) *again {
	a := &again{free: free}
	a.Response = http1.Response{Status: 200, Length: 5, Body: a, Done: func(int64, error) {
		a.read = false
		free.Put(a)
	}, Header: http1.Header{{Name: "Content-Type", Value: "text/plain"}, {Name: "X-One", Value: "1"}}}
	return a
}

// TestAllocations: a request without a body costs no memory, nor does its
// response.
func TestAllocations(t *testing.T) {
	var free sync.Pool
	free.New = func() any { return newAgain(&free) }
	p := connect(t, func(context.Context, *Request) *http1.Response { return &free.Get().(*again).Response }, http1.Options{})
	id := uint32(1)
	p.request(id, true)
	p.status(id)
	p.body(id)
	// Indexed fields of the static table, and an authority that is a literal.
	request := append(appendFrame(nil, 6, frameHeaders, flagEndHeaders|flagEndStream, 0), 0x82, 0x84, 0x87, 0x01, 1, 'x')
	head := len(appendHeader(nil, &newAgain(&free).Response, false))
	answer := make([]byte, frameHeaderSize+head+frameHeaderSize+len("hello"))
	each := func() {
		id += 2
		binary.BigEndian.PutUint32(request[5:], id)
		p.write(request)
		if _, err := io.ReadFull(p.conn, answer); err != nil || string(answer[len(answer)-5:]) != "hello" {
			t.Fatal(err, answer)
		}
	}
	for range 100 {
		each()
	}
	if got := testing.AllocsPerRun(2000, each); got > 0 {
		t.Errorf("%v allocations for each request", got)
	}
}
