package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

func serve(t *testing.T, h message.Handler, o Options) (*Server, string, <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(h, o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Shutdown(t.Context()) })
	return s, l.Addr().String(), done
}

func dial(t *testing.T, at string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func text(status int, s string) *message.Response {
	return &message.Response{Status: status, Body: io.NopCloser(strings.NewReader(s)), Length: int64(len(s)),
		Header: message.Header{{Name: "Content-Length", Value: fmt.Sprint(len(s))}}}
}

// closes waits until the server closes the connection.
func closes(t *testing.T, c net.Conn, within time.Duration) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(within))
	if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the connection was not closed within %v", within)
	} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Errorf("the connection was not closed within %v", within)
	}
}

func TestSlowHeaderIsCutOff(t *testing.T) {
	_, at, _ := serve(t, func(context.Context, *message.Request) *message.Response { return text(200, "ok") }, Options{HeaderTimeout: 100 * time.Millisecond})
	c := dial(t, at)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-")
	closes(t, c, 10*time.Second)
}

func TestIdleConnectionIsClosed(t *testing.T) {
	_, at, _ := serve(t, func(context.Context, *message.Request) *message.Response { return text(200, "ok") }, Options{IdleTimeout: 100 * time.Millisecond})
	c := dial(t, at)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	closes(t, c, 10*time.Second)
}

func TestSlowBody(t *testing.T) {
	result := make(chan error, 1)
	h := func(_ context.Context, r *message.Request) *message.Response {
		_, err := io.Copy(io.Discard, r.Body)
		result <- err
		return text(200, "ok")
	}
	for name, o := range map[string]Options{
		"stalls": {StallTimeout: 100 * time.Millisecond},
		"drips":  {StallTimeout: 400 * time.Millisecond, MinRate: 1 << 30},
	} {
		_, at, _ := serve(t, h, o)
		c := dial(t, at)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		stop := make(chan struct{})
		if name == "drips" {
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(50 * time.Millisecond):
						io.WriteString(c, "x")
					}
				}
			}()
		}
		select {
		case err := <-result:
			if !errors.Is(err, message.ErrClientSlow) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: still reading", name)
		}
		close(stop)
	}
}

// A body that nobody reads does not hold the connection either.
func TestUnwantedBody(t *testing.T) {
	_, at, _ := serve(t, func(context.Context, *message.Request) *message.Response { return text(404, "no") }, Options{StallTimeout: 100 * time.Millisecond})
	c := dial(t, at)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
	r := bufio.NewReader(c)
	if response, err := http.ReadResponse(r, nil); err != nil || response.StatusCode != 404 {
		t.Fatalf("%v, %v", response, err)
	}
	closes(t, c, 10*time.Second)
}

// A client that waits quietly for its answer is not taken for gone, however
// long that takes after the end of its body.
func TestQuietClient(t *testing.T) {
	_, at, _ := serve(t, func(ctx context.Context, r *message.Request) *message.Response {
		io.Copy(io.Discard, r.Body)
		select {
		case <-ctx.Done():
			return text(500, "gone")
		case <-time.After(300 * time.Millisecond):
			return text(200, "ok")
		}
	}, Options{StallTimeout: 100 * time.Millisecond})
	for _, body := range []string{"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"} {
		c := dial(t, at)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\n"+body)
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || response.StatusCode != 200 {
			t.Errorf("%.20s: %v, %v", body, response, err)
		}
	}
}

// A connection is kept after a body that was read, and not after one that was
// left: its rest could be taken for a request.
func TestConnectionAfterBody(t *testing.T) {
	for _, read := range []bool{true, false} {
		requests := make(chan string, 4)
		_, at, _ := serve(t, func(_ context.Context, r *message.Request) *message.Response {
			requests <- r.Method + " " + r.Path
			if read {
				io.Copy(io.Discard, r.Body)
			}
			return text(200, "ok")
		}, Options{StallTimeout: 100 * time.Millisecond})
		c := dial(t, at)
		inner := "DELETE /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
		first := fmt.Sprintf("POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(inner))
		if read {
			first += inner
		}
		io.WriteString(c, first)
		r := bufio.NewReader(c)
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.Close == read {
			t.Fatalf("read %v: %v, %v", read, response, err)
		}
		io.Copy(io.Discard, response.Body)
		if read {
			io.WriteString(c, "POST /second HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
			if response, err := http.ReadResponse(r, nil); err != nil || response.StatusCode != 200 {
				t.Fatalf("second request: %v, %v", response, err)
			}
		} else {
			time.Sleep(150 * time.Millisecond) // until the server has stopped to read the rest
			io.WriteString(c, inner)
			closes(t, c, 10*time.Second)
		}
		close(requests)
		var got []string
		for q := range requests {
			got = append(got, q)
		}
		want := []string{"POST /first"}
		if read {
			want = append(want, "POST /second")
		}
		if !slices.Equal(got, want) {
			t.Errorf("read %v: requests %q", read, got)
		}
	}
}

func TestClientThatLeavesItsBody(t *testing.T) {
	result := make(chan error, 1)
	_, at, _ := serve(t, func(_ context.Context, r *message.Request) *message.Response {
		_, err := io.Copy(io.Discard, r.Body)
		result <- err
		return text(200, "ok")
	}, Options{})
	c := dial(t, at)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
	c.Close()
	if err := <-result; !errors.Is(err, message.ErrClientGone) {
		t.Error(err)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Close() error               { return nil }

func TestClientThatReadsNothing(t *testing.T) {
	done := make(chan error, 1)
	_, at, _ := serve(t, func(context.Context, *message.Request) *message.Response {
		return &message.Response{Status: 200, Body: endless{}, Length: -1, Done: func(_ int64, err error) { done <- err }}
	}, Options{StallTimeout: 200 * time.Millisecond})
	c := dial(t, at)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-done:
		if !errors.Is(err, message.ErrClientGone) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("still writing")
	}
}

// slowly reads a little at a time, always before the server loses patience.
func slowly(r io.Reader, stop <-chan struct{}) {
	b := make([]byte, 16<<10)
	for {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
			if _, err := r.Read(b); err != nil {
				return
			}
		}
	}
}

// A client that takes its response in small pieces, each in time, does not hold
// a connection for ever.
func TestClientThatReadsSlowly(t *testing.T) {
	done := make(chan error, 1)
	h := func(context.Context, *message.Request) *message.Response {
		return &message.Response{Status: 200, Body: endless{}, Length: -1, Done: func(_ int64, err error) { done <- err }}
	}
	o := Options{StallTimeout: 2 * time.Second, MinRate: 1 << 30}
	_, plain, _ := serve(t, h, o)
	_, secure := serveTLS(t, h, o)
	stop := make(chan struct{})
	defer close(stop)
	for name, get := range map[string]func() io.Reader{
		"HTTP/1.1": func() io.Reader {
			c := dial(t, plain)
			c.(*net.TCPConn).SetReadBuffer(4 << 10)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			return c
		},
		"HTTP/1.1 over TLS": func() io.Reader {
			c := dial(t, secure)
			c.(*net.TCPConn).SetReadBuffer(4 << 10)
			over := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			io.WriteString(over, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			return over
		},
		"HTTP/2": func() io.Reader {
			answer, err := client2(t).Get("https://" + secure + "/")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { answer.Body.Close() })
			return answer.Body
		},
	} {
		go slowly(get(), stop)
		select {
		case err := <-done:
			if !errors.Is(err, message.ErrClientGone) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: still writing", name)
		}
	}
}

// Time in which nobody waits for the client is not held against it.
func TestBackendThatReadsSlowly(t *testing.T) {
	result := make(chan error, 1)
	_, at, _ := serve(t, func(_ context.Context, r *message.Request) *message.Response {
		b := make([]byte, 64<<10)
		for {
			_, err := r.Body.Read(b)
			if err != nil {
				result <- err
				return text(200, "ok")
			}
			<-time.After(200 * time.Millisecond)
		}
	}, Options{StallTimeout: 2 * time.Second, MinRate: 1 << 30})
	c := dial(t, at)
	const size = 1 << 19
	go func() {
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
		c.Write(make([]byte, size))
	}()
	if err := <-result; err != io.EOF {
		t.Error(err)
	}
}

func TestTargets(t *testing.T) {
	seen := make(chan string, 1)
	_, at, _ := serve(t, func(_ context.Context, r *message.Request) *message.Response {
		seen <- r.Path + "|" + r.Query
		return text(200, "")
	}, Options{})
	for target, want := range map[string]string{
		"/": "/|", "/a%2Fb/../c//d?x=%20&y#f": "/a%2Fb/../c//d|x=%20&y", "//x/y": "//x/y|", "/?": "/|",
		"http://other/a?b": "/a|b", "http://other": "/|", "http://other?q": "/|q", "*": "/*|",
	} {
		c := dial(t, at)
		method := "GET"
		if target == "*" {
			method = "OPTIONS"
		}
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, target)
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("%s: %s, want %s", target, got, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: no request", target)
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	entered, release := make(chan struct{}, 3), make(chan struct{})
	_, at, _ := serve(t, func(context.Context, *message.Request) *message.Response {
		entered <- struct{}{}
		<-release
		return text(200, "ok")
	}, Options{MaxConnections: 2})
	var conns []net.Conn
	for range 3 {
		c := dial(t, at)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		conns = append(conns, c)
	}
	<-entered
	<-entered
	select {
	case <-entered:
		t.Fatal("a third connection was served")
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	for _, c := range conns {
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || response.StatusCode != 200 {
			t.Errorf("%v, %v", response, err)
		}
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, at, done := serve(t, func(context.Context, *message.Request) *message.Response {
		close(entered)
		<-release
		return text(200, "whole")
	}, Options{})
	c := dial(t, at)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(context.Background()) }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", at); err == nil {
		t.Error("still accepting")
	}
	select {
	case <-ended:
		t.Fatal("the request was not waited for")
	default:
	}
	close(release)
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "whole" {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestShortBodyIsNotWhole(t *testing.T) {
	_, at, _ := serve(t, func(context.Context, *message.Request) *message.Response {
		r := text(200, "short")
		r.Length = 10
		r.Header.Set("Content-Length", "10")
		return r
	}, Options{})
	response, err := http.Get("http://" + at)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("a short body was whole")
	}
}

func TestHeaderNamesAreKept(t *testing.T) {
	_, at, _ := serve(t, func(context.Context, *message.Request) *message.Response {
		r := text(200, "ok")
		r.Header = append(r.Header, message.Field{Name: "x-amzn-RequestId", Value: "1"}, message.Field{Name: "content-type", Value: "a/b"})
		return r
	}, Options{})
	c := dial(t, at)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(all), "\r\n")
	if !slices.Contains(lines, "x-amzn-RequestId: 1") || !slices.Contains(lines, "content-type: a/b") || strings.Count(string(all), "ontent-") != 2 {
		t.Errorf("%q", lines)
	}
}
