package http1

import (
	"bufio"
	"context"
	"net/http"
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
