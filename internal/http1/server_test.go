package http1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// start serves a handler on loopback until the test ends.
func start(t testing.TB, h Handler, o Options) (*Server, string) {
	t.Helper()
	s := NewServer(h, o)
	return s, serveUntilEnd(t, s, s.Serve)
}

// serveUntilEnd has a server serve on loopback until the test ends.
func serveUntilEnd(t testing.TB, s *Server, serve func(net.Listener) error) (at string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func dial(t testing.TB, at string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func text(s string) *Response {
	return &Response{Status: 200, Body: io.NopCloser(strings.NewReader(s)), Length: int64(len(s))}
}

// echo answers with what it was sent.
func echo(_ context.Context, r *Request) *Response {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return &Response{Status: 400}
		}
	}
	return text(r.Method + " " + r.Target + " " + string(body))
}

func answer(t *testing.T, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	a, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, string(body)
}

// Requests that come at once are answered one after the other.
func TestPipelining(t *testing.T) {
	_, at := start(t, echo, Options{})
	c := dial(t, at)
	var all strings.Builder
	for i := range 50 {
		fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d", i, i)
		fmt.Fprintf(&all, "PUT /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", i)
	}
	go io.WriteString(c, all.String())
	r := bufio.NewReader(c)
	for i := range 50 {
		if _, body := answer(t, r, "POST"); body != fmt.Sprintf("POST /%d %02d", i, i) {
			t.Fatalf("%q", body)
		}
		if _, body := answer(t, r, "PUT"); body != fmt.Sprintf("PUT /%d x", i) {
			t.Fatalf("%q", body)
		}
	}
}

// Nothing behind a refused request is taken for another one.
func TestRefusalEndsTheConnection(t *testing.T) {
	_, at := start(t, func(_ context.Context, r *Request) *Response {
		if r.Target == "/smuggled" || r.Body == nil {
			t.Errorf("the handler was called for %s %s", r.Method, r.Target)
			return text("")
		}
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Error("a wrong body has come to its end")
		}
		return &Response{Status: 400}
	}, Options{})
	try := func(request string, status int) {
		c := dial(t, at)
		go io.WriteString(c, request+"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%.80q: %v", request, err)
			return
		}
		rest, _ := io.ReadAll(a.Body)
		if a.StatusCode != status || !a.Close || len(rest) > 0 {
			t.Errorf("%.80q: %d, close %v, %q", request, a.StatusCode, a.Close, rest)
		}
	}
	for request, status := range refusedHeads {
		try(request, status)
	}
	for request := range refusedBodies {
		try(request, 400)
	}
}

func TestKeptConnections(t *testing.T) {
	_, at := start(t, func(_ context.Context, r *Request) *Response {
		if r.Target == "/unknown" {
			return &Response{Status: 200, Body: io.NopCloser(strings.NewReader("abc")), Length: -1}
		}
		return text("abc")
	}, Options{})
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                               "",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n":                       "close",
		"GET / HTTP/1.0\r\n\r\n":                                                          "close",
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":                                "keep-alive",
		"GET /unknown HTTP/1.1\r\nHost: a\r\n\r\n":                                        "",
		"GET /unknown HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":                         "close",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n": "close", // the body was not wanted
	} {
		c := dial(t, at)
		io.WriteString(c, request)
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		if a.Close {
			a.Header.Set("Connection", "close")
		}
		if got := a.Header.Get("Connection"); got != want || string(body) != "abc" || err != nil {
			t.Errorf("%q: connection %q, %q, %v", request, got, body, err)
		}
	}
}

func TestContinue(t *testing.T) {
	_, at := start(t, echo, Options{})
	c := dial(t, at)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	r.ReadString('\n')
	io.WriteString(c, "ab")
	if _, body := answer(t, r, "POST"); body != "POST / ab" {
		t.Errorf("%q", body)
	}
}

// slowly is a body of which each piece comes when it is asked for by the test.
type slowly struct{ pieces chan string }

func (s slowly) Read(p []byte) (int, error) {
	piece, ok := <-s.pieces
	if !ok {
		return 0, io.EOF
	}
	return copy(p, piece), nil
}
func (slowly) Close() error  { return nil }
func (slowly) Buffered() int { return 0 }

// The head, and each piece of a body, go out as they come.
func TestStreaming(t *testing.T) {
	body := slowly{make(chan string)}
	_, at := start(t, func(context.Context, *Request) *Response { return &Response{Status: 200, Body: body, Length: -1} }, Options{})
	c := dial(t, at)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"one", "two"} {
		body.pieces <- piece
		got := make([]byte, 3)
		if _, err := io.ReadFull(a.Body, got); err != nil || string(got) != piece {
			t.Fatalf("%q, %v", got, err)
		}
	}
	close(body.pieces)
	if n, err := a.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}

// What a handler puts into a header can be neither another field nor another
// message.
func TestResponseSplitting(t *testing.T) {
	_, at := start(t, func(context.Context, *Request) *Response {
		r := text("ok")
		r.Header = []Field{{"X", "a\r\nSet-Cookie: b"}, {"Y\r\nZ", "c"}, {"Content-Length", "99"}, {"Transfer-Encoding", "chunked"}}
		return r
	}, Options{})
	c := dial(t, at)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	a, body := answer(t, bufio.NewReader(c), "GET")
	if a.Header.Get("X") != "a  Set-Cookie: b" || a.Header.Get("Set-Cookie") != "" || a.Header.Get("Z") != "" || body != "ok" {
		t.Errorf("%v %q", a.Header, body)
	}
}

// A client that leaves ends the context of its request.
func TestClientLeaves(t *testing.T) {
	ended := make(chan error, 1)
	_, at := start(t, func(ctx context.Context, _ *Request) *Response {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return &Response{Status: 500}
	}, Options{})
	c := dial(t, at)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrGone) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the handler still runs")
	}
}

// Nothing is looked at any more once requests have ended.
func TestWatchEnds(t *testing.T) {
	s, at := start(t, echo, Options{})
	c := dial(t, at)
	r := bufio.NewReader(c)
	for range 2 { // the second time, the timer is there
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		answer(t, r, "GET")
		for end, armed := time.Now().Add(10*time.Second), 1; armed > 0; {
			if time.Now().After(end) {
				t.Fatalf("%d connections are looked at", armed)
			}
			<-time.After(watchEvery / 10)
			s.watches.mu.Lock()
			armed = len(s.watches.armed)
			s.watches.mu.Unlock()
		}
	}
}

// A client that sends its next request while one is handled has not left.
func TestEarlyNextRequest(t *testing.T) {
	_, at := start(t, func(ctx context.Context, r *Request) *Response {
		select {
		case <-ctx.Done():
			return text("gone")
		case <-time.After(4 * watchEvery):
			return text(r.Target)
		}
	}, Options{})
	c := dial(t, at)
	r := bufio.NewReader(c)
	io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	time.AfterFunc(2*watchEvery, func() { io.WriteString(c, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n") })
	for _, want := range []string{"/1", "/2"} {
		if _, body := answer(t, r, "GET"); body != want {
			t.Errorf("%q, want %q", body, want)
		}
	}
}

// A proxied request through both sides of the engine allocates little.
func TestAllocations(t *testing.T) {
	_, backend := start(t, func(context.Context, *Request) *Response { return &Response{Status: 200} }, Options{})
	client := testClient(backend)
	_, at := start(t, func(ctx context.Context, r *Request) *Response {
		a, err := client.Do(ctx, "", &Request{Method: r.Method, Target: r.Target, Header: r.Header})
		if err != nil {
			return &Response{Status: 502}
		}
		return a
	}, Options{})
	c := dial(t, at)
	buf := make([]byte, 4096)
	request := []byte("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n")
	allocations := testing.AllocsPerRun(200, func() {
		c.Write(request)
		if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	})
	if allocations > 24 {
		t.Errorf("%v allocations for a request at the proxy and at the backend", allocations)
	}
	t.Logf("%v allocations", allocations)
}

func testClient(at string) *Client {
	return &Client{
		Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", at)
		},
		IdleTimeout: time.Minute, MaxIdle: 16, HeadLimit: 16 << 10,
	}
}

func BenchmarkProxy(b *testing.B) {
	_, backend := start(b, func(context.Context, *Request) *Response { return text(strings.Repeat("x", 100)) }, Options{})
	client := testClient(backend)
	_, at := start(b, func(ctx context.Context, r *Request) *Response {
		a, err := client.Do(ctx, "", &Request{Method: r.Method, Target: r.Target, Header: r.Header})
		if err != nil {
			return &Response{Status: 502}
		}
		return a
	}, Options{})
	c := dial(b, at)
	c.SetDeadline(time.Time{})
	buf := make([]byte, 4096)
	request := []byte("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		c.Write(request)
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// Requests that take about as long as the watch waits are each answered once,
// and nobody reads the connection beside the server.
func TestLateLooks(t *testing.T) {
	_, at := start(t, func(_ context.Context, r *Request) *Response {
		if r.Body != nil {
			if _, err := io.ReadAll(r.Body); err != nil {
				return &Response{Status: 400}
			}
		}
		<-time.After(2*watchEvery - 200*time.Microsecond)
		return text(r.Target)
	}, Options{})
	var clients sync.WaitGroup
	for range 16 {
		c := dial(t, at)
		clients.Go(func() {
			r := bufio.NewReader(c)
			for i := range 30 {
				c.SetDeadline(time.Now().Add(10 * time.Second)) // for each: a busy machine needs long for all
				fmt.Fprintf(c, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, i%2, "x"[:i%2])
				a, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if body, _ := io.ReadAll(a.Body); string(body) != fmt.Sprintf("/%d", i) {
					t.Errorf("%q", body)
				}
			}
		})
	}
	clients.Wait()
}

// A connection outlives the time that a piece of its last request's body was
// given.
func TestKeptBeyondStall(t *testing.T) {
	_, at := start(t, func(_ context.Context, r *Request) *Response {
		io.Copy(io.Discard, r.Body)
		<-time.After(600 * time.Millisecond)
		return text("ok")
	}, Options{StallTimeout: 500 * time.Millisecond}) // within which a busy machine's client sends, too
	c := dial(t, at)
	r := bufio.NewReader(c)
	for range 2 {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
		if line, err := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" { // the body is waited for
			t.Fatalf("%q, %v", line, err)
		}
		r.ReadString('\n')
		io.WriteString(c, "1\r\na\r\n0\r\n\r\n")
		if _, body := answer(t, r, "POST"); body != "ok" {
			t.Errorf("%q", body)
		}
	}
}

// A client that ends its direction together with its request is answered, and
// its connection closed soon: also if both were there before the server looked.
func TestEndWithRequest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, l.Addr().String())
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.(*net.TCPConn).CloseWrite()
	s := NewServer(echo, Options{Connect: func(_, _ netip.AddrPort) any {
		<-time.After(50 * time.Millisecond) // the runtime's poller hears of both meanwhile
		return nil
	}})
	go s.Serve(l)
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	begin := time.Now()
	all, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 200") {
		t.Errorf("%q, %v", all, err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("closed after %v", took)
	}
}
