package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/loopback"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
	"github.com/isthmus-net/isthmus/internal/proxy/way"
)

// backend is a raw TCP server that records the bytes of requests.
type backend struct {
	at netip.AddrPort

	mu       sync.Mutex
	requests []string
}

// newBackend answers each request, which it records whole, with the text that
// answer gives.
func newBackend(t *testing.T, answer func(r *http.Request, body []byte) string) *backend {
	t.Helper()
	b := &backend{}
	b.at = loopback.Serve(t, func(c net.Conn) { b.serve(c, answer) })
	return b
}

func (b *backend) serve(c net.Conn, answer func(*http.Request, []byte) string) {
	var record bytes.Buffer
	r := bufio.NewReader(io.TeeReader(c, &record))
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.requests = append(b.requests, record.String())
		b.mu.Unlock()
		record.Reset()
		if _, err := io.WriteString(c, answer(request, body)); err != nil {
			return
		}
	}
}

// last is the request that came last: its first line, its header lines
// sorted, and its body.
func (b *backend) last(t *testing.T) (line string, header []string, body string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.requests) == 0 {
		t.Fatal("the backend got no request")
	}
	head, body, _ := strings.Cut(b.requests[len(b.requests)-1], "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	slices.Sort(lines[1:])
	return lines[0], lines[1:], body
}

func (b *backend) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.requests)
}

func fixed(text string) func(*http.Request, []byte) string {
	return func(*http.Request, []byte) string { return text }
}

const plainOK = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"

// upstreamTo is the way to a backend through a link.
func upstreamTo(version int, at ...netip.AddrPort) way.Upstream {
	u := way.Upstream{Key: "way", Link: "abc123", Version: version, Fingerprint: "1"}
	for _, a := range at {
		u.Destinations = append(u.Destinations, way.Destination{Zone: "us-east-1a", Address: a})
	}
	return u
}

// gatewayUnderTest is a gateway behind a real server on loopback.
type gatewayUnderTest struct {
	*Gateway
	at     string
	log    *logBuffer
	server *server.Server
}

// logBuffer is an access log that can be waited for.
type logBuffer struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.Write(p)
}

// find waits for the line of a request.
func (b *logBuffer) find(t *testing.T, requestID string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		b.mu.Lock()
		text := b.lines.String()
		b.mu.Unlock()
		for line := range strings.Lines(text) {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && (fields["requestId"] == requestID || fields["extendedRequestId"] == requestID) {
				return fields
			}
		}
	}
	t.Fatalf("no line for %s in the access log", requestID)
	return nil
}

func start(t *testing.T, o Options, so server.Options, configs ...*config.Config) *gatewayUnderTest {
	t.Helper()
	g := &gatewayUnderTest{log: &logBuffer{}}
	o.Access = linelog.NewLog(g.log, true, slog.LevelInfo, "")
	o.Upstream.AllowPrivate = true
	g.Gateway = New(o)
	for _, c := range configs {
		g.Apply(c)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.at = l.Addr().String()
	g.server = server.New(g.Handle, so)
	done := make(chan error, 1)
	go func() { done <- g.server.Serve(l) }()
	t.Cleanup(func() {
		g.server.Shutdown(t.Context())
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return g
}

// answered is a response read from the wire.
type answered struct {
	status int
	header http.Header
	names  []string // as they were spelled
	body   string
}

// send writes raw bytes and reads one response.
func (g *gatewayUnderTest) send(t *testing.T, raw string) answered {
	t.Helper()
	c, err := net.Dial("tcp", g.at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(c, raw)
	var record bytes.Buffer
	method, _, _ := strings.Cut(raw, " ")
	r := bufio.NewReader(io.TeeReader(c, &record))
	response, err := http.ReadResponse(r, &http.Request{Method: method})
	if err == nil && response.StatusCode == 100 {
		record.Reset() // of what is buffered already, nothing is lost: 100 comes alone
		response, err = http.ReadResponse(r, &http.Request{Method: method})
	}
	if err != nil {
		t.Fatalf("%.60q: %v", raw, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%.60q: body: %v", raw, err)
	}
	a := answered{status: response.StatusCode, header: response.Header, body: string(body)}
	head, _, _ := strings.Cut(record.String(), "\r\n\r\n")
	for _, line := range strings.Split(head, "\r\n")[1:] {
		name, _, _ := strings.Cut(line, ":")
		a.names = append(a.names, name)
	}
	return a
}

// get sends a request without a body to an API's host.
func (g *gatewayUnderTest) get(t *testing.T, api, target string, header ...string) answered {
	t.Helper()
	return g.send(t, request("GET", api, target, "", header...))
}

func request(method, api, target, body string, header ...string) string {
	raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s.execute-api.localhost:8080\r\n", method, target, api)
	for _, h := range header {
		raw += h + "\r\n"
	}
	if body != "" {
		raw += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return raw + "\r\n" + body
}

// restAPI is a REST API with a stage "prod".
func restAPI(routes ...config.Route) config.API {
	for i := range routes {
		routes[i].Key = routes[i].Method + " " + routes[i].Path
		routes[i].ID = "res" + fmt.Sprint(i)
	}
	return config.API{
		ID: "rest000001", Account: "000000000000", Kind: config.REST, Name: "rest", EndpointType: "REGIONAL",
		Stages: []config.Stage{{Name: "prod", Deployment: "d1", Variables: map[string]string{"color": "blue"}, Routes: routes}},
	}
}

// httpAPI is an HTTP API with one stage.
func httpAPI(stage string, routes ...config.Route) config.API {
	for i := range routes {
		if routes[i].Key = routes[i].Method + " " + routes[i].Path; routes[i].Path == config.DefaultRoute {
			routes[i].Key = config.DefaultRoute
		}
		routes[i].ID = "route" + fmt.Sprint(i)
	}
	return config.API{
		ID: "http000001", Account: "000000000000", Kind: config.HTTP, Name: "http", EndpointType: "REGIONAL",
		Stages: []config.Stage{{Name: stage, Deployment: "d1", Variables: map[string]string{"color": "blue"}, Routes: routes}},
	}
}

// proxyTo is an integration that passes requests through the link.
func proxyTo(uri string) *config.Integration {
	in := &config.Integration{Type: config.HTTPProxy, Method: config.AnyMethod, Upstream: "way", TimeoutMillis: 30_000}
	if uri != "" {
		u, err := config.ParseURI(uri)
		if err != nil {
			panic(err)
		}
		in.URI = u
	}
	return in
}

func configured(u way.Upstream, apis ...config.API) *config.Config {
	return &config.Config{Region: "us-east-1", APIs: apis, Upstreams: map[string]way.Upstream{"way": u}}
}

var (
	uuid     = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	extended = regexp.MustCompile(`^[A-Za-z0-9+/]{15}=$`)
	root     = regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$`)
)
