package gateway

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// spans are those of an exchange, if the gateway has a tracer: one of its own,
// and one of the integration below it. Attributes have the names of
// OpenTelemetry's semantic conventions for HTTP.
type spans struct {
	context          context.Context // holds the exchange's own
	own, integration trace.Span
}

// w3c reads and writes the headers traceparent and tracestate (W3C Trace
// Context). What is malformed is as if it were not there.
var w3c propagation.TraceContext

// carrier is a header as w3c reads it.
type carrier struct{ *message.Header }

// Get joins the lists of tracestate. Of traceparent there must be one. It is a
// copy; see exported.
func (c carrier) Get(name string) string { return strings.Clone(strings.Join(c.Values(name), ",")) }

func (c carrier) Keys() []string { return nil }

// beginSpan begins the exchange's span, below that which the client names.
func (x *exchange) beginSpan() {
	tracer := x.gateway.options.Tracer
	if tracer == nil {
		return
	}
	x.spans = new(spans)
	parent := w3c.Extract(context.Background(), carrier{&x.request.Header})
	x.spans.context, x.spans.own = tracer.Start(parent, spanName(x.method, ""), trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(x.start))
}

// beginIntegrationSpan begins the span of the integration, and names it to the
// backend as the parent of its own.
func (x *exchange) beginIntegrationSpan(out *upstream.Request) {
	if x.spans == nil {
		return
	}
	ctx, span := x.gateway.options.Tracer.Start(x.spans.context, spanName(out.Method, ""), trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(x.integrationStarted))
	x.spans.integration = span
	out.Header.Del("traceparent")
	out.Header.Del("tracestate")
	w3c.Inject(ctx, carrier{&out.Header})
	if span.IsRecording() {
		span.SetAttributes(textOf("http.request.method", out.Method), textOf("server.address", hostname(out.Host)))
	}
}

// endSpans ends both when the answer was sent.
func (x *exchange) endSpans() {
	if x.spans == nil {
		return
	}
	if span := x.spans.integration; span != nil {
		if span.IsRecording() && x.integrationStatus != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", x.integrationStatus))
		}
		if span.IsRecording() && (x.integrationStatus >= 400 || x.integrationStatus == 0) {
			span.SetStatus(codes.Error, exported(x.cause))
		}
		span.End(trace.WithTimestamp(x.integrationStarted.Add(x.integrationLatency)))
	}
	if span := x.spans.own; span.IsRecording() {
		span.SetAttributes(
			textOf("http.request.method", x.method), attribute.Int("http.response.status_code", x.status),
			textOf("url.scheme", proto(x.request)), textOf("url.path", x.request.Path), textOf("server.address", hostname(x.request.Host)),
			textOf("client.address", x.client()), textOf("user_agent.original", x.request.Header.Get("User-Agent")),
			textOf("aws.request_id", x.id()), textOf("aws.extended_request_id", x.extendedID), textOf("isthmus.xray_trace_id", rootOf(x.traceID)),
		)
		if x.api != nil {
			span.SetAttributes(textOf("isthmus.api_id", x.api.ID), textOf("cloud.account.id", x.api.Account))
		}
		if x.stage != nil {
			span.SetAttributes(textOf("isthmus.stage", x.stage.Name))
		}
		if x.route != nil {
			span.SetName(spanName(x.method, x.route.Path))
			span.SetAttributes(textOf("http.route", x.route.Path))
		}
		if x.status >= 500 {
			span.SetStatus(codes.Error, exported(x.cause))
		}
	}
	x.spans.own.End(trace.WithTimestamp(x.start.Add(x.latency)))
}

// textOf is an attribute.
func textOf(key, value string) attribute.KeyValue { return attribute.String(key, exported(value)) }

// maxText bounds the bytes of a text in a span, much of which may be a client's.
const maxText = 1 << 10

// exported is a text for a span. What clients send may be no UTF-8, of which one
// text would spoil a whole batch. It is a copy: spans outlive what they tell of.
func exported(s string) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), maxText)]), "\ufffd")
}

// spanName has no word of the client's: methods that routes don't know are
// "HTTP", as the conventions have it. It is a copy; see exported.
func spanName(method, route string) string {
	if !isMethod(method) {
		method = "HTTP"
	}
	if route == "" {
		return strings.Clone(method)
	}
	return method + " " + route
}
