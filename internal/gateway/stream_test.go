package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// library is a backend made of the standard library's server.
func library(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// echo answers with the request's body, once it is there: the library's server
// does not read on when the answer has begun.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.Header.Get("X-Length") != "" {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	}
	w.Write(body)
}

func echoAPIs(at netip.AddrPort, version int) *config.Config {
	return configured(upstreamTo(version, at),
		restAPI(config.Route{Method: "ANY", Path: "/{proxy+}", Integration: proxyTo("http://b/")}),
		httpAPI("$default", config.Route{Method: "ANY", Path: "$default", Integration: proxyTo("")}))
}

func (g *gatewayUnderTest) url(api, path string) string {
	stage := "prod"
	if strings.HasPrefix(api, "http") {
		stage = "$default"
	}
	return "http://" + g.at + "/restapis/" + api + "/" + stage + "/_user_request_/" + path
}

// Both directions are open at a time: each piece is answered before the next
// one is sent, so that nothing can have been collected on the way.
func TestStreamsBothWays(t *testing.T) {
	at := library(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, "echo "+line)
			w.(http.Flusher).Flush()
		}
	})
	g := start(t, Options{}, server.Options{}, echoAPIs(at, 1))
	for _, api := range []string{"rest000001", "http000001"} {
		body, pipe := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "POST", g.url(api, "x"), body)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(pipe, "0\n")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(response.Body)
		for i := range 20 {
			line, err := answers.ReadString('\n')
			if err != nil || line != fmt.Sprintf("echo %d\n", i) {
				t.Fatalf("%s: piece %d: %q, %v", api, i, line, err)
			}
			if i < 19 {
				fmt.Fprintf(pipe, "%d\n", i+1)
			}
		}
		pipe.Close()
		if rest, err := io.ReadAll(answers); err != nil || len(rest) != 0 {
			t.Errorf("%s: rest %q, %v", api, rest, err)
		}
		response.Body.Close()
	}
}

func TestLargeBodiesUnchanged(t *testing.T) {
	at := library(t, echo)
	g := start(t, Options{}, server.Options{}, echoAPIs(at, 1))
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 10 << 20} {
		data := make([]byte, size)
		random.Read(data)
		for _, known := range []bool{true, false} {
			var body io.Reader = bytes.NewReader(data)
			if !known {
				body = struct{ io.Reader }{body}
			}
			r, err := http.NewRequest("POST", g.url("http000001", "x"), body)
			if err != nil {
				t.Fatal(err)
			}
			if known {
				r.Header.Set("X-Length", "1")
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != 200 || sha256.Sum256(got) != sha256.Sum256(data) {
				t.Errorf("%d bytes, known %v: status %d, %d bytes, %v", size, known, response.StatusCode, len(got), err)
			}
		}
	}
}

func TestPayloadLimit(t *testing.T) {
	var whole atomic.Int64
	at := library(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			if r.Header.Get("X-Chunked") == "" {
				w.Header().Set("Content-Length", "2000")
			}
			w.Write(make([]byte, 1000))
			w.(http.Flusher).Flush()
			w.Write(make([]byte, 1000))
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
		}
	})
	g := start(t, Options{MaxPayload: 1500}, server.Options{}, echoAPIs(at, 1))
	post := func(api string, body io.Reader) (int, string) {
		response, err := http.Post(g.url(api, "x"), "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(text)
	}
	for api, want := range map[string]string{"rest000001": "HTTP content length exceeded 10485760 bytes.", "http000001": `{"message":"Request Entity Too Large"}`} {
		if status, body := post(api, struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 1501))}); status != 413 || body != want {
			t.Errorf("%s, chunked: %d %s", api, status, body)
		}
		if status, body := post(api, strings.NewReader(strings.Repeat("x", 1501))); status != 413 || body != want {
			t.Errorf("%s: %d %s", api, status, body)
		}
		if status, _ := post(api, struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 1500))}); status != 200 {
			t.Errorf("%s: a body of the limit's size: %d", api, status)
		}
	}
	if whole.Load() != 2 {
		t.Errorf("%d whole bodies reached the backend", whole.Load())
	}
	if a := g.get(t, "rest000001", "/prod/x"); a.status != 500 || a.body != `{"message": "Internal server error"}` {
		t.Errorf("large response: %d %s", a.status, a.body)
	}
	r, _ := http.NewRequest("GET", g.url("rest000001", "x"), nil)
	r.Header.Set("X-Chunked", "1")
	if response, err := http.DefaultClient.Do(r); err == nil {
		defer response.Body.Close()
		if _, err := io.ReadAll(response.Body); err == nil {
			t.Error("a chunked response above the limit was whole")
		}
	}
}

func TestHundredClients(t *testing.T) {
	at := library(t, echo)
	g := start(t, Options{}, server.Options{}, echoAPIs(at, 1))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for j := range 20 {
				want := strings.Repeat(fmt.Sprint(i, j, " "), 500)
				api := []string{"rest000001", "http000001"}[j%2]
				response, err := client.Post(g.url(api, "x"), "text/plain", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || string(got) != want || response.StatusCode != 200 {
					t.Errorf("client %d: %d, %d bytes, %v", i, response.StatusCode, len(got), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A new configuration is served from the next request on, and no request is
// lost while configurations change all the time.
func TestConfigurationChanges(t *testing.T) {
	name := func(n string) netip.AddrPort {
		return library(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, n) })
	}
	a, b := name("a"), name("b")
	g := start(t, Options{}, server.Options{}, echoAPIs(a, 1))
	if got := g.get(t, "rest000001", "/prod/x"); got.body != "a" {
		t.Fatal(got.body)
	}
	g.Apply(echoAPIs(b, 1))
	if got := g.get(t, "rest000001", "/prod/x"); got.body != "b" {
		t.Fatal(got.body)
	}
	g.Apply(&config.Config{Region: "us-east-1"})
	if got := g.get(t, "rest000001", "/prod/x"); got.status != 403 {
		t.Fatal(got.status)
	}
	g.Apply(echoAPIs(a, 1))

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				response, err := http.Get(g.url("rest000001", "x"))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != 200 {
					t.Errorf("%d %s, %v", response.StatusCode, body, err)
					return
				}
			}
		})
	}
	for i := range 200 {
		c := echoAPIs([]netip.AddrPort{a, b}[i%2], 1)
		g.Apply(c)
	}
	stop()
	wg.Wait()
}

// When what may be reached changes, connections that were opened before are
// not used again; otherwise they are kept.
func TestFingerprint(t *testing.T) {
	var connections atomic.Int64
	ended := make(chan struct{}, 4)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			connections.Add(1)
		case http.StateClosed:
			ended <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	g := start(t, Options{}, server.Options{}, echoAPIs(at, 1))
	get := func(want int64) {
		t.Helper()
		if a := g.get(t, "rest000001", "/prod/x"); a.status != 200 {
			t.Fatal(a.status)
		}
		if got := connections.Load(); got != want {
			t.Fatalf("%d connections, want %d", got, want)
		}
	}
	get(1)
	get(1)
	g.Apply(echoAPIs(at, 1))
	get(1)
	c := echoAPIs(at, 1)
	u := c.Upstreams["way"]
	u.Fingerprint = "2"
	c.Upstreams["way"] = u
	g.Apply(c)
	select {
	case <-ended: // at once, without a request
	case <-time.After(10 * time.Second):
		t.Fatal("the connection under the old rules is still open")
	}
	get(2)
}

func TestClientLeaves(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan struct{})
	at := library(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(left)
	})
	g := start(t, Options{}, server.Options{}, echoAPIs(at, 1))
	c, err := net.Dial("tcp", g.at)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, request("GET", "rest000001", "/prod/x", ""))
	<-arrived
	c.Close()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the backend's request went on without the client")
	}
}

// A backend that stops in the middle of its answer does not hold the exchange
// for ever.
func TestStalledResponse(t *testing.T) {
	at := library(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c := echoAPIs(at, 1)
	c.APIs[0].Stages[0].Routes[0].Integration.TimeoutMillis = 200
	g := start(t, Options{}, server.Options{}, c)
	response, err := http.Get(g.url("rest000001", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err == nil || string(body) != "begun" {
		t.Errorf("%q, %v", body, err)
	}
}

// The time of a slow client is not the integration's.
func TestSlowClientIsNotATimeout(t *testing.T) {
	at := library(t, echo)
	c := echoAPIs(at, 1)
	c.APIs[0].Stages[0].Routes[0].Integration.TimeoutMillis = 600 // a busy machine's backend answers within it, too
	g := start(t, Options{}, server.Options{}, c)
	for _, known := range []bool{true, false} {
		body, pipe := io.Pipe()
		r, err := http.NewRequest("POST", g.url("rest000001", "x"), body)
		if err != nil {
			t.Fatal(err)
		}
		if known {
			r.ContentLength = 4
		}
		go func() {
			for range 4 {
				time.Sleep(200 * time.Millisecond) // the client's pace is what is tested
				io.WriteString(pipe, "x")
			}
			pipe.Close()
		}()
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != 200 || string(got) != "xxxx" {
			t.Errorf("known %v: %d %q, %v", known, response.StatusCode, got, err)
		}
	}
}

func TestHeadAndEmptyStatuses(t *testing.T) {
	at := library(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Want") {
		case "204":
			w.WriteHeader(204)
		case "304":
			w.Header().Set("ETag", "x")
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "1234")
			if r.Method != "HEAD" {
				io.WriteString(w, strings.Repeat("x", 1234))
			}
		}
	})
	c := echoAPIs(at, 1)
	heads := proxyTo("http://b/")
	heads.Method = "HEAD"
	c.APIs[0].Stages[0].Routes = append(c.APIs[0].Stages[0].Routes, config.Route{Key: "GET /head", Method: "GET", Path: "/head", Integration: heads})
	g := start(t, Options{}, server.Options{}, c)
	for _, api := range []string{"rest000001", "http000001"} {
		target := map[string]string{"rest000001": "/prod/x", "http000001": "/x"}[api]
		if a := g.send(t, request("HEAD", api, target, "")); a.status != 200 || a.header.Get("Content-Length") != "1234" || a.body != "" {
			t.Errorf("%s HEAD: %d %v", api, a.status, a.header)
		}
		for _, status := range []int{204, 304} {
			if a := g.get(t, api, target, fmt.Sprint("X-Want: ", status)); a.status != status || a.body != "" {
				t.Errorf("%s %d: %d %q", api, status, a.status, a.body)
			}
		}
	}
	if a := g.get(t, "rest000001", "/prod/head"); a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "0" {
		t.Errorf("GET with HEAD behind: %d %q %v", a.status, a.body, a.header)
	}
}
