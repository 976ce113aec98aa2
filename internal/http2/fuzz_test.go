package http2

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// FuzzServe: whatever a client sends, the connection ends when the client has,
// with all its handlers, which see none but well-formed requests; and what the
// server sends can be read.
func FuzzServe(f *testing.F) {
	add := func(write func(*xhttp2.Framer, func(...string) []byte)) {
		var out, block bytes.Buffer
		fr, e := xhttp2.NewFramer(&out, nil), hpack.NewEncoder(&block)
		fr.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 100})
		write(fr, func(fields ...string) []byte {
			block.Reset()
			for i := 0; i < len(fields); i += 2 {
				e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
			}
			return bytes.Clone(block.Bytes())
		})
		f.Add(out.Bytes())
	}
	usual := []string{":method", "POST", ":scheme", "https", ":path", "/a?b", ":authority", "x", "trailer", "x-sum", "cookie", "a", "cookie", "b"}
	add(func(fr *xhttp2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block(usual...), EndHeaders: true, PadLength: 3, Priority: xhttp2.PriorityParam{StreamDep: 3}})
		fr.WriteDataPadded(1, false, []byte("hello"), make([]byte, 9))
		fr.WriteWindowUpdate(1, 7)
		fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block("x-sum", "1"), EndHeaders: true, EndStream: true})
		fr.WritePing(false, [8]byte{1})
		fr.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	})
	add(func(fr *xhttp2.Framer, block func(...string) []byte) {
		b := block(append(usual, "content-length", "3", "expect", "100-continue")...)
		fr.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:9]})
		fr.WriteContinuation(1, true, b[9:])
		fr.WriteData(1, true, []byte("abc"))
		fr.WritePriority(3, xhttp2.PriorityParam{StreamDep: 1})
		fr.WriteGoAway(1, xhttp2.ErrCodeNo, nil)
		fr.WriteRawFrame(77, 0, 5, []byte("unknown"))
	})
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := &script{in: append([]byte(preface), sent...)}
		c.changed.L = &c.mu
		handler := func(_ context.Context, r *Request) *http1.Response {
			c.handling(1)
			defer c.handling(-1)
			if refused := r.Check(); refused != nil {
				t.Errorf("%v: %v", r.Request, refused)
			}
			if r.Body == nil {
				return text(200, "hello")
			}
			body, _ := io.ReadAll(r.Body)
			out := text(200, string(body))
			out.Header = r.Header
			return out
		}
		New(handler, http1.Options{StallTimeout: time.Millisecond}).Serve(t.Context(), &http1.Conn{Conn: c, Client: netip.MustParseAddrPort("192.0.2.1:1")}, nil)
		fr := xhttp2.NewFramer(nil, &c.out)
		fr.ReadMetaHeaders = hpack.NewDecoder(1<<20, nil)
		for {
			if _, err := fr.ReadFrame(); err == io.EOF {
				return
			} else if err != nil {
				t.Fatalf("what the server sent can't be read: %v", err)
			}
		}
	})
}

// script is a connection whose other end has sent everything, and ends when the
// requests have been handled.
type script struct {
	in []byte

	mu      sync.Mutex
	changed sync.Cond
	handled int // requests at a time
	out     bytes.Buffer
}

func (c *script) handling(more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handled += more
	c.changed.Signal()
}

func (c *script) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		for c.handled > 0 {
			c.changed.Wait()
		}
		return 0, io.EOF
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *script) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *script) Close() error                     { return nil }
func (c *script) LocalAddr() net.Addr              { return nil }
func (c *script) RemoteAddr() net.Addr             { return nil }
func (c *script) SetDeadline(time.Time) error      { return nil }
func (c *script) SetReadDeadline(time.Time) error  { return nil }
func (c *script) SetWriteDeadline(time.Time) error { return nil }
