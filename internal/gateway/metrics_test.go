package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// scrape collects the gateway's metrics as Prometheus does, and returns counts
// by name and labels.
func scrape(t *testing.T, g *Gateway) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	metricsHandler(g).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	text := w.Body.String()
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for name, f := range families {
		if !strings.HasPrefix(name, "isthmus_") {
			continue
		}
		for _, m := range f.Metric {
			key := strings.TrimPrefix(name, "isthmus_apigateway_")
			for _, l := range m.Label {
				key += " " + l.GetValue()
			}
			if h := m.Histogram; h != nil {
				found[key] = float64(h.GetSampleCount())
				if h.GetSampleCount() > 0 && h.GetSampleSum() <= 0 {
					t.Errorf("%s: the sum is %v", key, h.GetSampleSum())
				}
			} else {
				found[key] = m.Counter.GetValue() + m.Gauge.GetValue()
			}
		}
	}
	return found
}

func TestMetrics(t *testing.T) {
	status := 200
	b := newBackend(t, func(*http.Request, []byte) string {
		return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status)
	})
	rest := restAPI(config.Route{Method: "GET", Path: "/x", Integration: proxyTo("http://b/")})
	api := httpAPI("dev", config.Route{Method: "GET", Path: "/x", Integration: proxyTo("")})
	both := configured(upstreamTo(1, b.at), rest, api)
	g := start(t, Options{}, server.Options{}, both)
	for status = range map[int]bool{204: true, 404: true, 502: true} {
		g.get(t, "rest000001", "/prod/x")
	}
	g.get(t, "rest000001", "/prod/none")
	g.get(t, "rest000001", "/nostage/x")
	g.get(t, "rest000002", "/prod/x")
	want := map[string]float64{
		"requests_total rest000001 2xx REST prod": 1, "requests_total rest000001 3xx REST prod": 0,
		"requests_total rest000001 4xx REST prod": 2, "requests_total rest000001 5xx REST prod": 1,
		"latency_seconds rest000001 REST prod": 4, "integration_latency_seconds rest000001 REST prod": 3,
		"requests_total http000001 2xx HTTP dev": 0, "requests_total http000001 3xx HTTP dev": 0,
		"requests_total http000001 4xx HTTP dev": 0, "requests_total http000001 5xx HTTP dev": 0,
		"latency_seconds http000001 HTTP dev": 0, "integration_latency_seconds http000001 HTTP dev": 0,
		"unrouted_requests_total": 2,
	}
	var got map[string]float64
	// A request is counted when its answer was sent.
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got = scrape(t, g.Gateway); maps.Equal(got, want) {
			break
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}

	// Another configuration counts on; what was deleted is gone, and comes
	// back with nothing.
	g.Apply(configured(upstreamTo(1, b.at), rest))
	maps.DeleteFunc(want, func(k string, _ float64) bool { return strings.Contains(k, "http000001") })
	if got := scrape(t, g.Gateway); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	g.Apply(configured(upstreamTo(1, b.at), api))
	g.Apply(both)
	if got := scrape(t, g.Gateway); got["latency_seconds rest000001 REST prod"] != 0 {
		t.Errorf("a deleted stage counts on: %v", got)
	}
}

// Who only holds connections to the metrics takes no files from clients.
func TestMetricsConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serveMetrics(ctx, New(Options{}), l) }()
	ask := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		return c
	}
	answered := func(c net.Conn, patience time.Duration) error {
		c.SetReadDeadline(time.Now().Add(patience))
		_, err := io.ReadFull(c, make([]byte, len("HTTP/1.1 200 OK")))
		return err
	}
	var last net.Conn
	for range maxCollectors {
		last = ask()
		if err := answered(last, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	more := ask()
	if err := answered(more, 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one connection more: %v", err)
	}
	last.Close()
	if err := answered(more, 5*time.Second); err != nil {
		t.Errorf("when another has ended: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
