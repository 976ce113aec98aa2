package http1

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
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
