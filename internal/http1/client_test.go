package http1

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/loopback"
)

// backend serves each connection by a function.
func backend(t *testing.T, serve func(c net.Conn, r *bufio.Reader)) string {
	return loopback.Serve(t, func(c net.Conn) { serve(c, bufio.NewReader(c)) }).String()
}

func take(r *bufio.Reader) bool {
	request, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, request.Body)
	return err == nil
}

func do(c *Client, r *Request) (string, error) {
	a, err := c.Do(context.Background(), "", r)
	if err != nil {
		return "", err
	}
	if a.Body == nil {
		return "", nil
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	return string(body), err
}

func get() *Request { return &Request{Method: "GET", Target: "/", Header: []Field{{"Host", "a"}}} }

// Of every answer the body is right, and the connection is kept if and only if
// it is known where the next answer begins.
func TestResponses(t *testing.T) {
	for text, want := range map[string]struct {
		body string
		kept bool
	}{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":                                                                   {"ok", true},
		"HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok":                                                 {"ok", true},
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok": {"ok", true},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: u\r\n\r\n":                                {"ok", true},
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok":                                              {"ok", false},
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok":                                                                   {"ok", false},
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok":                                         {"ok", true},
		"HTTP/1.1 204 No Content\r\n\r\n":                                                                                  {"", true},
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n":                                                           {"", true},
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil":                   {"ok", false},
	} {
		var connections atomic.Int64
		c := testClient(backend(t, func(conn net.Conn, r *bufio.Reader) {
			connections.Add(1)
			for take(r) {
				io.WriteString(conn, text)
			}
		}))
		for range 2 {
			if body, err := do(c, get()); body != want.body || err != nil {
				t.Errorf("%q: %q, %v", text, body, err)
			}
		}
		if kept := connections.Load() == 1; kept != want.kept {
			t.Errorf("%q: kept %v", text, kept)
		}
		c.Retire()
	}
}

func TestRefusedResponses(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 2\r\n\r\nok",
		"HTTP/1.1 20 OK\r\n\r\n", "HTTP/2 200\r\n\r\n", "hello\r\n", "\r\n", "",
		strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxInterim+1),
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok\r\n0\r\n\r\n",
	} {
		c := testClient(backend(t, func(conn net.Conn, r *bufio.Reader) {
			take(r)
			io.WriteString(conn, text)
		}))
		if body, err := do(c, get()); err == nil {
			t.Errorf("%.80q: %q", text, body)
		}
	}
}

// A backend may answer before it has read the request, and close.
func TestEarlyResponse(t *testing.T) {
	c := testClient(backend(t, func(conn net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		conn.(*net.TCPConn).CloseWrite()
		io.CopyN(io.Discard, r, 1<<20)
	}))
	r := get()
	r.Method, r.Body, r.Length = "POST", io.LimitReader(zeros{}, 64<<20), 64<<20
	a, err := c.Do(context.Background(), "", r)
	if err != nil || a.Status != 413 {
		t.Fatalf("%v, %v", a, err)
	}
	if body, err := io.ReadAll(a.Body); string(body) != "no" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// The context ends an exchange wherever it is.
func TestContext(t *testing.T) {
	for _, text := range []string{"", "HTTP/1.1 200 OK\r\nContent-Len", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"} {
		ctx, cancel := context.WithCancel(context.Background())
		c := testClient(backend(t, func(conn net.Conn, r *bufio.Reader) {
			take(r)
			io.WriteString(conn, text)
			time.AfterFunc(50*time.Millisecond, cancel) // mostly, the client has got that far
			io.Copy(io.Discard, r)
		}))
		a, err := c.Do(ctx, "", get())
		if err == nil {
			_, err = io.ReadAll(a.Body)
			a.Body.Close()
		}
		if err != context.Canceled {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Unused connections are closed in time.
func TestIdle(t *testing.T) {
	closed := make(chan bool, 1)
	c := testClient(backend(t, func(conn net.Conn, r *bufio.Reader) {
		take(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		io.Copy(io.Discard, r)
		closed <- true
	}))
	c.IdleTimeout = 20 * time.Millisecond
	if _, err := do(c, get()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}

// A kept connection outlives the time that its last request was given.
func TestKeptBeyondTimeout(t *testing.T) {
	_, at := start(t, echo, Options{})
	c := testClient(at)
	r := get()
	r.Timeout = 500 * time.Millisecond // within which a busy machine answers, too
	if _, err := do(c, r); err != nil {
		t.Fatal(err)
	}
	time.Sleep(r.Timeout * 6 / 5)
	if _, err := do(c, r); err != nil {
		t.Fatal(err)
	}
}

// A server that ends its direction of a kept connection, and goes on reading
// it, costs a request a moment and not its timeout.
func TestServerEndsKept(t *testing.T) {
	var connections atomic.Int64
	end := make(chan struct{})
	at := backend(t, func(c net.Conn, r *bufio.Reader) {
		first := connections.Add(1) == 1
		take(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if first {
			<-end
			c.(*net.TCPConn).CloseWrite()
		}
		io.Copy(io.Discard, r)
	})
	c := testClient(at)
	if _, err := do(c, get()); err != nil {
		t.Fatal(err)
	}
	close(end)
	kept := (*c.idle[""])[0].in.raw
	for deadline := time.Now().Add(10 * time.Second); !left(kept); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the end did not come")
		}
	}
	r, start := get(), time.Now()
	r.Timeout = 20 * time.Second
	if body, err := do(c, r); err != nil || body != "ok" {
		t.Fatalf("%q, %v", body, err)
	}
	if took := time.Since(start); took > 10*time.Second || connections.Load() != 2 {
		t.Errorf("took %v, %d connections", took, connections.Load())
	}
}

// A body to be replayed comes whole behind its head, also if there is no room for
// it at once.
func TestReplaySent(t *testing.T) {
	for _, size := range []int{1, 100, 10_000, 40_000} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte('a' + i%23)
		}
		at := loopback.Serve(t, func(c net.Conn) {
			c.(*net.TCPConn).SetReadBuffer(4096)
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d of %d bytes, %v", len(got), len(body), err)
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		client := testClient(at.String())
		client.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at.String())
			if err == nil {
				c.(*net.TCPConn).SetWriteBuffer(4096)
			}
			return c, err
		}
		response, err := client.Do(t.Context(), "", &Request{Method: "POST", Target: "/", Host: "a", Replay: body})
		if err != nil || response.Status != 200 {
			t.Errorf("%d bytes: %v, %v", size, response, err)
		}
		client.Retire()
	}
}

// A body that is there is taken without a copy, and one that is not is read.
func TestWhole(t *testing.T) {
	asked := make(chan struct{}, 1)
	_, at := start(t, func(_ context.Context, r *Request) *Response {
		whole, _ := r.Body.(Whole).Whole()
		asked <- struct{}{}
		rest, err := io.ReadAll(r.Body)
		if err != nil {
			return &Response{Status: 400}
		}
		return text(fmt.Sprintf("%d %d", len(whole), len(rest)))
	}, Options{})
	c := dial(t, at)
	r := bufio.NewReader(c)
	for _, test := range []struct{ pieces, want string }{
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "3 0"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na|bc", "0 3"},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "0 3"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc", "0 3"},
	} {
		first, second, _ := strings.Cut(test.pieces, "|")
		io.WriteString(c, first)
		<-asked
		io.WriteString(c, second)
		if strings.Contains(first, "Expect") {
			if line, err := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("%q, %v", line, err)
			}
			r.ReadString('\n')
		}
		if _, body := answer(t, r, "POST"); body != test.want {
			t.Errorf("%q: %q, want %q", first, body, test.want)
		}
	}
}

// A connection is found by its key after the request whose strings the key was of.
func TestKeyOutlivesItsRequest(t *testing.T) {
	var dialled atomic.Int32
	_, at := start(t, echo, Options{})
	c := testClient(at)
	dial := c.Dial
	c.Dial = func(ctx context.Context, key string) (net.Conn, error) {
		dialled.Add(1)
		return dial(ctx, key)
	}
	var texts Texts
	for _, before := range []string{"", "another"} {
		texts.Reset()
		texts.Of([]byte(before))
		a, err := c.Do(t.Context(), texts.Of([]byte("one")), get())
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, a.Body)
		a.Body.Close()
	}
	if n := dialled.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
