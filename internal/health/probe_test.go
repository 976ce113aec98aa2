package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// serve listens on the loopback network and hands every connection to handle,
// which owns it. It returns the address.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}

// say answers every connection with text, once its request has arrived.
func say(t *testing.T, text string) netip.AddrPort {
	return serve(t, func(conn net.Conn) {
		defer conn.Close()
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, text)
	})
}

func probeOf(destination netip.AddrPort, protocol string) Check {
	return Check{
		Source: netip.MustParseAddr("127.0.0.9"), Destination: destination, Protocol: protocol,
		Path: "/ok?deep=1", Matcher: "200-399", HostHeader: "10.0.1.5:80", Timeout: 5 * time.Second,
	}
}

func TestProbeTCP(t *testing.T) {
	sources := make(chan string, 1)
	open := serve(t, func(conn net.Conn) {
		sources <- conn.RemoteAddr().(*net.TCPAddr).IP.String()
		conn.Close()
	})
	if got := Probe(t.Context(), probeOf(open, "TCP")); got != (Outcome{}) {
		t.Errorf("open port: %+v", got)
	}
	if got := <-sources; got != "127.0.0.9" {
		t.Errorf("the target saw the probe come from %s", got)
	}

	closed, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddrPort(closed.Addr().String())
	closed.Close()
	want := Outcome{ReasonFailed, "Health checks failed: connection refused"}
	if got := Probe(t.Context(), probeOf(address, "TCP")); got != want {
		t.Errorf("closed port: %+v, want %+v", got, want)
	}

	// 192.0.2.0/24 is for documentation: no machine has an address of it.
	stranger := probeOf(open, "TCP")
	stranger.Source = netip.MustParseAddr("192.0.2.1")
	if got := Probe(t.Context(), stranger); got.Reason != ReasonInternal {
		t.Errorf("source that isn't ours: %+v, want an inconclusive outcome", got)
	}
}

func TestProbeHTTP(t *testing.T) {
	requests := make(chan *http.Request, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		switch r.URL.Path {
		case "/ok":
			io.WriteString(w, "fine")
		case "/moved":
			http.Redirect(w, r, "/broken", http.StatusFound)
		case "/broken":
			w.WriteHeader(500)
		}
	}))
	server.Start()
	defer server.Close()
	address := netip.MustParseAddrPort(server.Listener.Addr().String())

	if got := Probe(t.Context(), probeOf(address, "HTTP")); got != (Outcome{}) {
		t.Errorf("%+v", got)
	}
	r := <-requests
	if r.Method != "GET" || r.URL.String() != "/ok?deep=1" || r.Host != "10.0.1.5:80" || r.UserAgent() != "ELB-HealthChecker/2.0" || !r.Close {
		t.Errorf("the target was sent %s %s, Host %s, User-Agent %s, close %v", r.Method, r.URL, r.Host, r.UserAgent(), r.Close)
	}
	if got, _, _ := net.SplitHostPort(r.RemoteAddr); got != "127.0.0.9" {
		t.Errorf("the target saw the probe come from %s", got)
	}

	moved := probeOf(address, "HTTP")
	moved.Path = "/moved"
	if got := Probe(t.Context(), moved); got != (Outcome{}) {
		t.Errorf("redirect: %+v, want success by its code alone", got)
	}
	moved.Matcher = "200"
	want := Outcome{ReasonCodeMismatch, "Health checks failed with these codes: [302]"}
	if got := Probe(t.Context(), moved); got != want {
		t.Errorf("redirect where 200 is wanted: %+v, want %+v", got, want)
	}
	broken := probeOf(address, "HTTP")
	broken.Path = "/broken"
	want = Outcome{ReasonCodeMismatch, "Health checks failed with these codes: [500]"}
	if got := Probe(t.Context(), broken); got != want {
		t.Errorf("broken target: %+v, want %+v", got, want)
	}
}

func TestProbeHTTPS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }))
	defer server.Close()
	address := netip.MustParseAddrPort(server.Listener.Addr().String())
	if got := Probe(t.Context(), probeOf(address, "HTTPS")); got != (Outcome{}) {
		t.Errorf("self-signed certificate: %+v, want success", got)
	}
	plain := say(t, "HTTP/1.1 200 OK\r\n\r\n")
	if got := Probe(t.Context(), probeOf(plain, "HTTPS")); got.Reason != ReasonFailed {
		t.Errorf("target without TLS: %+v", got)
	}
}

func TestProbeOfStrangeServers(t *testing.T) {
	failed := func(says string) Outcome { return Outcome{ReasonFailed, "Health checks failed: " + says} }
	closedEarly := failed("connection closed before the end of the response head")
	tooLong := failed("response head exceeds 8192 bytes")
	malformed := failed("malformed HTTP response")
	for name, c := range map[string]struct {
		answer string
		want   Outcome
	}{
		"nothing":            {"", closedEarly},
		"half a head":        {"HTTP/1.1 200 OK\r\nServer: x\r\n", closedEarly},
		"another protocol":   {"220 mail.example.com ESMTP\r\n\r\n", malformed},
		"no code":            {"HTTP/1.1 OK\r\n\r\n", malformed},
		"endless header":     {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100_000), tooLong},
		"many headers":       {"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20_000) + "\r\n", tooLong},
		"many interim heads": {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10_000) + "HTTP/1.1 200 OK\r\n\r\n", tooLong},
		"interim head":       {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Outcome{}},
		"old version":        {"HTTP/1.0 200 OK\r\n\r\nbody", Outcome{}},
		"large body":         {"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 1<<20), Outcome{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Probe(t.Context(), probeOf(say(t, c.answer), "HTTP")); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestProbeTimesOut(t *testing.T) {
	timedOut := Outcome{ReasonTimeout, "Request timed out"}
	for name, behave := range map[string]func(net.Conn){
		"silent": func(conn net.Conn) { io.Copy(io.Discard, conn) },
		"one byte at a time": func(conn net.Conn) {
			defer conn.Close()
			for _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: "); err == nil; _, err = io.WriteString(conn, "x") {
				time.Sleep(10 * time.Millisecond) // slower than the probe can wait
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, protocol := range []string{"HTTP", "HTTPS"} {
				c := probeOf(serve(t, behave), protocol)
				c.Timeout = 150 * time.Millisecond
				begun := time.Now()
				got := Probe(t.Context(), c)
				if protocol == "HTTP" && got != timedOut {
					t.Errorf("%+v, want %+v", got, timedOut)
				}
				if got.passed() {
					t.Errorf("%s passed", protocol)
				}
				if took := time.Since(begun); took > 3*time.Second {
					t.Errorf("%s: took %v", protocol, took)
				}
			}
		})
	}
}

// The head decides; a body that never ends holds up the probe but a moment.
func TestProbeDoesNotWaitForTheBody(t *testing.T) {
	address := serve(t, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		io.Copy(io.Discard, conn)
	})
	begun := time.Now()
	if got := Probe(t.Context(), probeOf(address, "HTTP")); got != (Outcome{}) {
		t.Errorf("%+v", got)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestWithdrawnProbeEnds(t *testing.T) {
	arrived := make(chan struct{})
	address := serve(t, func(conn net.Conn) {
		close(arrived)
		io.Copy(io.Discard, conn)
	})
	c := probeOf(address, "HTTP")
	c.Timeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if got := Probe(ctx, c); got.passed() {
		t.Error("a probe that was withdrawn passed")
	}
}

// However a response is made, reading its head takes no more than the bound
// and finds either an error or a final status code.
func FuzzReadHead(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 404\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 -1 x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello", "HTTP/1.1 200 OK\nContent-Length: -5\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		r := &countingReader{Reader: strings.NewReader(string(response) + strings.Repeat("z", 3*maxHead))}
		got, err := readHead(r, &http.Request{Method: "GET"})
		if r.n > maxHead {
			t.Fatalf("%d bytes read", r.n)
		}
		if err == nil && (got.StatusCode < 0 || got.StatusCode > 999 || got.StatusCode/100 == 1) {
			t.Fatalf("final status code %d", got.StatusCode)
		}
	})
}

type countingReader struct {
	io.Reader
	n int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += n
	return n, err
}

// The real probe under the real clock: what the checker does all day.
func TestCheckerWithRealTargets(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer server.Close()
	address := netip.MustParseAddrPort(server.Listener.Addr().String())

	var config Config
	for node := range 3 {
		for target := range 100 {
			c := probeOf(address, []string{"TCP", "HTTP"}[target%2])
			c.Source = netip.AddrFrom4([4]byte{127, 0, 1, byte(10 + node)})
			c.Target, c.Port, c.Node = fmt.Sprint(target), 80, fmt.Sprint(node)
			c.Interval, c.HealthyThreshold, c.UnhealthyThreshold = 500*time.Millisecond, 2, 2
			config.Checks = append(config.Checks, c)
		}
	}
	states := make(chan []Report, 100)
	configs := make(chan Config, 1)
	configs <- config
	go Run(t.Context(), Options{
		Configs: configs, Log: slog.New(slog.DiscardHandler),
		Report: func(_ context.Context, r []Report) error { states <- r; return nil },
	})
	waitFor := func(state string) {
		t.Helper()
		seen := map[string]bool{}
		late := time.After(20 * time.Second)
		for len(seen) < 100 {
			select {
			case reports := <-states:
				for _, r := range reports {
					if r.State == state {
						seen[r.Target] = true
					}
				}
			case <-late:
				t.Fatalf("%d of 100 targets became %s", len(seen), state)
			}
		}
	}
	waitFor(Healthy)
	server.Close()
	waitFor(Unhealthy)
}
