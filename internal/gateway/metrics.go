package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/isthmus-net/isthmus/internal/histogram"
)

// metrics counts the exchanges of a stage. It outlives configurations, for as
// long as they have the stage. Requests only add to it; whoever asks makes the
// series of it, so that they are bounded by what is configured.
type metrics struct {
	classes              [6]atomic.Uint64 // by the first digit of the status
	latency, integration histogram.Histogram
}

// count takes an exchange in that has ended.
func (m *metrics) count(x *exchange) {
	if class := x.status / 100; 0 < class && class < len(m.classes) {
		m.classes[class].Add(1)
	}
	m.latency.Observe(x.latency)
	if x.integrated {
		m.integration.Observe(x.integrationLatency)
	}
}

// useMetrics has the snapshot's stages count on where those of the snapshot
// before are.
func (s *snapshot) useMetrics(before *snapshot) {
	for id, a := range s.apis {
		for name, st := range a.stages {
			if was := before.apis[id]; was != nil && was.stages[name] != nil {
				st.metrics = was.stages[name].metrics
			} else {
				st.metrics = new(metrics)
			}
		}
	}
}

var (
	stageLabels     = []string{"api_id", "stage", "protocol_type"}
	requestsDesc    = prometheus.NewDesc("isthmus_apigateway_requests_total", "Requests answered, by the first digit of the status.", append(stageLabels[:3:3], "class"), nil)
	latencyDesc     = prometheus.NewDesc("isthmus_apigateway_latency_seconds", "Time from a request until its answer was sent.", stageLabels, nil)
	integrationDesc = prometheus.NewDesc("isthmus_apigateway_integration_latency_seconds", "Time that a backend took to the header of its answer.", stageLabels, nil)
	unroutedDesc    = prometheus.NewDesc("isthmus_apigateway_unrouted_requests_total", "Requests that named no API or stage that there is, or were refused before.", nil, nil)
	classNames      = [...]string{"", "1xx", "2xx", "3xx", "4xx", "5xx"}
)

// Describe is a method of prometheus.Collector.
func (g *Gateway) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsDesc, latencyDesc, integrationDesc, unroutedDesc} {
		to <- d
	}
}

// Collect tells what the stages have counted that there are now.
func (g *Gateway) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(unroutedDesc, prometheus.CounterValue, float64(g.unrouted.Load()))
	for _, a := range g.current.Load().apis {
		for _, st := range a.stages {
			labels := []string{a.ID, st.Name, string(a.Kind)}
			for class := 2; class < len(classNames); class++ {
				to <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(st.metrics.classes[class].Load()), append(labels[:3:3], classNames[class])...)
			}
			to <- histogramOf(latencyDesc, st.metrics.latency.Counts(), labels)
			to <- histogramOf(integrationDesc, st.metrics.integration.Counts(), labels)
		}
	}
}

func histogramOf(d *prometheus.Desc, c histogram.Counts, labels []string) prometheus.Metric {
	all, upTo := c.Cumulative()
	return prometheus.MustNewConstHistogram(d, all, c.Sum.Seconds(), upTo, labels...)
}

// maxCollectors bounds the connections of who collects metrics, whose files are
// of the process that serves clients.
const maxCollectors = 16

// serveMetrics answers GET /metrics in the formats of Prometheus until ctx ends.
func serveMetrics(ctx context.Context, g *Gateway, l net.Listener) error {
	s := &http.Server{
		Handler: metricsHandler(g), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(g.options.Log.Handler(), slog.LevelWarn),
	}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(netutil.LimitListener(l, maxCollectors)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

func metricsHandler(g *Gateway) http.Handler {
	registry := prometheus.NewRegistry()
	if g.options.Balancers != nil {
		registry.MustRegister(&balancers{g.options.Balancers, g.options.Log})
	}
	registry.MustRegister(g, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return mux
}
