package http1

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// dialFrom connects from an address of loopback.
func dialFrom(t *testing.T, from, at string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// kept is a client that keeps its connection.
type kept struct {
	net.Conn
	r *bufio.Reader
}

func keep(c net.Conn) kept { return kept{c, bufio.NewReader(c)} }

func (c kept) ask(t *testing.T) {
	t.Helper()
	write(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, body := answer(t, c.r, "GET"); body != "GET / " {
		t.Fatalf("answer %q", body)
	}
}

// crowds are what the clients of a flood do with their connections.
var crowds = map[string]func(*testing.T, net.Conn){
	"silent":     func(*testing.T, net.Conn) {},
	"empty line": func(t *testing.T, c net.Conn) { write(t, c, "\r\n") },
	"half heads": func(t *testing.T, c net.Conn) { write(t, c, "GET / HTTP/1.1\r\nHo") },
	"idle":       func(t *testing.T, c net.Conn) { keep(c).ask(t) },
	"half heads on kept ones": func(t *testing.T, c net.Conn) {
		keep(c).ask(t)
		write(t, c, "GET / HTTP/1.1\r\nHo")
	},
}

// Whoever opens all connections that a server may have keeps nobody out, and
// costs nobody else a connection.
func TestCrowdGivesWay(t *testing.T) {
	const limit = 40
	for name, do := range crowds {
		t.Run(name, func(t *testing.T) {
			var gaveWay atomic.Int64
			s, at := start(t, echo, Options{
				MaxConnections: limit, HeaderTimeout: time.Hour, IdleTimeout: time.Hour,
				GaveWay: func() { gaveWay.Add(1) },
			})
			other := keep(dialFrom(t, "127.0.0.2", at))
			other.ask(t)
			for range 3 * limit {
				do(t, dialFrom(t, "127.0.0.3", at))
			}
			for range limit / 2 {
				keep(dialFrom(t, "127.0.0.4", at)).ask(t)
			}
			other.ask(t)
			s.mu.Lock()
			if n := s.crowd.staying(); n > limit {
				t.Errorf("%d connections", n)
			}
			s.mu.Unlock()
			if n := gaveWay.Load(); n < 3*limit/2 || n > 3*limit+limit/2 {
				t.Errorf("%d are said to have given way", n)
			}
		})
	}
}

// The crowd may come over TLS, with handshakes that don't end, too.
func TestCrowdOverTLS(t *testing.T) {
	const limit = 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(echo, Options{MaxConnections: limit, HeaderTimeout: time.Hour, IdleTimeout: time.Hour})
	config, trusting := testTLS(t)
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, config) }()
	over := func(c net.Conn) net.Conn { return tls.Client(c, trusting) }
	at := l.Addr().String()
	other := keep(over(dialFrom(t, "127.0.0.2", at)))
	other.ask(t)
	for range limit {
		dialFrom(t, "127.0.0.3", at)
	}
	for _, do := range crowds {
		for range limit {
			do(t, over(dialFrom(t, "127.0.0.3", at)))
		}
	}
	keep(over(dialFrom(t, "127.0.0.4", at))).ask(t)
	other.ask(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	s.Shutdown(ctx)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Requests under way are never given up for new ones.
func TestCrowdLeavesRequests(t *testing.T) {
	const limit = 4
	entered, release := make(chan struct{}), make(chan struct{})
	_, at := start(t, func(ctx context.Context, r *Request) *Response {
		if r.Method == "POST" {
			entered <- struct{}{}
			<-release
		}
		return echo(ctx, r)
	}, Options{MaxConnections: limit})
	var busy []kept
	for range limit - 1 {
		c := keep(dial(t, at))
		write(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n12")
		<-entered
		busy = append(busy, c)
	}
	for range 5 * limit {
		keep(dial(t, at)).ask(t)
	}
	close(release)
	for _, c := range busy {
		write(t, c, "34")
		if _, body := answer(t, c.r, "POST"); body != "POST / 1234" {
			t.Errorf("answer %q", body)
		}
	}
}

// A connection of another protocol gives way unless it has a request.
func TestCrowdOfAnotherProtocol(t *testing.T) {
	config, trusting := testTLS(t)
	config.NextProtos, trusting.NextProtos = []string{"other"}, []string{"other"}
	s := NewServer(echo, Options{MaxConnections: 2, Protocols: map[string]func(context.Context, *Conn, <-chan struct{}){
		"other": func(_ context.Context, c *Conn, stopping <-chan struct{}) {
			c.Begin()
			io.WriteString(c, "busy")
			b := make([]byte, 1)
			if c.Client.Addr() == netip.MustParseAddr("127.0.0.2") {
				c.Read(b)
				<-stopping
				io.WriteString(c, "bye")
			}
			c.End()
			c.Read(b)
		},
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, config) }()
	connect := func(from string) net.Conn {
		c := tls.Client(dialFrom(t, from, l.Addr().String()), trusting)
		if got := receive(t, c, make([]byte, 4)); got != "busy" {
			t.Fatalf("%q", got)
		}
		return c
	}
	busy := connect("127.0.0.2")
	var last net.Conn
	for range 5 {
		c := connect("127.0.0.3")
		if last != nil {
			if n, err := last.Read(make([]byte, 1)); err == nil {
				t.Errorf("%d bytes, where the connection was to end", n)
			}
		}
		last = c
	}
	last.Close()
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	write(t, busy, "x")
	if got := receive(t, busy, make([]byte, 3)); got != "bye" {
		t.Errorf("the busy one was told %q", got)
	}
	busy.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// testTLS are the configurations of a server, and of a client that trusts it.
func testTLS(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "a"}
}

func receive(t *testing.T, c net.Conn, b []byte) string {
	t.Helper()
	n, err := io.ReadFull(c, b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// Of a sample, the connection gives way whose client has most, and of that one's
// the one that was silent for longest. Those with requests stay.
func TestMakeRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := crowd{of: map[netip.Addr]int{}}
		s := NewServer(echo, Options{})
		for _, x := range rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [3]int {
			return [3]int{rapid.IntRange(0, 3).Draw(t, "client"), rapid.IntRange(1, 50).Draw(t, "since"), rapid.IntRange(0, 1).Draw(t, "busy")}
		}), 1, 12).Draw(t, "connections") {
			a, z := net.Pipe()
			defer z.Close()
			c := newServerConn(s, a, nil)
			c.conn.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(x[0])}), 1)
			c.accepted = int64(x[1])
			if x[2] == 1 {
				c.state.Store(connActive)
			}
			w.add(c)
		}
		for w.staying() > 0 {
			before := w.leaving
			for range 50 { // in a sample of one's own size, some may be missing
				if w.makeRoom(); w.leaving > before {
					break
				}
			}
			if w.leaving == before {
				break
			}
		}
		clients := map[netip.Addr]int{}
		for _, c := range slices.Clone(w.conns) {
			if busy := c.state.Load() == connActive; busy == c.leaving {
				t.Fatalf("busy %v, closed %v", busy, c.leaving)
			}
			if c.leaving {
				w.remove(c)
			} else {
				clients[c.client()]++
			}
		}
		if w.leaving != 0 || len(w.conns) != w.staying() || !maps.Equal(w.of, clients) {
			t.Fatalf("%d leaving, %v by client, want %v", w.leaving, w.of, clients)
		}
		for i, c := range w.conns {
			if c.place != i {
				t.Fatalf("a connection at %d takes itself to be at %d", i, c.place)
			}
		}
	})
}

func TestWorse(t *testing.T) {
	w := crowd{of: map[netip.Addr]int{}}
	conn := func(client string, since int64) *serverConn {
		c := &serverConn{accepted: since}
		c.conn.Client = netip.MustParseAddrPort(client + ":1")
		w.add(c)
		return c
	}
	one, old, young := conn("10.0.0.1", 1), conn("10.0.0.2", 2), conn("10.0.0.2", 3)
	if !w.worse(old, one) || w.worse(one, old) {
		t.Error("the client with fewer connections loses one")
	}
	if !w.worse(old, young) || w.worse(young, old) {
		t.Error("the connection that was heard of later is closed")
	}
	w.remove(old)
	if !w.worse(one, young) {
		t.Error("among clients with as many connections, age does not count")
	}
}

// BenchmarkMakeRoom is what a connection costs beyond the limit.
func BenchmarkMakeRoom(b *testing.B) {
	s := NewServer(echo, Options{})
	for i := range s.options.MaxConnections {
		a, z := net.Pipe()
		defer z.Close()
		c := newServerConn(s, a, nil)
		c.conn.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i % 7), byte(i)}), 1)
		c.accepted = int64(i)
		s.crowd.add(c)
	}
	for b.Loop() {
		s.crowd.makeRoom()
		for _, c := range s.crowd.conns {
			if c.leaving {
				c.leaving = false
				c.state.Store(connNew)
				break
			}
		}
	}
}
