package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/way"
)

// backend2 is a server of HTTP/2 by prior knowledge, or over TLS.
func backend2(t *testing.T, secure bool, h http.HandlerFunc, change ...func(*http.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.Protocols.SetHTTP2(secure)
	for _, f := range change {
		f(s.Config)
	}
	if s.EnableHTTP2 = secure; secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func pool2(t *testing.T, at string, secure bool) *Pool {
	t.Helper()
	u := way.Upstream{Destinations: []way.Destination{{Address: netip.MustParseAddrPort(at)}}}
	p := NewHTTP2Pool(u, secure, Options{AnyCertificate: true, Dialing: Dialing{ConnectTimeout: 5 * time.Second}})
	t.Cleanup(p.Retire)
	return p
}

func read2(t *testing.T, r *message.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	return string(b)
}

func TestHTTP2Exchange(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := backend2(t, secure, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Multi", "a")
			w.Header().Add("X-Multi", "b")
			fmt.Fprintf(w, "%s %s %s %s %v te=%s ua=%q body=%s trailer=%s len=%d", r.Proto, r.Method, r.RequestURI, r.Host,
				r.TLS != nil, r.Header.Get("Te"), r.Header.Get("User-Agent"), body, r.Trailer.Get("X-Sum"), r.ContentLength)
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		})
		p := pool2(t, s.Listener.Addr().String(), secure)
		response, err := p.Do(t.Context(), &Request{
			Method: "POST", Path: "//a%2Fb/../c", Query: "q=%20", Host: "shop.example:8080", Secure: secure,
			Header: message.Header{{Name: "te", Value: "trailers"}}, Length: -1,
			Body: &trailing{http.Header{"X-Sum": nil}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`HTTP/2.0 POST //a%%2Fb/../c?q=%%20 shop.example:8080 %v te=trailers ua="" body= trailer=5 len=-1`, secure)
		if got := read2(t, response); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		if v := response.Header.Values("x-multi"); len(v) != 2 || message.Trailer(response.Body).Get("grpc-status") != "0" {
			t.Errorf("header %v, trailer %v", response.Header, message.Trailer(response.Body))
		}
		response, err = p.Do(t.Context(), &Request{Method: "PUT", Path: "/", Host: "a", Secure: secure, Replay: []byte("held")})
		if err != nil {
			t.Fatal(err)
		}
		if got := read2(t, response); !strings.Contains(got, "body=held") || !strings.HasSuffix(got, "len=4") {
			t.Error(got)
		}
	}
}

// A connection remembers the fields that it has sent (RFC 7541, section 2.3.2):
// not in the memory of requests that have ended.
func TestHTTP2FieldsOutliveTheirRequest(t *testing.T) {
	s := backend2(t, false, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, r.RequestURI, r.Host, r.Header.Get("X-Mark"))
	})
	p := pool2(t, s.Listener.Addr().String(), false)
	var texts http1.Texts
	for i := range 100 {
		want := func(of string) string { return fmt.Sprintf("%s%d", of, i%7) }
		of := func(s string) string { return texts.Of([]byte(want(s))) }
		response, err := p.Do(t.Context(), &Request{
			Method: of("M"), Path: of("/path"), Query: of("query"), Host: of("host"), Texts: &texts,
			Header: message.Header{{Name: texts.Of([]byte("x-mark")), Value: of("mark")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := read2(t, response), want("M")+want("/path")+"?"+want("query")+want("host")+want("mark"); got != want {
			t.Fatalf("request %d: %s, want %s", i, got, want)
		}
		texts.Reset()
	}
}

// trailing is an empty body with something behind it.
type trailing struct{ trailer http.Header }

func (b *trailing) Read([]byte) (int, error) {
	b.trailer.Set("X-Sum", "5")
	return 0, io.EOF
}

func (b *trailing) Trailer() http.Header { return b.trailer }

// TestHTTP2BothWays: each side sees at once what the other sends.
func TestHTTP2BothWays(t *testing.T) {
	s := backend2(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		b := make([]byte, 100)
		for {
			n, err := r.Body.Read(b)
			if err != nil {
				return
			}
			w.Write(b[:n])
			http.NewResponseController(w).Flush()
		}
	})
	p := pool2(t, s.Listener.Addr().String(), false)
	in, out := io.Pipe()
	response, err := p.Do(t.Context(), &Request{Method: "POST", Path: "/", Host: "a", Body: in, Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	for i := range 50 {
		sent := fmt.Sprint("message ", i)
		go io.WriteString(out, sent)
		if n, err := io.ReadAtLeast(response.Body, b, len(sent)); err != nil || string(b[:n]) != sent {
			t.Fatalf("%q, %v", b[:n], err)
		}
	}
	out.Close()
	if rest := read2(t, response); rest != "" {
		t.Errorf("%q", rest)
	}
}

// TestHTTP2Connections: requests share connections up to what the backend
// allows, and none waits for another.
func TestHTTP2Connections(t *testing.T) {
	var conns atomic.Int64
	var inside sync.WaitGroup
	release := make(chan struct{})
	s := backend2(t, false, func(http.ResponseWriter, *http.Request) {
		inside.Done()
		<-release
	}, func(c *http.Server) {
		c.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 10}
		c.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed:
				conns.Add(-1)
			}
		}
	})
	p := pool2(t, s.Listener.Addr().String(), false)
	const requests = 45
	inside.Add(requests)
	var done sync.WaitGroup
	for range requests {
		done.Go(func() {
			response, err := p.Do(t.Context(), &Request{Method: "GET", Path: "/", Host: "a"})
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
		})
	}
	inside.Wait()
	if n := conns.Load(); n != 5 {
		t.Errorf("%d connections for %d requests, of which one carries 10", n, requests)
	}
	p.Retire()
	close(release)
	done.Wait()
	waitFor(t, "the connections of a retired pool to end", func() bool { return conns.Load() == 0 })
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("wait for %s: too long", what)
		}
	}
}

// TestHTTP2Ends: whoever ends a stream, the other side learns of it.
func TestHTTP2Ends(t *testing.T) {
	came, left := make(chan struct{}, 4), make(chan error, 1)
	s := backend2(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/reset":
			panic(http.ErrAbortHandler)
		case "/half":
			io.WriteString(w, "half")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/wait", "/stream":
			if r.URL.Path == "/stream" {
				http.NewResponseController(w).Flush()
			}
			came <- struct{}{}
			<-r.Context().Done()
			left <- r.Context().Err()
		}
	})
	p := pool2(t, s.Listener.Addr().String(), false)
	request := func(path string) *Request { return &Request{Method: "GET", Path: path, Host: "a"} }

	if _, err := p.Do(t.Context(), request("/reset")); err == nil || err.Error() != "backend: the stream was reset: INTERNAL_ERROR" || err.Kind != Network {
		t.Errorf("reset: %v", err)
	}
	response, err := p.Do(t.Context(), request("/half"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(response.Body); string(b) != "half" || err == nil {
		t.Errorf("half a response: %q, %v", b, err)
	}
	response.Body.Close()

	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-came; cancel() }()
	if _, err := p.Do(ctx, request("/wait")); err == nil || err.Layer != LayerClient {
		t.Errorf("cancelled: %v", err)
	}
	<-left

	silent := request("/wait")
	silent.Timeout = 500 * time.Millisecond // a request comes to the backend within it, also on a busy machine
	if _, err := p.Do(t.Context(), silent); err == nil || err.Kind != Timeout {
		t.Errorf("silent: %v", err)
	}
	<-left

	silent = request("/stream")
	silent.Timeout = 500 * time.Millisecond
	if response, err = p.Do(t.Context(), silent); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(response.Body); !errors.Is(err, ErrTimeout) {
		t.Errorf("silent in the response: %v", err)
	}
	<-left
	response.Body.Close()

	if response, err = p.Do(t.Context(), request("/stream")); err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	<-left
}

func TestHTTP2NotSpoken(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := silent.Addr().String()
	silent.Close()
	for _, c := range []struct {
		at     string
		secure bool
		kind   Kind
		cause  string
	}{
		{plain.Listener.Addr().String(), false, Protocol, "backend: it does not speak HTTP/2"},
		{secure.Listener.Addr().String(), true, TLS, "tls"},
		{closed, false, Network, "connect: " + closed + ": connection refused"},
	} {
		_, err := pool2(t, c.at, c.secure).Do(t.Context(), &Request{Method: "GET", Path: "/", Host: "a", Secure: c.secure})
		if err == nil || err.Kind != c.kind || !strings.HasPrefix(err.Error(), c.cause) {
			t.Errorf("%s: %v", c.cause, err)
		}
	}
}

// frames speaks HTTP/2 by hand, with a client's first connections and later
// ones.
func frames(t *testing.T, answer func(conn int, stream uint32, write func(kind, flags byte, stream uint32, payload ...byte))) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				write := func(kind, flags byte, stream uint32, payload ...byte) {
					head := []byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}
					c.Write(append(head, payload...))
				}
				io.CopyN(io.Discard, c, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
				write(4, 0, 0)
				for {
					var head [9]byte
					if _, err := io.ReadFull(c, head[:]); err != nil {
						return
					}
					io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
					switch {
					case head[3] == 4 && head[4] == 0:
						write(4, 1, 0)
					case head[4]&1 != 0 && head[3] <= 1: // HEADERS or DATA with END_STREAM
						answer(i, uint32(head[7])<<8|uint32(head[8]), write)
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestHTTP2SentAgain: only what the backend did not look at is sent again.
func TestHTTP2SentAgain(t *testing.T) {
	const (
		headers, reset, goAway = 1, 3, 7
		endHeaders, endStream  = 4, 1
	)
	ok := byte(0x88) // :status 200
	for name, c := range map[string]struct {
		first func(stream uint32, write func(kind, flags byte, stream uint32, payload ...byte))
		again bool
	}{
		"refused": {func(s uint32, w func(byte, byte, uint32, ...byte)) { w(reset, 0, s, 0, 0, 0, 7) }, true},
		"GOAWAY before it": {func(_ uint32, w func(byte, byte, uint32, ...byte)) {
			w(goAway, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		}, true},
		"reset": {func(s uint32, w func(byte, byte, uint32, ...byte)) { w(reset, 0, s, 0, 0, 0, 2) }, false},
	} {
		for _, kind := range []string{"held", "streamed", "none"} {
			var seen atomic.Int64
			at := frames(t, func(conn int, stream uint32, write func(kind, flags byte, stream uint32, payload ...byte)) {
				if seen.Add(1) == 1 {
					c.first(stream, write)
					return
				}
				write(headers, endHeaders|endStream, stream, ok)
			})
			r := &Request{Method: "POST", Path: "/", Host: "a"}
			switch kind {
			case "held":
				r.Replay = []byte("body")
			case "streamed":
				r.Body, r.Length = strings.NewReader("body"), -1
			}
			response, err := pool2(t, at, false).Do(t.Context(), r)
			if (err == nil) != c.again {
				t.Errorf("%s, body %s: %v", name, kind, err)
			}
			if err == nil {
				response.Body.Close()
			}
			if n := seen.Load(); (n == 2) != c.again {
				t.Errorf("%s, body %s: seen %d times", name, kind, n)
			}
		}
	}
}

// TestHTTP2Silence: a connection on which nothing comes is not used again.
func TestHTTP2Silence(t *testing.T) {
	at := frames(t, func(conn int, stream uint32, write func(kind, flags byte, stream uint32, payload ...byte)) {
		if conn > 0 {
			write(1, 5, stream, 0x88)
		}
	})
	p := pool2(t, at, false)
	r := &Request{Method: "POST", Path: "/", Host: "a", Timeout: 100 * time.Millisecond}
	if _, err := p.Do(t.Context(), r); err == nil || err.Kind != Timeout {
		t.Fatal(err)
	}
	r.Timeout = 20 * time.Second
	response, err := p.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

// TestHTTP2Replay: a backend that answers before it has the whole body gets what
// it was sent, even if the body's memory has another use by then.
func TestHTTP2Replay(t *testing.T) {
	got, release := make(chan string, 1), make(chan struct{})
	s := backend2(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-release
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}, func(c *http.Server) {
		c.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10} // the rest is still to be sent
	})
	want := strings.Repeat("x", 256<<10)
	memory := []byte(want)
	response, err := pool2(t, s.Listener.Addr().String(), false).Do(t.Context(), &Request{Method: "POST", Path: "/", Host: "a", Replay: memory})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	clear(memory)
	close(release)
	if body := <-got; body != want {
		t.Errorf("%d bytes, of which %d are not what was sent", len(body), len(body)-strings.Count(body, "x"))
	}
}

// TestHTTP2Status: a status that is none ends the exchange.
func TestHTTP2Status(t *testing.T) {
	for _, status := range []string{"1000", "-200", "99"} {
		at := frames(t, func(_ int, stream uint32, write func(kind, flags byte, stream uint32, payload ...byte)) {
			write(1, 4, stream, append([]byte{0x08, byte(len(status))}, status...)...) // a literal :status, and no end
		})
		p := pool2(t, at, false)
		if _, err := p.Do(t.Context(), &Request{Method: "GET", Path: "/", Host: "a"}); err == nil || err.Kind != Protocol {
			t.Errorf("%s: %v", status, err)
		}
		waitFor(t, "the stream to end", func() bool {
			p.http2.mu.Lock()
			defer p.http2.mu.Unlock()
			return p.http2.conns[0].InFlight() == 0
		})
	}
}

// TestHTTP2Clock: a look at the clock that meets the exchange's end does not
// wind it up again.
func TestHTTP2Clock(t *testing.T) {
	x := &http2Exchange{client: &http2Client{}, timeout: time.Hour}
	x.ctx, x.cancel = context.WithCancelCause(t.Context())
	x.begin()
	x.end(context.Canceled)
	x.look()
	if x.clock.Stop() {
		t.Error("the clock goes on")
	}
}

// TestKeptTrailer: each sending has fields of its own behind the body, which have
// their values at its end.
func TestKeptTrailer(t *testing.T) {
	b := newKeptBody(&trailing{http.Header{"X-Sum": nil}}, &http2Exchange{began: time.Now()})
	first, _ := b.open()
	second, _ := b.open()
	for i, r := range []*keptReader{first, second} {
		if values, announced := r.trailer["X-Sum"]; !announced || values != nil {
			t.Errorf("%d before the end: %v", i, r.trailer)
		}
		if _, err := io.Copy(io.Discard, r); err != nil || r.trailer.Get("X-Sum") != "5" {
			t.Errorf("%d: %v, %v", i, r.trailer, err)
		}
	}
}

// TestKeptBody: what a reader that was given up gets belongs to the next one.
func TestKeptBody(t *testing.T) {
	x := &http2Exchange{began: time.Now()}
	in, out := io.Pipe()
	b := newKeptBody(in, x)
	first, _ := b.open()
	buf := make([]byte, 100)
	go io.WriteString(out, "one ")
	if n, err := first.Read(buf); string(buf[:n]) != "one " || err != nil {
		t.Fatal(n, err)
	}
	blocked := make(chan error)
	go func() {
		_, err := first.Read(make([]byte, 100))
		blocked <- err
	}()
	waitFor(t, "the first reader to read", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.reading })
	first.Close()
	second, ok := b.open()
	if !ok {
		t.Fatal("the body is not there any more")
	}
	b.settle()
	go func() {
		io.WriteString(out, "two ")
		io.WriteString(out, strings.Repeat("x", 2*holdable))
		out.Close()
	}()
	all, err := io.ReadAll(second)
	if err != nil || string(all) != "one two "+strings.Repeat("x", 2*holdable) {
		t.Errorf("%d bytes, %.20q, %v", len(all), all, err)
	}
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	b = newKeptBody(strings.NewReader(strings.Repeat("x", 2*holdable)), x)
	first, _ = b.open()
	io.Copy(io.Discard, first)
	if _, ok := b.open(); ok {
		t.Error("a long body is kept")
	}
}

// TestHTTP2Retired: no connection of a retired pool stays open without requests,
// but requests that come late are served.
func TestHTTP2Retired(t *testing.T) {
	var open atomic.Int64
	s := backend2(t, false, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }, func(c *http.Server) {
		c.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Add(-1)
			}
		}
	})
	p := pool2(t, s.Listener.Addr().String(), false)
	p.Retire()
	c := p.http2
	c.mu.Lock()
	c.open()
	o := c.opening
	o.waiting++ // a request, which will be given up
	c.mu.Unlock()
	<-o.done
	if o.err != nil {
		t.Fatal(o.err)
	}
	c.tidy()
	if p.Unused() {
		t.Error("a connection was closed that a request waits for")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.mu.Lock()
	o.waiting--
	c.wait(ctx, o)
	c.mu.Unlock()
	waitFor(t, "the end of a connection that nobody uses", p.Unused)
	for range 100 {
		response, err := p.Do(t.Context(), &Request{Method: "POST", Path: "/", Host: "a"})
		if err != nil {
			t.Fatal(err)
		}
		read2(t, response)
	}
	waitFor(t, "the ends of connections", func() bool { return p.Unused() && open.Load() == 0 })
}

// TestHTTP2RetireWaitsForNone: the ends of connections are not waited for.
func TestHTTP2RetireWaitsForNone(t *testing.T) {
	s := backend2(t, false, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	p := pool2(t, s.Listener.Addr().String(), false)
	closing, release := make(chan bool, 1), make(chan bool)
	defer close(release)
	p.http2.dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Listener.Addr().String())
		return &stuck{conn, closing, release}, err
	}
	response, err := p.Do(t.Context(), &Request{Method: "GET", Path: "/", Host: "a"})
	if err != nil {
		t.Fatal(err)
	}
	read2(t, response)
	waitFor(t, "the end of the request", func() bool {
		p.http2.mu.Lock()
		defer p.http2.mu.Unlock()
		return p.http2.conns[0].InFlight() == 0
	})
	var retired atomic.Bool
	go func() {
		p.Retire()
		retired.Store(true)
	}()
	<-closing
	waitFor(t, "Retire", retired.Load)
}

// stuck is a connection whose end takes as long as that of TLS with a backend
// that reads nothing.
type stuck struct {
	net.Conn
	closing, release chan bool
}

func (s *stuck) Close() error {
	select {
	case s.closing <- true:
	default:
	}
	<-s.release
	return s.Conn.Close()
}
