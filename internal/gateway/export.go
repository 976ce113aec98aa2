package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Export says where spans go.
type Export struct {
	// Endpoint is the URL of an OTLP/HTTP receiver; its path is /v1/traces
	// unless it has one.
	Endpoint string
	// Socket is the relay that leads to its address, which the process itself
	// can't reach.
	Socket string
}

// Limits of what waits to be exported. What is more is dropped, and no request
// waits.
const (
	maxSpans      = 8192
	spansTogether = 512
	exportTimeout = 10 * time.Second
)

// newProvider makes what exports spans: of the requests whose clients want
// them recorded, or say nothing of it.
func newProvider(ctx context.Context, e Export, log *slog.Logger) (*sdktrace.TracerProvider, error) {
	client := &http.Client{Timeout: exportTimeout, Transport: &http.Transport{
		// A relay's streams do not stay.
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", e.Socket)
		},
	}}
	to, err := url.Parse(e.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("export spans: %w", err)
	}
	if strings.Trim(to.Path, "/") == "" {
		to.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to.String()), otlptracehttp.WithHTTPClient(client), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		return nil, fmt.Errorf("export spans to %s: %w", e.Endpoint, err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("export spans", "error", err) }))
	return sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(maxSpans), sdktrace.WithMaxExportBatchSize(spansTogether), sdktrace.WithBatchTimeout(time.Second)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "isthmus-gateway"))),
	), nil
}
