package http1

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"slices"
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
			s, at := start(t, echo, Options{MaxConnections: limit, HeaderTimeout: time.Hour, IdleTimeout: time.Hour})
			other := keep(dialFrom(t, "127.0.0.2", at))
			other.ask(t)
			var crowd []net.Conn
			for range 3 * limit {
				c := dialFrom(t, "127.0.0.3", at)
				do(t, c)
				crowd = append(crowd, c)
			}
			for range limit / 2 {
				keep(dialFrom(t, "127.0.0.4", at)).ask(t)
			}
			other.ask(t)
			if _, err := crowd[0].Read(make([]byte, 1)); err == nil {
				t.Error("the oldest of the crowd is still served")
			}
			s.mu.Lock()
			if n := len(s.conns) - s.leaving; n > limit {
				t.Errorf("%d connections", n)
			}
			s.mu.Unlock()
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

// Connections are taken of those clients that have most, so that these are left
// with as many as the others at least, and the longest silent first.
func TestChoose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := map[netip.Addr]int{}
		var waiting []waitingConn
		for i, busy := range rapid.SliceOfN(rapid.IntRange(0, 5), 1, 6).Draw(t, "busy") {
			client := netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i))
			ages := rapid.SliceOfN(rapid.Int64Range(1, 50), 0, 12).Draw(t, "since")
			for _, since := range ages {
				waiting = append(waiting, waitingConn{conn: &serverConn{}, client: client, since: since})
			}
			of[client] = busy + len(ages)
		}
		n := rapid.IntRange(1, 40).Draw(t, "n")
		all := slices.Clone(waiting)
		left := map[netip.Addr]int{}
		for client, count := range of {
			left[client] = count
		}
		chosen := choose(waiting, of, n)
		if len(chosen) != min(n, len(all)) {
			t.Fatalf("%d of %d chosen, asked for %d", len(chosen), len(all), n)
		}
		isChosen := map[*serverConn]bool{}
		youngest := map[netip.Addr]int64{}
		for _, w := range chosen {
			if isChosen[w.conn] {
				t.Fatal("one is chosen twice")
			}
			isChosen[w.conn] = true
			left[w.client]--
			youngest[w.client] = max(youngest[w.client], w.since)
		}
		for _, w := range all {
			if isChosen[w.conn] {
				continue
			}
			if w.since < youngest[w.client] {
				t.Fatalf("of %s, one silent since %d is left, one since %d is not", w.client, w.since, youngest[w.client])
			}
			for client := range youngest {
				if left[w.client] > left[client]+1 {
					t.Fatalf("%s is left with %d, %s, which may lose more, with %d", client, left[client], w.client, left[w.client])
				}
			}
		}
	})
}

// BenchmarkMakeRoom is what a batch costs among as many connections as there may
// be.
func BenchmarkMakeRoom(b *testing.B) {
	s := NewServer(echo, Options{})
	for i := range s.options.MaxConnections {
		a, z := net.Pipe()
		defer z.Close()
		c := newServerConn(s, a, nil)
		c.conn.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i % 7), byte(i)}), 1)
		c.accepted = int64(i)
		s.conns[c] = struct{}{}
	}
	all := slices.SortedFunc(maps.Keys(s.conns), func(a, b *serverConn) int { return cmp.Compare(a.accepted, b.accepted) })
	for b.Loop() {
		s.makeRoom(s.options.MaxConnections / batchOf)
		for _, c := range all {
			c.leaving = false
			c.state.Store(connNew)
		}
	}
}
