package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// noted is a body that tells what came by pipe.
type noted struct {
	io.Reader
	piped func(int)
}

func (n noted) ReadPipe(p *Pipe) (int, error) {
	got, err := ReadPipe(n.Reader, p)
	n.piped(got)
	return got, err
}

func (n noted) Close() error { return n.Reader.(io.Closer).Close() }

// contents are bytes of which no two pieces are the same.
func contents(size int) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i+8 <= size; i += 8 {
		copy(b[i:], strconv.FormatUint(r.Uint64()|1<<63, 36))
	}
	return b
}

// proxyTo passes requests on, and reports what became of each.
func proxyTo(t *testing.T, origin string, piped func(int), done func(int64, error)) string {
	client := testClient(origin)
	_, at := start(t, func(ctx context.Context, r *Request) *Response {
		on := &Request{Method: r.Method, Target: r.Target, Header: r.Header, Length: r.Length, Timeout: 10 * time.Second}
		if r.Body != nil {
			on.Body = noted{r.Body, piped}
		}
		a, err := client.Do(ctx, "", on)
		if err != nil {
			return &Response{Status: 502}
		}
		if a.Done = done; a.Body != nil {
			a.Body = noted{a.Body, piped}
		}
		return a
	}, Options{})
	return at
}

// pipesAtRest fails if a pipe was lost, or given back with something in it.
func pipesAtRest(t *testing.T) {
	t.Helper()
	for begin := time.Now(); int(pipes.open.Load()) != len(pipes.idle); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%d pipes are open, %d of them idle", pipes.open.Load(), len(pipes.idle))
		}
	}
	for range len(pipes.idle) {
		p := <-pipes.idle
		if n, err := unix.IoctlGetInt(p.r, unix.TIOCINQ); err != nil || n > 0 || p.held > 0 {
			t.Errorf("an idle pipe has %d bytes in it, and says %d: %v", n, p.held, err)
		}
		pipes.idle <- p
	}
}

// Bodies of all sizes arrive as they were sent, through pipes or not, on kept
// connections, however they are cut up and however slowly they are read.
func TestPiped(t *testing.T) {
	sizes := []int{1, 32 << 10, 90 << 10, 96 << 10, 97<<10 + 1, 1 << 20, 8<<20 + 7}
	all := contents(sizes[len(sizes)-1])
	origin := backend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			size, _ := strconv.Atoi(request.URL.Path[1:])
			b := append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size), all[:size]...)
			for len(b) > 0 {
				n := min(len(b), 1+rand.IntN(300<<10))
				if request.URL.RawQuery != "pieces" {
					n = len(b)
				}
				if _, err := c.Write(b[:n]); err != nil {
					return
				}
				b = b[n:]
			}
		}
	})
	var piped atomic.Int64
	at := proxyTo(t, origin, func(n int) { piped.Add(int64(n)) }, func(int64, error) {})
	c := dial(t, at)
	r := bufio.NewReader(c)
	for _, query := range []string{"", "pieces", "slow"} {
		if query == "slow" {
			c.(*net.TCPConn).SetReadBuffer(256 << 10)
		}
		for _, size := range sizes {
			piped.Store(0)
			write(t, c, fmt.Sprintf("GET /%d?%s HTTP/1.1\r\nHost: a\r\n\r\n", size, query))
			a, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for {
				_, err := io.CopyN(&got, a.Body, 1+rand.Int64N(200<<10))
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if query == "slow" {
					time.Sleep(time.Millisecond) // 100 kB in a millisecond: the server waits for its client
				}
			}
			if !bytes.Equal(got.Bytes(), all[:size]) {
				t.Fatalf("%d bytes, %q: %d others arrived", size, query, got.Len())
			}
			if got := piped.Load() > 0; size >= 1<<20 && !got || size < leastPiped && got {
				t.Errorf("%d bytes, %q: %d came by pipe", size, query, piped.Load())
			}
		}
	}
	pipesAtRest(t)
}

// So do bodies of requests.
func TestPipedRequests(t *testing.T) {
	all := contents(3<<20 + 7)
	sums := make(chan []byte, 1)
	origin := backend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if request.URL.RawQuery == "slow" { // the proxy waits for its server
				c.(*net.TCPConn).SetReadBuffer(256 << 10)
			}
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return
			}
			sums <- body
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	var piped atomic.Int64
	c := dial(t, proxyTo(t, origin, func(n int) { piped.Add(int64(n)) }, nil))
	r := bufio.NewReader(c)
	for _, query := range []string{"", "pieces", "slow"} {
		for _, size := range []int{1, 40 << 10, 1 << 20, len(all)} {
			piped.Store(0)
			b := append(fmt.Appendf(nil, "PUT /?%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", query, size), all[:size]...)
			for len(b) > 0 {
				n := len(b)
				if query == "pieces" {
					n = min(n, 1+rand.IntN(300<<10))
				}
				if _, err := c.Write(b[:n]); err != nil {
					t.Fatal(err)
				}
				b = b[n:]
			}
			if got := <-sums; !bytes.Equal(got, all[:size]) {
				t.Fatalf("%d bytes, %q: %d others arrived", size, query, len(got))
			}
			if a, _ := answer(t, r, "PUT"); a.StatusCode != 200 {
				t.Fatal(a.Status)
			}
			if got := piped.Load() > 0; size >= 1<<20 && !got || size < leastPiped && got {
				t.Errorf("%d bytes, %q: %d came by pipe", size, query, piped.Load())
			}
		}
	}
	pipesAtRest(t)
}

// A server may take longer for what is in a pipe than it may be silent.
func TestPipedToSlowServer(t *testing.T) {
	const size = 400 << 10
	origin := backend(t, func(c net.Conn, _ *bufio.Reader) {
		c.(*net.TCPConn).SetReadBuffer(16 << 10)
		for got, buf := 0, make([]byte, 16<<10); got < size; {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			got += n
			time.Sleep(80 * time.Millisecond) // that it takes so long is what is tested
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	client := testClient(origin)
	client.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", origin)
		if err == nil {
			err = c.(*net.TCPConn).SetWriteBuffer(16 << 10)
		}
		return c, err
	}
	_, at := start(t, func(ctx context.Context, r *Request) *Response {
		a, err := client.Do(ctx, "", &Request{Method: r.Method, Target: r.Target, Body: r.Body, Length: r.Length, Timeout: time.Second})
		if err != nil {
			return text(err.Error())
		}
		return a
	}, Options{})
	c := dial(t, at)
	c.SetDeadline(time.Now().Add(time.Minute))
	write(t, c, fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, contents(size)))
	if _, body := answer(t, bufio.NewReader(c), "PUT"); body != "" {
		t.Error(body)
	}
}

// Of a client that leaves, or a server that does not read, within a request's body
// nothing is left in a pipe that is used again.
func TestPipedRequestsBreakOff(t *testing.T) {
	const size = 8 << 20
	all := contents(size)
	whole := make(chan bool, 1)
	origin := backend(t, func(c net.Conn, r *bufio.Reader) {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if request.URL.Path == "/origin" {
			io.CopyN(io.Discard, request.Body, 1<<20)
			return
		}
		body, err := io.ReadAll(request.Body)
		whole <- err == nil && bytes.Equal(body, all)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	at := proxyTo(t, origin, func(int) {}, nil)
	for _, breaks := range []string{"origin", "client", "nobody"} {
		c := dial(t, at)
		b := append(fmt.Appendf(nil, "PUT /%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", breaks, size), all...)
		if breaks == "client" {
			b = b[:size/2]
		}
		c.Write(b) // which fails if the server does not read
		if breaks == "client" {
			c.Close()
		} else if a, err := http.ReadResponse(bufio.NewReader(c), nil); breaks == "nobody" && (err != nil || a.StatusCode != 200) {
			t.Errorf("%+v, %v", a, err)
		}
		if breaks != "origin" {
			if got := <-whole; got != (breaks == "nobody") {
				t.Errorf("%s: whole: %v", breaks, got)
			}
		}
		c.Close()
	}
	pipesAtRest(t)
}

// A body that breaks off, at either end, is told as such, and what was in its
// pipe is in nobody else's body.
func TestPipedBreaksOff(t *testing.T) {
	const size = 8 << 20
	all := contents(size)
	origin := backend(t, func(c net.Conn, r *bufio.Reader) {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		if request.URL.Path == "/origin" {
			c.Write(all[:size/2])
			return
		}
		c.Write(all)
	})
	ended := make(chan error, 1)
	at := proxyTo(t, origin, func(int) {}, func(_ int64, err error) { ended <- err })
	for _, breaks := range []string{"origin", "client", "nobody"} {
		c := dial(t, at)
		write(t, c, "GET /"+breaks+" HTTP/1.1\r\nHost: a\r\n\r\n")
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if breaks == "client" {
			io.CopyN(io.Discard, a.Body, 1<<20)
			c.Close()
			if err := <-ended; !errors.Is(err, ErrGone) {
				t.Errorf("of a client that left: %v", err)
			}
			continue
		}
		got, err := io.ReadAll(a.Body)
		if !bytes.Equal(got, all[:len(got)]) || breaks == "nobody" && len(got) != size {
			t.Errorf("%s: others than were sent, %d bytes", breaks, len(got))
		}
		if broken := breaks == "origin"; broken != (err != nil) {
			t.Errorf("%s: read to its end: %v", breaks, err)
		}
		if err := <-ended; (breaks == "origin") != (err != nil) {
			t.Errorf("%s: %v", breaks, err)
		}
		c.Close()
	}
	pipesAtRest(t)
}

// Without a pipe to be had bodies are copied.
func TestNoPipeLeft(t *testing.T) {
	all := contents(1 << 20)
	_, origin := start(t, func(context.Context, *Request) *Response { return text(string(all)) }, Options{})
	var taken []*Pipe
	for p := takePipe(); p != nil; p = takePipe() {
		taken = append(taken, p)
	}
	defer func() {
		for _, p := range taken {
			p.put()
		}
		pipesAtRest(t)
	}()
	if len(taken) != maxPipes {
		t.Errorf("%d pipes were to be had, want %d", len(taken), maxPipes)
	}
	c := dial(t, proxyTo(t, origin, func(n int) { t.Errorf("%d bytes came by pipe", n) }, func(int64, error) {}))
	write(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, got := answer(t, bufio.NewReader(c), "GET"); got != string(all) {
		t.Errorf("%d others arrived", len(got))
	}
}
