package http1

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startTLS serves over TLS, and returns what connects to it. Clients' bytes pass
// through their function.
func startTLS(t *testing.T, h Handler, o Options) func(through func(net.Conn) net.Conn) *tls.Conn {
	t.Helper()
	s := NewServer(h, o)
	config, trusting := testTLS(t)
	at := serveUntilEnd(t, s, func(l net.Listener) error { return s.ServeTLS(l, config) })
	return func(through func(net.Conn) net.Conn) *tls.Conn {
		return tls.Client(through(dial(t, at)), trusting)
	}
}

// pieces is a connection that sends a few bytes at a time.
type pieces struct {
	net.Conn
	size int
}

func (p pieces) Write(b []byte) (int, error) {
	for sent := 0; sent < len(b); {
		n, err := p.Conn.Write(b[sent:min(len(b), sent+p.size)])
		if sent += n; err != nil {
			return sent, err
		}
	}
	return len(b), nil
}

// Requests are answered in however many records and segments they come: several
// in one, and one in several; with bodies and without; and after a rest.
func TestOverTLS(t *testing.T) {
	connect := startTLS(t, echo, Options{})
	for _, size := range []int{1, 7, 100, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := connect(func(c net.Conn) net.Conn { return pieces{c, size} })
			r := bufio.NewReader(c)
			expect := func(want string) {
				t.Helper()
				if _, body := answer(t, r, "GET"); body != want {
					t.Fatalf("%.100q, want %.100q", body, want)
				}
			}
			get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n" }
			long := strings.Repeat("x", 40_000)
			post := "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n"

			io.WriteString(c, get("/1"))
			expect("GET /1 ")
			io.WriteString(c, get("/2")+get("/3")+get("/4")) // one record
			for _, n := range []string{"/2", "/3", "/4"} {
				expect("GET " + n + " ")
			}
			for _, part := range strings.SplitAfter(get("/5"), "\r\n") { // a record each
				io.WriteString(c, part)
			}
			expect("GET /5 ")
			io.WriteString(c, post)
			io.WriteString(c, long)
			expect("POST /p " + long)
			io.WriteString(c, post+long+get("/6")) // the last record holds the rest of a body and a head
			expect("POST /p " + long)
			expect("GET /6 ")
			<-time.After(2 * lookAgain)
			io.WriteString(c, get("/7"))
			expect("GET /7 ")
			io.WriteString(c, "GET /8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			expect("GET /8 ")
			if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("%v, want the end", err)
			}
		})
	}
}

// A client whose record does not become whole is given as long as one whose head
// does not, however often it sends a piece.
func TestTornRecord(t *testing.T) {
	const limit = 300 * time.Millisecond
	connect := startTLS(t, echo, Options{HeaderTimeout: limit, IdleTimeout: 2 * limit})
	var below net.Conn
	c := connect(func(c net.Conn) net.Conn {
		below = c
		return c
	})
	io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, body := answer(t, bufio.NewReader(c), "GET"); body != "GET /1 " {
		t.Fatalf("%q", body)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, below)
		ended <- err
	}()
	record := append([]byte{23, 3, 3, 1, 0}, make([]byte, 256)...) // application data
	for i := range record {
		below.Write(record[i : i+1])
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
			return
		case <-time.After(limit / 6):
		}
	}
	t.Error("the connection is still open")
}

// A record that holds nothing of a request leaves the connection idle: its time
// is not that of a head.
func TestKeyUpdate(t *testing.T) {
	const limit = 300 * time.Millisecond
	s := NewServer(echo, Options{HeaderTimeout: limit, IdleTimeout: time.Minute})
	config, _ := testTLS(t)
	at := serveUntilEnd(t, s, func(l net.Listener) error { return s.ServeTLS(l, config) })
	client := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", at, "-tls1_3", "-crlf")
	in, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	defer client.Wait()
	defer in.Close()
	r := bufio.NewReader(out)
	get := func(path string) {
		t.Helper()
		io.WriteString(in, "GET "+path+" HTTP/1.1\nHost: a\n\n")
		for said := ""; !strings.HasSuffix(said, "GET "+path); {
			b, err := r.ReadByte()
			if err != nil {
				t.Fatalf("no answer to %s: %v", path, err)
			}
			said += string(b)
		}
	}
	get("/1")
	io.WriteString(in, "k\n") // s_client takes it for a command
	time.Sleep(2 * limit)     // in which a head's time would pass
	get("/2")
}
