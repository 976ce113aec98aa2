package http1

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestShutdownUnderLoad: whatever a connection is about when the server ends,
// it ends soon, and no answer that was begun is cut.
func TestShutdownUnderLoad(t *testing.T) {
	for range 40 {
		s, at := start(t, func(context.Context, *Request) *Response { return text("ok") }, Options{})
		var clients sync.WaitGroup
		for range 8 {
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			clients.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
						return
					}
					if _, err := r.Peek(1); err != nil {
						return
					}
					response, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Errorf("a cut answer: %v", err)
						return
					}
					var body [3]byte
					if n, _ := response.Body.Read(body[:]); string(body[:n]) != "ok" {
						t.Errorf("a cut body: %q", body[:n])
						return
					}
				}
			})
		}
		time.Sleep(2 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		clients.Wait()
	}
}
