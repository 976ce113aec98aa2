package http2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/isthmus-net/isthmus/internal/http1"
)

func TestRequest(t *testing.T) {
	seen, looked := make(chan Request), make(chan struct{})
	p := connect(t, func(_ context.Context, r *Request) *http1.Response {
		seen <- Request{Request: r.Request}
		<-looked
		return text(200, "hello")
	}, http1.Options{})
	p.headers(1, true, ":method: GET", ":scheme: https", ":path: /a?b", ":authority: shop.example",
		"x-b: 1", "cookie: a=1", "x-a: 2", "cookie: b=2", "te: trailers")
	r := <-seen
	want := http1.Header{{Name: "x-b", Value: "1"}, {Name: "cookie", Value: "a=1; b=2"}, {Name: "x-a", Value: "2"}, {Name: "te", Value: "trailers"}}
	if r.Method != "GET" || r.Target != "/a?b" || r.Host != "shop.example" || !slices.Equal(r.Header, want) || r.Body != nil || r.Length != 0 {
		t.Errorf("%+v", r)
	}
	close(looked)
	status, h := p.status(1)
	if body := p.body(1); status != "200" || body != "hello" {
		t.Errorf("%s, %q", status, body)
	}
	if _, err := http.ParseTime(h.RegularFields()[0].Value); h.RegularFields()[0].Name != "date" || err != nil || h.RegularFields()[1].Value != "5" {
		t.Errorf("%v", h.RegularFields())
	}
}

// What is malformed is reset, and what is well formed but can't be served is
// refused, neither of which a handler sees.
func TestRefusals(t *testing.T) {
	p := connect(t, func(_ context.Context, r *Request) *http1.Response { return text(200, "") }, http1.Options{MaxHeader: 8 << 10})
	stream := uint32(1)
	usual := []string{":method: GET", ":scheme: https", ":path: /", ":authority: x"}
	with := func(more ...string) []string { return append(slices.Clone(usual), more...) }
	for _, test := range []struct {
		fields []string
		status string // none: the stream is reset
	}{
		{usual, "200"},
		{with("x: y"), "200"}, {with("host: x"), "200"}, {with("te: trailers"), "200"}, {with("content-length: 0"), "200"},
		{[]string{":method: GET", ":scheme: https", ":path: /", "host: x"}, "200"},
		{[]string{":method: OPTIONS", ":scheme: https", ":path: *", ":authority: x"}, "200"},
		{with("host: y"), "400"}, {with("trailer: a b"), "400"}, {with("trailer: "), "400"}, {with("expect: more"), "417"},
		{[]string{":method: GET", ":scheme: https", ":path: /a b", ":authority: x"}, "400"},
		{[]string{":method: GET", ":scheme: https", ":path: a:b", ":authority: x"}, "400"},
		{[]string{":method: GET", ":scheme: https", ":path: *", ":authority: x"}, "400"},
		{[]string{":method: GET /b HTTP/1.1", ":scheme: https", ":path: /", ":authority: x"}, "400"},
		{[]string{":method: GET", ":scheme: https", ":path: /", ":authority: x y"}, "400"},
		{[]string{":method: GET", ":scheme: https", ":path: /"}, "400"},
		{with("x: " + strings.Repeat("y", 8<<10)), "431"}, {with("x: " + strings.Repeat("y", 12<<10)), "431"},
		{with(slices.Repeat([]string{"x: y"}, maxFields+1)...), "431"},
		{with("x y: z"), ""}, {with("X: y"), ""}, {with("x: a\x00b"), ""}, {with("x: a\rb"), ""}, {with("x: a\nb"), ""}, {with("x:  a"), ""}, {with("x: a "), ""},
		{with("connection: close"), ""}, {with("keep-alive: 1"), ""}, {with("upgrade: h2c"), ""}, {with("transfer-encoding: chunked"), ""}, {with("te: gzip"), ""},
		{with(":path: /"), ""}, {with("x: y", ":method: GET"), ""}, {with(":status: 200"), ""}, {with(":protocol: websocket"), ""},
		{usual[1:], ""}, {[]string{":method: GET", ":scheme: https", ":path: ", ":authority: x"}, ""},
		{[]string{":method: CONNECT", ":authority: x:1", ":path: /", ":scheme: https"}, ""},
		{with("content-length: 1"), ""}, {with("content-length: +0"), ""}, {with("content-length: 0", "content-length: 0"), ""}, {with("content-length: -1"), ""},
	} {
		p.headers(stream, true, test.fields...)
		f := p.next()
		h, answered := f.(*xhttp2.MetaHeadersFrame)
		r, reset := f.(*xhttp2.RSTStreamFrame)
		switch {
		case test.status == "" && (!reset || r.ErrCode != xhttp2.ErrCodeProtocol):
			t.Fatalf("%.200q: %v", test.fields, f)
		case test.status != "" && (!answered || h.PseudoValue("status") != test.status):
			t.Fatalf("%.200q: %v, want status %s", test.fields, f, test.status)
		}
		if answered && !h.StreamEnded() {
			p.body(stream)
		}
		stream += 2
	}
}

// Bodies with a length that is not theirs end their streams.
func TestLengths(t *testing.T) {
	result := make(chan error, 1)
	p := connect(t, func(_ context.Context, r *Request) *http1.Response {
		_, err := io.Copy(io.Discard, r.Body)
		result <- err
		return text(200, "")
	}, http1.Options{})
	for i, data := range []string{"12", "1234"} {
		stream := uint32(2*i + 1)
		p.request(stream, false, "content-length: 3")
		p.check(p.frames.WriteData(stream, true, []byte(data)))
		p.reset(stream, codeProtocol)
		if err := <-result; !errors.Is(err, http1.ErrGone) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// A body is taken as it comes, with fields behind it; more is granted when it
// has been read.
func TestBody(t *testing.T) {
	type end struct {
		sum     int
		trailer http.Header
		err     error
	}
	result := make(chan end, 1)
	p := connect(t, func(_ context.Context, r *Request) *http1.Response {
		n, err := io.Copy(io.Discard, r.Body)
		result <- end{int(n), r.Body.(interface{ Trailer() http.Header }).Trailer(), err}
		return text(200, "")
	}, http1.Options{})
	p.request(1, false, "trailer: x-sum, content-length", "expect: 100-continue")
	if status, _ := p.status(1); status != "100" {
		t.Fatalf("status %s before the body", status)
	}
	const size = 4 << 20
	connection, stream := connectionBuffer, streamBuffer
	granted := func(least int) {
		for min(connection, stream) < least {
			f, err := p.frames.ReadFrame()
			p.check(err)
			if w, ok := f.(*xhttp2.WindowUpdateFrame); ok && w.StreamID == 0 {
				connection += int(w.Increment)
			} else if ok {
				stream += int(w.Increment)
			}
		}
	}
	for sent := 0; sent < size; sent += maxFrame {
		granted(maxFrame)
		p.check(p.frames.WriteData(1, false, make([]byte, maxFrame)))
		connection, stream = connection-maxFrame, stream-maxFrame
	}
	p.headers(1, true, "x-sum: 1", "x-sum: 2", "x-other: 3", "content-length: 4")
	got := <-result
	if got.err != nil || got.sum != size || len(got.trailer) != 1 || !slices.Equal(got.trailer["X-Sum"], []string{"1", "2"}) {
		t.Errorf("%+v", got)
	}
	if status, _ := p.status(1); status != "200" {
		t.Errorf("status %s", status)
	}
}

// A client that sends more than was granted loses its connection.
func TestMoreThanGranted(t *testing.T) {
	release := make(chan struct{})
	p := connect(t, func(context.Context, *Request) *http1.Response {
		<-release
		return text(200, "")
	}, http1.Options{})
	defer close(release)
	p.request(1, false)
	for range streamBuffer/maxFrame + 1 {
		p.check(p.frames.WriteData(1, false, make([]byte, maxFrame)))
	}
	p.reset(1, codeFlowControl)
	for range 2 * connectionBuffer / maxFrame {
		p.check(p.frames.WriteData(1, false, make([]byte, maxFrame)))
	}
	// What comes for a stream that was reset is thrown away, and granted anew.
	p.request(3, true)
	p.check(p.frames.WritePing(false, [8]byte{1}))
	if f, ok := p.next().(*xhttp2.PingFrame); !ok || !f.IsAck() {
		t.Errorf("%v", f)
	}
}

// Frames that were under way when their stream was reset here do no harm.
func TestFramesBehindReset(t *testing.T) {
	p := connect(t, hello, http1.Options{})
	p.request(1, false) // whose body nobody reads
	if status, _ := p.status(1); status != "200" {
		t.Error(status)
	}
	p.body(1)
	p.reset(1, codeNone)
	p.check(p.frames.WriteData(1, false, []byte("more")))
	p.headers(1, true, "x-sum: 1")
	p.check(p.frames.WriteWindowUpdate(1, 5))
	p.check(p.frames.WriteRSTStream(1, xhttp2.ErrCodeCancel))
	p.request(3, true)
	p.status(3)
	p.body(3)
}

// A client that takes its responses as slowly as it may keeps no other stream of
// the connection waiting, and one that takes none is given up.
func TestWindows(t *testing.T) {
	done := make(chan error, 1)
	large := strings.Repeat("x", 1<<20)
	p := connect(t, func(_ context.Context, r *Request) *http1.Response {
		if r.Target == "/large" {
			out := text(200, large)
			out.Done = func(_ int64, err error) { done <- err }
			return out
		}
		return text(200, "small")
	}, http1.Options{StallTimeout: 2 * time.Second})
	p.check(p.frames.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1000}))
	p.headers(1, true, ":method: GET", ":scheme: https", ":path: /large", ":authority: x")
	p.status(1)
	if d, ok := p.next().(*xhttp2.DataFrame); !ok || len(d.Data()) != 1000 {
		t.Fatalf("%v", d)
	}
	p.request(3, true)
	p.status(3)
	p.body(3)
	p.check(p.frames.WriteWindowUpdate(1, 500))
	if d, ok := p.next().(*xhttp2.DataFrame); !ok || len(d.Data()) != 500 {
		t.Fatalf("%v", d)
	}
	// Windows may become negative.
	p.check(p.frames.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 500}))
	p.check(p.frames.WriteWindowUpdate(1, 501))
	if d, ok := p.next().(*xhttp2.DataFrame); !ok || len(d.Data()) != 1 {
		t.Fatalf("%v", d)
	}
	if err := <-done; !errors.Is(err, http1.ErrGone) {
		t.Errorf("%v", err)
	}
	p.reset(1, codeCancel)
}

// A response's fields may need more than one frame, and begin with what the
// client waits for after it has made the table smaller.
// What new settings allow comes behind their acknowledgement, however many there
// are.
func TestSettingsAreAcknowledgedFirst(t *testing.T) {
	p := connect(t, hello, http1.Options{})
	p.check(p.frames.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0}))
	p.request(1, true)
	p.status(1)
	settings := []xhttp2.Setting{{ID: xhttp2.SettingInitialWindowSize, Val: 5}}
	for len(settings) < maxFrame/settingSize {
		settings = append(settings, xhttp2.Setting{ID: xhttp2.SettingMaxHeaderListSize, Val: 1 << 20})
	}
	p.check(p.frames.WriteSettings(settings...))
	f, err := p.frames.ReadFrame()
	p.check(err)
	if s, ok := f.(*xhttp2.SettingsFrame); !ok || !s.IsAck() {
		t.Errorf("first came %v", f)
	}
	if body := p.body(1); body != "hello" {
		t.Errorf("the body is %q", body)
	}
}

func TestLargeHeader(t *testing.T) {
	value := strings.Repeat("y", maxFrame)
	p := connect(t, func(context.Context, *Request) *http1.Response {
		r := text(200, "hello")
		r.Header = http1.Header{{Name: "X-One", Value: value}, {Name: "X-Two", Value: value}, {Name: "Connection", Value: "x-three"}, {Name: "a b", Value: "c"}, {Name: "X-Four", Value: "a\r\nb"}}
		return r
	}, http1.Options{})
	p.decoder.SetAllowedMaxDynamicTableSize(0)
	p.check(p.frames.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 0}))
	p.request(1, true)
	_, h := p.status(1)
	got := map[string]string{}
	for _, f := range h.RegularFields() {
		got[f.Name] = f.Value
	}
	if len(got) != 5 || got["x-one"] != value || got["x-two"] != value || got["x-four"] != "a  b" || got["date"] == "" || got["content-length"] != "5" {
		t.Errorf("%.100v", got)
	}
	p.body(1)
}

// Clients that make work and bring none lose their connections.
func TestFloods(t *testing.T) {
	for name, flood := range map[string]func(*peer, uint32) error{
		"requests that are reset": func(p *peer, i uint32) error {
			if err := p.frames.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 2*i + 1, EndStream: true, EndHeaders: true,
				BlockFragment: p.fields(":method: GET", ":scheme: https", ":path: /", ":authority: x")}); err != nil {
				return err
			}
			return p.frames.WriteRSTStream(2*i+1, xhttp2.ErrCodeCancel)
		},
		"pings":          func(p *peer, _ uint32) error { return p.frames.WritePing(false, [8]byte{}) },
		"settings":       func(p *peer, _ uint32) error { return p.frames.WriteSettings() },
		"priorities":     func(p *peer, _ uint32) error { return p.frames.WritePriority(1, xhttp2.PriorityParam{}) },
		"windows":        func(p *peer, _ uint32) error { return p.frames.WriteWindowUpdate(0, 1) },
		"unknown frames": func(p *peer, _ uint32) error { return p.frames.WriteRawFrame(99, 0, 0, nil) },
		"malformed requests": func(p *peer, i uint32) error {
			return p.frames.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 2*i + 1, EndStream: true, EndHeaders: true, BlockFragment: p.fields("x: y")})
		},
		"empty data": func(p *peer, i uint32) error {
			if i == 0 {
				p.request(1, false)
			}
			return p.frames.WriteData(1, false, nil)
		},
		"continuations": func(p *peer, i uint32) error {
			if i == 0 {
				return p.frames.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields(":method: GET")})
			}
			return p.frames.WriteContinuation(1, false, nil)
		},
		"a header without an end": func(p *peer, i uint32) error {
			if i == 0 {
				return p.frames.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields(":method: GET")})
			}
			return p.frames.WriteContinuation(1, false, p.fields("x: "+strings.Repeat("y", 4<<10)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, func(ctx context.Context, _ *Request) *http1.Response {
				<-ctx.Done()
				return text(200, "")
			}, http1.Options{})
			go func() {
				for i := uint32(0); i < 100_000; i++ {
					if flood(p, i) != nil {
						return
					}
				}
			}()
			p.goAway(codeCalm)
			p.eof()
			p.ended()
		})
	}
}

// A client has as many streams as it may, and no more; those that it has reset
// count until their handlers have ended.
func TestStreamLimit(t *testing.T) {
	release := make(chan struct{})
	p := connect(t, func(context.Context, *Request) *http1.Response {
		<-release
		return &http1.Response{Status: 204}
	}, http1.Options{})
	next := uint32(1)
	begin := func() uint32 {
		p.request(next, true)
		next += 2
		return next - 2
	}
	for range maxStreams {
		begin()
	}
	p.reset(begin(), codeRefused)
	for i := range uint32(maxStreams) {
		p.check(p.frames.WriteRSTStream(2*i+1, xhttp2.ErrCodeCancel))
	}
	for range maxStreams {
		begin()
	}
	for i := range uint32(maxStreams) {
		p.check(p.frames.WriteRSTStream(2*(i+maxStreams+1)+1, xhttp2.ErrCodeCancel))
	}
	p.reset(begin(), codeRefused)
	close(release)
	// The first that is served again tells that handlers have ended.
	for {
		p.request(next, true)
		f := p.next()
		if h, ok := f.(*xhttp2.MetaHeadersFrame); ok && h.StreamID == next {
			break
		} else if r, ok := f.(*xhttp2.RSTStreamFrame); !ok || r.ErrCode != xhttp2.ErrCodeRefusedStream {
			t.Fatalf("%v", f)
		}
		next += 2
	}
}

// A server that ends tells the client, takes the requests that were under way,
// and ends behind the last answer.
func TestDrain(t *testing.T) {
	release := make(chan struct{})
	p := connect(t, func(context.Context, *Request) *http1.Response {
		<-release
		return text(200, "hello")
	}, http1.Options{})
	p.request(1, true)
	close(p.stopping)
	if last := p.goAway(codeNone); last != maxWindow {
		t.Errorf("stream %d was told to be the last at once", last)
	}
	p.request(3, true) // before it knew
	ping := p.next().(*xhttp2.PingFrame)
	p.check(p.frames.WritePing(true, ping.Data))
	if last := p.goAway(codeNone); last != 3 {
		t.Errorf("stream %d was told to be the last", last)
	}
	p.request(5, true) // is not served
	close(release)
	answered := map[uint32]string{}
	for len(answered) < 2 {
		switch f := p.next().(type) {
		case *xhttp2.MetaHeadersFrame:
		case *xhttp2.DataFrame:
			answered[f.StreamID] += string(f.Data())
		default:
			t.Fatalf("%v", f)
		}
	}
	if answered[1] != "hello" || answered[3] != "hello" {
		t.Errorf("%v", answered)
	}
	p.eof()
	p.ended()
}

// A client that says nothing, or nothing any more, is not waited for.
func TestIdle(t *testing.T) {
	t.Run("no preface", func(t *testing.T) {
		p := dial(t, hello, http1.Options{HeaderTimeout: 100 * time.Millisecond})
		p.write([]byte(preface[:10]))
		p.eof()
		p.ended()
	})
	t.Run("no request", func(t *testing.T) {
		p := connect(t, hello, http1.Options{IdleTimeout: 100 * time.Millisecond})
		p.request(1, true)
		p.status(1)
		p.body(1)
		if last := p.goAway(codeNone); last != 1 {
			t.Errorf("stream %d was the last", last)
		}
		p.eof()
		p.ended()
	})
	t.Run("half a header", func(t *testing.T) {
		p := connect(t, hello, http1.Options{IdleTimeout: 100 * time.Millisecond})
		p.write([]byte{0, 0, 99, frameHeaders, flagEndHeaders, 0, 0, 0, 1, 0x82})
		p.goAway(codeNone)
		p.ended()
	})
}

// Whoever serves the connection ends it whatever is under way, and tells why.
func TestAbort(t *testing.T) {
	cause := errors.New("the end")
	entered, seen := make(chan struct{}), make(chan error, 1)
	p := connect(t, func(ctx context.Context, r *Request) *http1.Response {
		close(entered)
		<-ctx.Done()
		seen <- context.Cause(ctx)
		return text(200, "")
	}, http1.Options{})
	p.request(1, true)
	<-entered
	p.cancel(cause)
	if err := <-seen; !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	p.ended()
}

// A handler that panics costs its stream and no other.
func TestPanic(t *testing.T) {
	p := connect(t, func(_ context.Context, r *Request) *http1.Response {
		if r.Target == "/panic" {
			panic("broken")
		}
		return text(200, "hello")
	}, http1.Options{})
	p.headers(1, true, ":method: GET", ":scheme: https", ":path: /panic", ":authority: x")
	p.reset(1, codeInternal)
	p.request(3, true)
	p.status(3)
	p.body(3)
}

// Either side of a patient request may be silent for as long as the other isn't.
func TestPatient(t *testing.T) {
	const stall = 200 * time.Millisecond
	result := make(chan error, 1)
	pieces := make(chan string)
	p := connect(t, func(_ context.Context, r *Request) *http1.Response {
		r.Patient = true
		go func() {
			_, err := io.Copy(io.Discard, r.Body)
			result <- err
		}()
		return &http1.Response{Status: 200, Length: -1, Body: &channel{pieces}}
	}, http1.Options{StallTimeout: stall, MinRate: 1 << 30})
	p.request(1, false)
	p.status(1)
	for i := range 5 {
		<-time.After(stall / 2)
		pieces <- fmt.Sprint(i)
		if d, ok := p.next().(*xhttp2.DataFrame); !ok || string(d.Data()) != fmt.Sprint(i) {
			t.Fatalf("%v", d)
		}
	}
	if err := <-result; !errors.Is(err, http1.ErrSlow) {
		t.Errorf("%v", err)
	}
	close(pieces)
}

// channel is a body of pieces.
type channel struct{ pieces chan string }

func (c *channel) Read(p []byte) (int, error) {
	s, ok := <-c.pieces
	if !ok {
		return 0, io.EOF
	}
	return copy(p, s), nil
}

func (c *channel) Close() error { return nil }
