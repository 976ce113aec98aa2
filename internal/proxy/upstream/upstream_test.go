package upstream

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/loopback"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/way"
)

// answer reads requests without body and answers each.
func answer(text string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, request.Body)
			io.WriteString(c, text)
		}
	}
}

const (
	ok     = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	okLast = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
)

// silent is an address that drops connection attempts: its queue is full.
func silent(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*unix.SockaddrInet4).Port))
	for {
		c, err := net.DialTimeout("tcp", at.String(), 300*time.Millisecond)
		if err != nil {
			return at
		}
		t.Cleanup(func() { c.Close() })
	}
}

func link(destinations ...netip.AddrPort) way.Upstream {
	u := way.Upstream{Key: "k", Link: "abc123", Version: 1}
	for _, d := range destinations {
		u.Destinations = append(u.Destinations, way.Destination{Zone: "a", Address: d})
	}
	return u
}

func get() *Request { return &Request{Method: "GET", Path: "/", Host: "backend.test"} }

func do(t *testing.T, p *Pool, r *Request) (string, *Error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, ErrTimeout)
	defer cancel()
	response, err := p.Do(ctx, r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, readErr := io.ReadAll(response.Body)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(body), nil
}

func explainer(e Explanation, asked *atomic.Int64) Explain {
	return func(_ context.Context, src netip.Addr, dst netip.AddrPort) (Explanation, error) {
		asked.Add(1)
		return e, nil
	}
}

func TestDefinitiveDropFailsAtOnce(t *testing.T) {
	var asked atomic.Int64
	drop := Explanation{Verdict: "sg-ingress", Cause: "sg-0ab of eni-1 allows no tcp/80 from 10.0.1.7", Definitive: true}
	p := NewPool(link(silent(t)), false, Options{Dialing: Dialing{Explain: explainer(drop, &asked), ExplainAfter: 20 * time.Millisecond}})
	start := time.Now()
	_, err := do(t, p, get())
	if err == nil || err.Kind != Unavailable || err.Error() != "sg-ingress: "+drop.Cause {
		t.Fatalf("error %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if asked.Load() == 0 {
		t.Error("the network was not asked")
	}
}

// A rule that is taken away while a connection waits ends the waiting too.
func TestDropThatComesLater(t *testing.T) {
	var asked atomic.Int64
	p := NewPool(link(silent(t)), false, Options{Dialing: Dialing{ExplainAfter: 80 * time.Millisecond, Explain: func(context.Context, netip.Addr, netip.AddrPort) (Explanation, error) {
		if asked.Add(1) < 3 {
			return Explanation{Verdict: "forwarded"}, nil
		}
		return Explanation{Verdict: "sg-ingress", Cause: "revoked", Definitive: true}, nil
	}}})
	if _, err := do(t, p, get()); err == nil || err.Error() != "sg-ingress: revoked" {
		t.Fatalf("error %v", err)
	}
}

func TestWaitOnDropKeepsWaitingAndNamesTheCause(t *testing.T) {
	var asked atomic.Int64
	drop := Explanation{Verdict: "nacl", Cause: "denied", Definitive: true}
	p := NewPool(link(silent(t)), false, Options{Dialing: Dialing{Explain: explainer(drop, &asked), ExplainAfter: 5 * time.Millisecond, WaitOnDrop: true}})
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, ErrTimeout)
	defer cancel()
	_, err := p.Do(ctx, get())
	if err == nil || err.Kind != Timeout || err.Error() != "nacl: denied" {
		t.Fatalf("error %v", err)
	}
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("gave up after %v", took)
	}
}

func TestSilenceWithoutExplanationIsATimeout(t *testing.T) {
	p := NewPool(link(silent(t)), false, Options{})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, ErrTimeout)
	defer cancel()
	_, err := p.Do(ctx, get())
	if err == nil || err.Kind != Timeout || !strings.HasPrefix(err.Error(), "connect: no answer from 127.0.0.1:") {
		t.Fatalf("error %v", err)
	}
}

func TestRefusedConnectionIsExplained(t *testing.T) {
	var asked atomic.Int64
	for _, tt := range []struct {
		e    Explanation
		kind Kind
		want string
	}{
		{Explanation{Verdict: "no-healthy-target", Cause: "all targets are unhealthy", Definitive: true}, Unavailable, "no-healthy-target: all targets are unhealthy"},
		{Explanation{Verdict: "forwarded"}, Network, "connection refused"},
	} {
		p := NewPool(link(loopback.Refusing(t)), false, Options{Dialing: Dialing{Explain: explainer(tt.e, &asked)}})
		if _, err := do(t, p, get()); err == nil || err.Kind != tt.kind || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %s", err, tt.want)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestManyFailuresAskOnce(t *testing.T) {
	var asked atomic.Int64
	p := NewPool(link(loopback.Refusing(t)), false, Options{Dialing: Dialing{Explain: func(context.Context, netip.Addr, netip.AddrPort) (Explanation, error) {
		asked.Add(1)
		time.Sleep(20 * time.Millisecond) // others come meanwhile
		return Explanation{Verdict: "nacl", Cause: "denied", Definitive: true}, nil
	}}})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := p.Do(t.Context(), get()); err == nil || err.Error() != "nacl: denied" {
				t.Errorf("error %v", err)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n > 25 {
		t.Errorf("asked %d times", n)
	}
}

func TestNextDestination(t *testing.T) {
	live := loopback.Serve(t, answer(okLast))
	p := NewPool(link(loopback.Refusing(t), live, silent(t)), false, Options{Dialing: Dialing{NextAfter: 50 * time.Millisecond}})
	for range 6 {
		if body, err := do(t, p, get()); err != nil || body != "ok" {
			t.Fatalf("%q, %v", body, err)
		}
	}
}

func TestSourceAddress(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	at := loopback.Serve(t, func(c net.Conn) {
		mu.Lock()
		seen[c.RemoteAddr().(*net.TCPAddr).IP.String()]++
		mu.Unlock()
		answer(okLast)(c)
	})
	u := link(at, at)
	u.Version = 2
	u.Destinations[1].Zone = "b"
	u.Sources = []way.Source{{Zone: "a", Address: netip.MustParseAddr("127.0.0.2")}, {Zone: "b", Address: netip.MustParseAddr("127.0.0.3")}}
	p := NewPool(u, false, Options{})
	for range 4 {
		if _, err := do(t, p, get()); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if seen["127.0.0.2"] != 2 || seen["127.0.0.3"] != 2 {
		t.Errorf("sources %v", seen)
	}
}

// Requests one after another go to all destinations in turn, each on its own
// kept connection.
func TestRequestsSpread(t *testing.T) {
	var mu sync.Mutex
	connections, requests := map[int]int{}, map[int]int{}
	var all []netip.AddrPort
	for i := range 3 {
		all = append(all, loopback.Serve(t, func(c net.Conn) {
			mu.Lock()
			connections[i]++
			mu.Unlock()
			r := bufio.NewReader(c)
			for {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				mu.Lock()
				requests[i]++
				mu.Unlock()
				io.WriteString(c, ok)
			}
		}))
	}
	p := NewPool(link(all...), false, Options{})
	for range 30 {
		if body, err := do(t, p, get()); err != nil || body != "ok" {
			t.Fatalf("%q, %v", body, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for i := range 3 {
		if connections[i] != 1 || requests[i] != 10 {
			t.Errorf("backend %d: %d requests on %d connections, want 10 on 1", i, requests[i], connections[i])
		}
	}
}

func TestPathsKeepToTheZone(t *testing.T) {
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	u := way.Upstream{
		Sources:      []way.Source{{Zone: "a", Address: a("100.64.0.1")}, {Zone: "b", Address: a("100.64.0.2")}},
		Destinations: []way.Destination{{Zone: "a", Address: netip.AddrPortFrom(a("10.0.0.1"), 80)}, {Zone: "b", Address: netip.AddrPortFrom(a("10.0.0.2"), 80)}, {Zone: "c", Address: netip.AddrPortFrom(a("10.0.0.3"), 80)}},
	}
	first := map[netip.AddrPort]bool{}
	for turn := range uint64(6) {
		ways := paths(&u, turn)
		first[ways[0].destination] = true
		for _, w := range ways {
			switch w.destination.Addr().String() {
			case "10.0.0.1":
				if w.source != a("100.64.0.1") {
					t.Errorf("turn %d: %v", turn, w)
				}
			case "10.0.0.2":
				if w.source != a("100.64.0.2") {
					t.Errorf("turn %d: %v", turn, w)
				}
			case "10.0.0.3":
				if !w.source.IsValid() {
					t.Errorf("turn %d: no source", turn)
				}
			}
		}
	}
	if len(first) != 3 {
		t.Errorf("first destinations %v", first)
	}
}

func TestRetiredPoolClosesConnections(t *testing.T) {
	ended := make(chan struct{}, 8)
	release := make(chan struct{})
	at := loopback.Serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			request, err := http.ReadRequest(r)
			if err != nil {
				ended <- struct{}{}
				return
			}
			if request.URL.Path == "/wait" {
				<-release
			}
			io.WriteString(c, ok)
		}
	})
	p := NewPool(link(at), false, Options{})
	if _, err := do(t, p, get()); err != nil {
		t.Fatal(err)
	}
	// One connection is idle, one is in use.
	busy := make(chan *Error, 1)
	idle := NewPool(link(at), false, Options{})
	if _, err := do(t, idle, get()); err != nil {
		t.Fatal(err)
	}
	go func() {
		r := get()
		r.Path = "/wait"
		_, err := do(t, p, r)
		busy <- err
	}()
	idle.Retire()
	<-ended
	p.Retire()
	select {
	case err := <-busy:
		t.Fatalf("the exchange under way ended: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if err := <-busy; err != nil {
		t.Fatal(err)
	}
	<-ended
}

// A kept connection that the backend has closed costs no request, if the
// request can be sent again.
func TestClosedKeptConnection(t *testing.T) {
	var connections atomic.Int64
	at := loopback.Serve(t, func(c net.Conn) {
		connections.Add(1)
		request, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		io.Copy(io.Discard, request.Body)
		io.WriteString(c, ok) // and close
	})
	p := NewPool(link(at), false, Options{})
	for i := range 50 {
		r := get()
		if i%2 == 1 {
			r.Method, r.Replay, r.Length = "PUT", []byte("data"), 4
			r.Header.Add("Idempotency-Key", "1")
		}
		if _, err := do(t, p, r); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if connections.Load() != 50 {
		t.Errorf("%d connections", connections.Load())
	}
}

func TestPostIsSentOnce(t *testing.T) {
	var requests atomic.Int64
	at := loopback.Serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, request.Body)
			if requests.Add(1)%2 == 0 {
				return // the request was taken, but not answered
			}
			io.WriteString(c, ok)
		}
	})
	p := NewPool(link(at), false, Options{})
	post := func() *Error {
		_, err := do(t, p, &Request{Method: "POST", Path: "/", Host: "b", Replay: []byte("x"), Length: 1})
		return err
	}
	if err := post(); err != nil {
		t.Fatal(err)
	}
	if err := post(); err == nil || err.Kind != Network || err.Error() != "backend: the connection was closed before the response" {
		t.Errorf("error %v", err)
	}
	if requests.Load() != 2 {
		t.Errorf("%d requests", requests.Load())
	}
}

func TestBadAnswers(t *testing.T) {
	for text, kind := range map[string]Kind{
		"":                                      Network,
		"SSH-2.0-x\r\n":                         Protocol,
		"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n": Protocol,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n": Protocol,
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 128<<10) + "\r\n\r\n":            Protocol,
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab":           Protocol,
	} {
		p := NewPool(link(loopback.Serve(t, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, text)
		})), false, Options{})
		if _, err := do(t, p, get()); err == nil || err.Kind != kind {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestUnavailableLink(t *testing.T) {
	u := link()
	u.Cause = "VPC link abc123 is PENDING"
	if _, err := do(t, NewPool(u, false, Options{}), get()); err == nil || err.Kind != Unavailable || err.Error() != "vpc-link: VPC link abc123 is PENDING" {
		t.Errorf("error %v", err)
	}
	u.Layer, u.Cause = "no-healthy-target", "nobody is well"
	if _, err := do(t, NewPool(u, false, Options{}), get()); err == nil || err.Kind != Unavailable || err.Error() != "no-healthy-target: nobody is well" {
		t.Errorf("error %v", err)
	}
}

func TestInternetIsNotPrivate(t *testing.T) {
	at := loopback.Serve(t, answer(ok))
	r := get()
	r.Address = at.String()
	if _, err := do(t, NewInternetPool(false, Options{}), r); err == nil || err.Kind != Unavailable || err.Layer != "no-route" {
		t.Errorf("error %v", err)
	}
	if body, err := do(t, NewInternetPool(false, Options{AllowPrivate: true}), r); err != nil || body != "ok" {
		t.Errorf("%q, %v", body, err)
	}
	for address, want := range map[string]bool{
		"1.1.1.1": true, "10.0.0.1": false, "100.64.1.1": false, "127.0.0.1": false, "169.254.169.254": false,
		"192.168.0.1": false, "172.31.0.1": false, "::1": false, "fe80::1": false, "fd00::1": false, "2600::1": true,
		"::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "224.0.0.1": false, "0.0.0.0": false, "255.255.255.255": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("Public(%s) = %v", address, got)
		}
	}
}

// chain makes a root and a server certificate for a name.
func chain(t *testing.T, name string, expires time.Time, withRoot bool) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: expires, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(rootDER)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	c := tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}
	if withRoot {
		c.Certificate = append(c.Certificate, rootDER)
	}
	return c, pool
}

func TestTLS(t *testing.T) {
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name                    string
		expires                 time.Time
		trusted, skip, withRoot bool
		want                    string // part of the error; empty for success
	}{
		{"backend.test", later, true, false, false, ""},
		{"backend.test", later, false, false, true, "unknown authority"},
		{"other.test", later, true, false, false, "other.test"},
		{"backend.test", past, true, false, false, "expired"},
		{"backend.test", later, false, true, true, ""},
		{"backend.test", later, false, true, false, "no root authority"},
		{"other.test", later, false, true, true, "other.test"},
		{"backend.test", past, false, true, true, "expired"},
	} {
		certificate, roots := chain(t, tt.name, tt.expires, tt.withRoot)
		var sni atomic.Value
		at := loopback.Serve(t, func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}})
			if s.Handshake() == nil {
				sni.Store(s.ConnectionState().ServerName)
				answer(ok)(s)
			}
		})
		o := Options{RootCAs: x509.NewCertPool()}
		if tt.trusted {
			o.RootCAs = roots
		}
		r := get()
		r.Secure, r.ServerName = true, "backend.test"
		body, err := do(t, NewPool(link(at), tt.skip, o), r)
		switch {
		case tt.want == "" && (err != nil || body != "ok"):
			t.Errorf("%+v: %v", tt, err)
		case tt.want == "" && sni.Load() != "backend.test":
			t.Errorf("%+v: SNI %v", tt, sni.Load())
		case tt.want != "" && (err == nil || err.Kind != TLS || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%+v: error %v", tt, err)
		}
	}
	// A backend that doesn't speak TLS.
	r := get()
	r.Secure, r.ServerName = true, "backend.test"
	if _, err := do(t, NewPool(link(loopback.Serve(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") })), false, Options{}), r); err == nil || err.Kind != TLS {
		t.Errorf("plain backend: %v", err)
	}
}

func TestClientGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	at := loopback.Serve(t, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		cancel()
		io.Copy(io.Discard, c)
	})
	_, err := NewPool(link(at), false, Options{}).Do(ctx, get())
	if err == nil || err.Layer != "client" {
		t.Errorf("error %v", err)
	}
}

func TestRequestOnTheWire(t *testing.T) {
	for _, tt := range []struct{ path, query, want string }{
		{"/", "", "/"},
		{"/a%2Fb/../c//d", "x=1&y=%20", "/a%2Fb/../c//d?x=1&y=%20"},
		{"//double/%2e%2e", "", "//double/%2e%2e"},
		{"/{odd}|^", "", "/{odd}|^"},
	} {
		line := make(chan string, 1)
		at := loopback.Serve(t, func(c net.Conn) {
			r := bufio.NewReader(c)
			var all strings.Builder
			for {
				l, err := r.ReadString('\n')
				all.WriteString(l)
				if err != nil || l == "\r\n" {
					break
				}
			}
			line <- all.String()
			io.WriteString(c, ok)
		})
		p := NewPool(link(at), false, Options{})
		r := &Request{Method: "GET", Path: tt.path, Query: tt.query, Host: "backend.test:81", Header: message.Header{{Name: "x-Odd", Value: "1"}}}
		if _, err := do(t, p, r); err != nil {
			t.Fatalf("%s: %v", tt.path, err)
		}
		if got, want := <-line, "GET "+tt.want+" HTTP/1.1\r\nHost: backend.test:81\r\nx-Odd: 1\r\n\r\n"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
}
