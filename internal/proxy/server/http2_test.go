package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

const patience = 20 * time.Second

// testCertificate is one that signs itself.
var testCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// serveTLS serves a handler over TLS, with HTTP/2 on offer.
func serveTLS(t *testing.T, h message.Handler, o Options) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(h, o)
	served := make(chan error, 1)
	go func() {
		served <- s.ServeTLS(l, &tls.Config{Certificates: []tls.Certificate{testCertificate()}, NextProtos: []string{H2, "http/1.1"}})
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

// client2 speaks HTTP/2 only.
func client2(t *testing.T) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: p, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 2 * patience}
}

func do(t *testing.T, c *http.Client, method, url string, body io.Reader, change ...func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(r)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(b)
}

func TestHTTP2Request(t *testing.T) {
	var got *message.Request
	var sent string
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		got = r
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			sent = string(b)
		}
		return &message.Response{Status: 201, Length: 2, Body: io.NopCloser(strings.NewReader("ok")), Header: message.Header{
			{Name: "X-One", Value: "1"}, {Name: "X-One", Value: "2"}, {Name: "Keep-Alive", Value: "timeout=5"}, {Name: "Transfer-Encoding", Value: "chunked"},
		}}
	}, Options{})
	c := client2(t)
	answer, body := do(t, c, "POST", "https://"+at+"/a%2Fb//c/../d?e=%20f", strings.NewReader("hello"), func(r *http.Request) {
		r.Host = "shop.example"
		r.Header["X-B"], r.Header["X-A"] = []string{"1", "2"}, []string{"3"}
		r.Header.Set("User-Agent", "test")
	})
	if answer.Proto != "HTTP/2.0" || answer.StatusCode != 201 || body != "ok" || !slices.Equal(answer.Header["X-One"], []string{"1", "2"}) ||
		answer.Header.Get("Keep-Alive") != "" || answer.Header.Get("Content-Type") != "" || answer.Header.Get("Date") == "" || answer.ContentLength != 2 {
		t.Errorf("answer %s %d %q %v", answer.Proto, answer.StatusCode, body, answer.Header)
	}
	want := message.Header{{Name: "content-length", Value: "5"}, {Name: "user-agent", Value: "test"},
		{Name: "x-a", Value: "3"}, {Name: "x-b", Value: "1"}, {Name: "x-b", Value: "2"}}
	slices.SortStableFunc(got.Header, func(a, b message.Field) int { return strings.Compare(a.Name, b.Name) })
	if !slices.Equal(got.Header, want) {
		t.Errorf("header %v", got.Header)
	}
	if got.Method != "POST" || got.Path != "/a%2Fb//c/../d" || got.Query != "e=%20f" || got.Host != "shop.example" || got.Proto != "HTTP/2.0" ||
		!got.Secure || got.TLS == nil || got.TLS.NegotiatedProtocol != "h2" || got.Length != 5 || sent != "hello" || got.Client.Port() == 0 || got.Server.String() != at {
		t.Errorf("request %+v, body %q", got, sent)
	}
	if _, _ = do(t, c, "GET", "https://"+at+"/", nil); got.Body != nil || got.Length != 0 {
		t.Errorf("a body of %d bytes that was not sent", got.Length)
	}
}

func TestHTTP2Framing(t *testing.T) {
	closed := make(chan error, 1)
	answers := map[string]func() *message.Response{
		"/empty": func() *message.Response { return &message.Response{Status: 200} },
		"/204": func() *message.Response {
			return &message.Response{Status: 204, Header: message.Header{{Name: "Content-Length", Value: "0"}}}
		},
		"/304": func() *message.Response {
			return &message.Response{Status: 304, Header: message.Header{{Name: "Content-Length", Value: "77"}}}
		},
		"/text":    func() *message.Response { return text(200, "12345") },
		"/unknown": func() *message.Response { r := text(200, "12345"); r.Header, r.Length = nil, -1; return r },
		"/close": func() *message.Response {
			r := text(200, "12345")
			r.Header.Set("Connection", "close")
			return r
		},
	}
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		a := answers[r.Path]()
		a.Done = func(_ int64, err error) { closed <- err }
		return a
	}, Options{})
	c := client2(t)
	for _, test := range []struct {
		method, path string
		length       string
		body         string
	}{
		{"GET", "/empty", "0", ""}, {"GET", "/204", "", ""}, {"GET", "/304", "", ""}, {"GET", "/text", "5", "12345"}, {"HEAD", "/text", "5", ""},
		{"GET", "/unknown", "", "12345"}, {"GET", "/close", "5", "12345"}, {"GET", "/text", "5", "12345"},
	} {
		answer, body := do(t, c, test.method, "https://"+at+test.path, nil)
		if got := answer.Header.Get("Content-Length"); got != test.length && test.length != "" || body != test.body || answer.Header.Get("Connection") != "" {
			t.Errorf("%s %s: length %q, body %q, %v", test.method, test.path, got, body, answer.Header)
		}
		if err := <-closed; err != nil {
			t.Errorf("%s %s: %v", test.method, test.path, err)
		}
	}
}

// Bodies of any size pass, both ways: what a client grants in small pieces is not
// held against it.
func TestHTTP2Bulk(t *testing.T) {
	const size = 64 << 20
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		if r.Body == nil {
			return &message.Response{Status: 200, Body: io.NopCloser(io.LimitReader(zeros{}, size)), Length: size}
		}
		n, err := io.Copy(io.Discard, r.Body)
		return text(200, fmt.Sprint(n, err))
	}, Options{})
	c := client2(t)
	answer, err := c.Get("https://" + at + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, answer.Body, make([]byte, 1<<10)); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, got := do(t, c, "POST", "https://"+at+"/", io.LimitReader(zeros{}, size)); got != fmt.Sprint(size, nil) {
		t.Errorf("sent: %s", got)
	}
}

// Many large messages pass at a time, both ways, over one connection.
func TestHTTP2Echo(t *testing.T) {
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		return &message.Response{Status: 200, Body: io.NopCloser(r.Body), Length: -1}
	}, Options{})
	c := client2(t)
	large := strings.Repeat("0123456789", 30_000)
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for range 10 {
				answer, err := c.Post("https://"+at+"/", "text/plain", strings.NewReader(large))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || string(b) != large {
					t.Errorf("%d bytes, %v", len(b), err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// What comes is passed on at once, both ways.
func TestHTTP2Streams(t *testing.T) {
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		return &message.Response{Status: 200, Body: io.NopCloser(r.Body), Length: -1}
	}, Options{})
	out, in := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+at+"/", out)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client2(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	buf := make([]byte, 5)
	for _, word := range []string{"first", "other", "third"} {
		if _, err := io.WriteString(in, word); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(answer.Body, buf); err != nil || string(buf) != word {
			t.Fatalf("%q, %v", buf, err)
		}
	}
	in.Close()
	if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestHTTP2BrokenResponses(t *testing.T) {
	broken := errors.New("the backend broke off")
	bodies := map[string]*message.Response{
		"/short":  {Status: 200, Length: 9, Body: io.NopCloser(strings.NewReader("12345"))},
		"/long":   {Status: 200, Length: 2, Body: io.NopCloser(strings.NewReader("12345"))},
		"/broken": {Status: 200, Length: -1, Body: io.NopCloser(io.MultiReader(strings.NewReader("12345"), errReader{broken}))},
	}
	done := make(chan error, 1)
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		if b := bodies[r.Path]; b != nil {
			b.Done = func(_ int64, err error) { done <- err }
			return b
		}
		return text(200, "ok")
	}, Options{})
	c := client2(t)
	for path := range bodies {
		answer, err := c.Get("https://" + at + path)
		if err == nil {
			_, err = io.ReadAll(answer.Body)
			answer.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: the response looked whole", path)
		}
		if err := <-done; err == nil {
			t.Errorf("%s: no error was told", path)
		}
	}
	// The connection is still good.
	if _, body := do(t, c, "GET", "https://"+at+"/", nil); body != "ok" {
		t.Errorf("%q", body)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestHTTP2SlowClients(t *testing.T) {
	result := make(chan error, 1)
	h := func(_ context.Context, r *message.Request) *message.Response {
		if r.Method == "POST" {
			_, err := io.Copy(io.Discard, r.Body)
			result <- err
			return text(200, "ok")
		}
		return &message.Response{Status: 200, Length: -1, Body: io.NopCloser(zeros{}), Done: func(_ int64, err error) { result <- err }}
	}
	t.Run("a body that stalls", func(t *testing.T) {
		_, at := serveTLS(t, h, Options{StallTimeout: 100 * time.Millisecond})
		out, in := io.Pipe()
		defer in.Close()
		go io.WriteString(in, "begin")
		go client2(t).Post("https://"+at+"/", "text/plain", out)
		if err := <-result; !errors.Is(err, message.ErrClientSlow) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a body that trickles", func(t *testing.T) {
		_, at := serveTLS(t, h, Options{StallTimeout: 200 * time.Millisecond, MinRate: 1 << 20})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, "POST", "https://"+at+"/", trickle{ctx})
		if err != nil {
			t.Fatal(err)
		}
		go client2(t).Do(request)
		if err := <-result; !errors.Is(err, message.ErrClientSlow) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a client that does not read", func(t *testing.T) {
		_, at := serveTLS(t, h, Options{StallTimeout: 100 * time.Millisecond})
		answer, err := client2(t).Get("https://" + at + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if err := <-result; !errors.Is(err, message.ErrClientGone) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a client that leaves", func(t *testing.T) {
		_, at := serveTLS(t, h, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		out, in := io.Pipe()
		defer in.Close()
		request, err := http.NewRequestWithContext(ctx, "POST", "https://"+at+"/", out)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			io.WriteString(in, "begin")
			cancel()
		}()
		if _, err := client2(t).Do(request); err == nil {
			t.Error("an answer")
		}
		if err := <-result; !errors.Is(err, message.ErrClientGone) {
			t.Errorf("%v", err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// trickle gives a byte at a time until its context ends.
type trickle struct{ ctx context.Context }

func (r trickle) Read(p []byte) (int, error) {
	select {
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	case <-time.After(20 * time.Millisecond):
	}
	p[0] = 'x'
	return 1, nil
}

// A server that is shut down under load answers every request that has come,
// and takes the others to no one: the client sends them elsewhere.
func TestHTTP2Drain(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	s, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		if r.Path == "/slow" {
			close(started)
			<-release
		}
		return text(200, "ok")
	}, Options{})
	c := client2(t)
	answer := make(chan error, 1)
	go func() {
		a, err := c.Get("https://" + at + "/slow")
		if err == nil {
			var b []byte
			if b, err = io.ReadAll(a.Body); err == nil && string(b) != "ok" {
				err = errors.New(string(b))
			}
			a.Body.Close()
		}
		answer <- err
	}()
	<-started
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	select {
	case err := <-down:
		t.Fatalf("the server ended before its request: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if err := <-answer; err != nil {
		t.Errorf("the request that had come was lost: %v", err)
	}
	select {
	case err := <-down:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the server did not end")
	}
}

// Requests on a connection of a server that goes are answered, or the client
// is told that they were not looked at, and tries another connection: here in
// vain.
func TestHTTP2DrainUnderLoad(t *testing.T) {
	noMore := errors.New("no further connection")
	for range 10 {
		var handled atomic.Int64
		s, at := serveTLS(t, func(context.Context, *message.Request) *message.Response {
			handled.Add(1)
			return text(200, "ok")
		}, Options{})
		var dialled atomic.Bool
		c := client2(t)
		c.Transport.(*http.Transport).DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dialled.Swap(true) {
				return nil, noMore
			}
			d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{H2}}}
			return d.DialContext(ctx, network, address)
		}
		do(t, c, "GET", "https://"+at+"/", nil)
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for {
					a, err := c.Get("https://" + at + "/")
					if err == nil {
						_, err = io.ReadAll(a.Body)
						a.Body.Close()
					}
					if errors.Is(err, noMore) {
						return
					}
					if err != nil {
						t.Errorf("a request was lost: %v", err)
						return
					}
				}
			})
		}
		for handled.Load() < 100 {
			time.Sleep(time.Millisecond)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		clients.Wait()
	}
}

// Without TLS there is HTTP/1.1 only, whatever a client asks for.
func TestNoH2C(t *testing.T) {
	_, at, _ := serve(t, func(_ context.Context, r *message.Request) *message.Response { return text(200, r.Proto) }, Options{})
	c := dial(t, at)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") || !strings.HasSuffix(string(b), "HTTP/1.1") {
		t.Errorf("%q, %v", b, err)
	}
	c = dial(t, at)
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 505 ") {
		t.Errorf("%q, %v", b, err)
	}
}

// The same port serves clients that don't choose HTTP/2.
func TestHTTP1BesideHTTP2(t *testing.T) {
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response { return text(200, r.Proto) }, Options{})
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}
	defer c.CloseIdleConnections()
	if _, body := do(t, c, "GET", "https://"+at+"/", nil); body != "HTTP/1.1" {
		t.Errorf("%q", body)
	}
}

// echoed is a body that ends with the trailer of another.
type echoed struct {
	io.Reader
	of message.Trailing
}

func (e echoed) Close() error         { return nil }
func (e echoed) Trailer() http.Header { return e.of.Trailer() }

// TestHTTP2Trailers: fields behind a body pass in both directions.
func TestHTTP2Trailers(t *testing.T) {
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		return &message.Response{Status: 200, Length: -1, Body: echoed{r.Body, r.Body.(message.Trailing)}}
	}, Options{})
	for _, sent := range []string{"", "body"} {
		answer, body := do(t, client2(t), "POST", "https://"+at+"/", io.MultiReader(strings.NewReader(sent)), func(r *http.Request) {
			r.Trailer = http.Header{"X-Sum": {"1", "2"}}
		})
		if got := answer.Trailer["X-Sum"]; body != sent || !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("%q: %q, trailer %v", sent, body, answer.Trailer)
		}
	}
}

// Clients that keep connections of HTTP/2 without requests keep nobody else out,
// and those with requests under way lose none.
func TestHTTP2CrowdGivesWay(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	_, at := serveTLS(t, func(_ context.Context, r *message.Request) *message.Response {
		if r.Path == "/busy" {
			close(entered)
			<-release
		}
		return text(200, "ok")
	}, Options{MaxConnections: 4})
	busy := make(chan string, 1)
	go func() {
		_, body := do(t, client2(t), "GET", "https://"+at+"/busy", nil)
		busy <- body
	}()
	<-entered
	for range 12 {
		if _, body := do(t, client2(t), "GET", "https://"+at+"/", nil); body != "ok" {
			t.Errorf("answer %q", body)
		}
	}
	close(release)
	if body := <-busy; body != "ok" {
		t.Errorf("the busy one's answer %q", body)
	}
}
