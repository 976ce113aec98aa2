package http2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/isthmus-net/isthmus/internal/http1"
)

const patience = 20 * time.Second

// peer is a client that sends what a test wants it to.
type peer struct {
	*testing.T
	conn     net.Conn
	frames   *xhttp2.Framer
	block    bytes.Buffer
	encoder  *hpack.Encoder
	decoder  *hpack.Decoder
	stopping chan struct{}
	cancel   context.CancelCauseFunc
	served   chan struct{}
}

// connect serves a connection whose preface and settings are exchanged.
func connect(t *testing.T, h Handler, o http1.Options) *peer {
	t.Helper()
	p := dial(t, h, o)
	p.write([]byte(preface))
	p.check(p.frames.WriteSettings())
	if s, ok := p.next().(*xhttp2.SettingsFrame); !ok || s.IsAck() {
		t.Fatalf("no settings: %v", s)
	}
	p.check(p.frames.WriteSettingsAck())
	return p
}

// dial serves one connection of TCP.
func dial(t *testing.T, h Handler, o http1.Options) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{T: t, conn: client, stopping: make(chan struct{}), served: make(chan struct{})}
	p.frames = xhttp2.NewFramer(client, client)
	p.encoder = hpack.NewEncoder(&p.block)
	p.decoder = hpack.NewDecoder(tableSize, nil)
	p.frames.ReadMetaHeaders = p.decoder
	var ctx context.Context
	ctx, p.cancel = context.WithCancelCause(context.Background())
	go func() {
		defer close(p.served)
		defer server.Close()
		New(h, o).Serve(ctx, &http1.Conn{Conn: server, Client: netip.MustParseAddrPort("192.0.2.1:1")}, p.stopping)
	}()
	t.Cleanup(func() {
		client.Close()
		p.ended()
	})
	client.SetDeadline(time.Now().Add(patience))
	return p
}

func (p *peer) check(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *peer) write(b []byte) {
	p.Helper()
	_, err := p.conn.Write(b)
	p.check(err)
}

// ended waits until the server has ended the connection.
func (p *peer) ended() {
	p.Helper()
	select {
	case <-p.served:
	case <-time.After(patience):
		p.Error("the connection has not ended")
	}
}

// next is the next frame that is neither the server's window nor its
// acknowledgement of settings.
func (p *peer) next() xhttp2.Frame {
	p.Helper()
	for {
		f, err := p.frames.ReadFrame()
		p.check(err)
		switch f := f.(type) {
		case *xhttp2.WindowUpdateFrame:
			continue
		case *xhttp2.SettingsFrame:
			if f.IsAck() {
				continue
			}
		}
		return f
	}
}

// fields encodes fields, given as "name: value".
func (p *peer) fields(fields ...string) []byte {
	p.block.Reset()
	for _, f := range fields {
		i := strings.Index(f[1:], ":") + 1
		p.check(p.encoder.WriteField(hpack.HeaderField{Name: f[:i], Value: strings.TrimPrefix(f[i+1:], " ")}))
	}
	return bytes.Clone(p.block.Bytes())
}

// request begins a request with the usual fields and others.
func (p *peer) request(stream uint32, end bool, fields ...string) {
	p.Helper()
	p.headers(stream, end, append([]string{":method: GET", ":scheme: https", ":path: /", ":authority: x"}, fields...)...)
}

func (p *peer) headers(stream uint32, end bool, fields ...string) {
	p.Helper()
	p.check(p.frames.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: stream, BlockFragment: p.fields(fields...), EndStream: end, EndHeaders: true}))
}

// status is that of the response that comes next, and its fields.
func (p *peer) status(stream uint32) (string, *xhttp2.MetaHeadersFrame) {
	p.Helper()
	f := p.next()
	h, ok := f.(*xhttp2.MetaHeadersFrame)
	if !ok || h.StreamID != stream {
		p.Fatalf("%v in the place of the response on stream %d", f, stream)
	}
	return h.PseudoValue("status"), h
}

// body reads data until the stream's end.
func (p *peer) body(stream uint32) string {
	p.Helper()
	var all []byte
	for {
		f := p.next()
		d, ok := f.(*xhttp2.DataFrame)
		if !ok || d.StreamID != stream {
			p.Fatalf("%v in the place of data of stream %d", f, stream)
		}
		all = append(all, d.Data()...)
		if d.StreamEnded() {
			return string(all)
		}
	}
}

// reset waits for the stream's reset.
func (p *peer) reset(stream uint32, want code) {
	p.Helper()
	f := p.next()
	if r, ok := f.(*xhttp2.RSTStreamFrame); !ok || r.StreamID != stream || code(r.ErrCode) != want {
		p.Fatalf("%v in the place of a reset of stream %d with code %d", f, stream, want)
	}
}

// goAway waits for the connection's end, behind whatever else comes.
func (p *peer) goAway(want code) (last uint32) {
	p.Helper()
	for {
		f, err := p.frames.ReadFrame()
		p.check(err)
		if g, ok := f.(*xhttp2.GoAwayFrame); ok {
			if code(g.ErrCode) != want {
				p.Fatalf("the connection ended with code %d, not %d", g.ErrCode, want)
			}
			return g.LastStreamID
		}
	}
}

// eof reads until nothing comes any more.
func (p *peer) eof() {
	p.Helper()
	if _, err := io.Copy(io.Discard, p.conn); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		p.Error(err)
	}
}

func text(status int, s string) *http1.Response {
	return &http1.Response{Status: status, Body: io.NopCloser(strings.NewReader(s)), Length: int64(len(s))}
}

func hello(context.Context, *Request) *http1.Response { return text(200, "hello") }
