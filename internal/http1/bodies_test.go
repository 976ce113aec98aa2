package http1

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// Bodies of sizes around those of the buffers arrive as they were sent, however
// they are cut up, and whatever comes behind them.
func TestBodies(t *testing.T) {
	_, at := start(t, echo, Options{})
	c := dial(t, at)
	r := bufio.NewReader(c)
	var sent, want []string
	for _, size := range []int{1, 8 << 10, 8<<10 - 60, 10 << 10, 0, 30 << 10, 32 << 10, 32<<10 + 1, 100 << 10, 9 << 10, 0, 16 << 10} {
		body := strings.Repeat(string(rune('a'+len(sent))), size)
		if size == 0 {
			sent = append(sent, "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n")
			want = append(want, "GET /0 ")
			continue
		}
		sent = append(sent, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, size, body))
		want = append(want, fmt.Sprintf("POST /%d %s", size, body))
	}
	check := func(what string) {
		t.Helper()
		for i, w := range want {
			if _, got := answer(t, r, "POST"); got != w {
				t.Fatalf("%s: request %d: %d bytes, want %d", what, i, len(got), len(w))
			}
		}
	}
	for _, s := range sent {
		write(t, c, s)
	}
	check("one by one")
	write(t, c, strings.Join(sent, ""))
	check("at once")
	for all := strings.Join(sent, ""); all != ""; {
		n := min(len(all), 1+rand.IntN(12<<10))
		write(t, c, all[:n])
		all = all[n:]
	}
	check("in pieces")
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

// What waits for a response holds no buffer of its request's: not of its head,
// nor of a body that has been sent.
func TestWaitingHoldsNoBuffer(t *testing.T) {
	holds, servers := make(chan []bool, 1), make(chan *Server, 2)
	server, at := start(t, func(_ context.Context, r *Request) *Response {
		s := <-servers
		held := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.crowd.conns[0].in.buf != nil
		}
		seen := []bool{held()}
		if r.Body != nil {
			_, release := r.Body.(Whole).Whole()
			seen = append(seen, held())
			release()
			seen = append(seen, held())
		}
		holds <- seen
		return text("ok")
	}, Options{})
	servers <- server
	servers <- server // once for each request
	c := dial(t, at)
	r := bufio.NewReader(c)
	for _, test := range []struct {
		request string
		want    []bool
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", []bool{false}},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", []bool{true, true, false}},
	} {
		io.WriteString(c, test.request)
		if got := <-holds; !slices.Equal(got, test.want) {
			t.Errorf("%q: a buffer was held: %v, want %v", test.request, got, test.want)
		}
		if a, _ := answer(t, r, "GET"); a.StatusCode != 200 {
			t.Errorf("%q: status %d", test.request, a.StatusCode)
		}
	}
}

// The memory of a body that is sent again if need be is given back when it can't
// be any more, and once.
func TestReleaseOfReplay(t *testing.T) {
	released := make(chan struct{}, 4)
	_, at := start(t, func(_ context.Context, r *Request) *Response {
		body, _ := io.ReadAll(r.Body)
		patience := 10 * time.Second
		if r.Method == "PUT" {
			patience = 20 * time.Millisecond // it must not come
		}
		select {
		case <-released:
			return text(string(body) + " yes")
		case <-time.After(patience):
			return text(string(body) + " no")
		}
	}, Options{})
	client := testClient(at)
	defer client.Retire()
	for _, test := range []struct {
		method, want string // with whether it was given back before the response
		left         int    // how often it was given back after that
	}{{"POST", "abc yes", 0}, {"PUT", "abc no", 1}} {
		response, err := client.Do(context.Background(), "", &Request{
			Method: test.method, Target: "/", Host: "a", Replay: []byte("abc"), Release: func() { released <- struct{}{} },
		})
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); string(body) != test.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", test.method, body, err, test.want)
		}
		if n := len(released); n != test.left {
			t.Errorf("%s: the body was given back %d times when the response had come", test.method, n)
		}
	}
}
