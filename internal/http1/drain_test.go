package http1

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// TestDrain: a connection between requests stays open for one more, whose
// answer says that it is the last.
func TestDrain(t *testing.T) {
	s, at := start(t, echo, Options{})
	busy, unused := dial(t, at), dial(t, at)
	in, other := bufio.NewReader(busy), bufio.NewReader(unused)
	exchange := func(w interface{ Write([]byte) (int, error) }, r *bufio.Reader) *http.Response {
		t.Helper()
		if _, err := w.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response
	}
	if exchange(busy, in).Close {
		t.Fatal("closed before the end")
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Drain(context.Background()) }()
	<-s.closing
	for range 2 {
		select {
		case err := <-ended:
			t.Fatalf("the drain ended before its connections: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if !exchange(busy, in).Close {
			t.Error("the last answer does not say so")
		}
		busy, in = unused, other // on which no request has come yet
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// lateListener gives a connection when it is being closed.
type lateListener struct {
	net.Listener
	closing chan struct{}
	last    net.Conn
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.closing
	if c := l.last; c != nil {
		l.last = nil
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *lateListener) Close() error {
	select {
	case <-l.closing:
	default:
		close(l.closing)
	}
	return l.Listener.Close()
}

// TestAcceptedAtTheEnd: a connection that was accepted while its listener was
// being closed is served.
func TestAcceptedAtTheEnd(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, inner.Addr().String())
	server, err := inner.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	s := NewServer(echo, Options{})
	l := &lateListener{Listener: inner, closing: make(chan struct{}), last: server}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	for tracked := false; !tracked; {
		s.mu.Lock()
		tracked = len(s.listeners) == 1
		s.mu.Unlock()
		runtime.Gosched()
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil || !response.Close {
		t.Error(response, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestShutdownEndsDrain: Shutdown closes what Drain left open.
func TestShutdownEndsDrain(t *testing.T) {
	s, at := start(t, echo, Options{})
	c := dial(t, at)
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || response.Close {
		t.Fatal(response, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Drain(context.Background()) }()
	<-s.closing
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
