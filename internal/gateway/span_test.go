package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// traced is a gateway with a tracer, and a backend that answers with the trace
// context that it was sent.
func traced(t *testing.T, tracer trace.Tracer) *gatewayUnderTest {
	b := newBackend(t, func(r *http.Request, _ []byte) string {
		status := "200 OK"
		if r.URL.Path == "/bad" {
			status = "503 X"
		}
		return "HTTP/1.1 " + status + "\r\nContent-Length: 0\r\nGot: " + strings.Join(r.Header.Values("traceparent"), "|") + " " + strings.Join(r.Header.Values("tracestate"), "|") + "\r\n\r\n"
	})
	return start(t, Options{Tracer: tracer}, server.Options{}, configured(upstreamTo(1, b.at), restAPI(
		config.Route{Method: "GET", Path: "/x/{id}", Integration: proxyTo("http://b/")}, config.Route{Method: "GET", Path: "/bad", Integration: proxyTo("http://b/bad")})))
}

const (
	traceHex  = "0af7651916cd43dd8448eb211c80319c"
	parentHex = "b7ad6b7169203331"
)

func TestSpans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())))
	g := traced(t, provider.Tracer("test"))
	// ended waits for spans, which end when an answer was sent.
	ended := func(n int) []sdktrace.ReadOnlySpan {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if spans := recorder.Ended(); len(spans) >= n {
				return spans[len(spans)-n:]
			}
		}
		t.Fatalf("%d spans, want %d", len(recorder.Ended()), n)
		return nil
	}
	g.get(t, "rest000001", "/prod/x/1", "traceparent: 00-"+traceHex+"-"+parentHex+"-01", "tracestate: a=b", "tracestate: c=d", "User-Agent: a\xff")
	spans := ended(2)
	integration, own := spans[0], spans[1]
	if own.Parent().SpanID().String() != parentHex || own.SpanContext().TraceID().String() != traceHex || own.Name() != "GET /x/{id}" || own.SpanKind() != trace.SpanKindServer {
		t.Errorf("own span %+v below %+v", own, own.Parent())
	}
	if integration.Parent().SpanID() != own.SpanContext().SpanID() || integration.SpanKind() != trace.SpanKindClient ||
		integration.StartTime().Before(own.StartTime()) || integration.EndTime().After(own.EndTime()) {
		t.Errorf("integration's span %+v", integration)
	}
	set := attribute.NewSet(own.Attributes()...)
	for key, want := range map[attribute.Key]string{"http.request.method": "GET", "http.route": "/x/{id}", "url.path": "/prod/x/1", "isthmus.api_id": "rest000001", "isthmus.stage": "prod", "client.address": "127.0.0.1", "user_agent.original": "a\ufffd", "http.response.status_code": "200"} {
		if v, _ := set.Value(key); v.String() != want {
			t.Errorf("%s is %q, want %q", key, v.String(), want)
		}
	}
	g.get(t, "rest000001", "/prod/bad")
	if spans = ended(4); spans[2].Status().Code.String() != "Error" || spans[3].Status().Code.String() != "Unset" && spans[3].Status().Code.String() != "Error" || spans[3].Parent().IsValid() {
		t.Errorf("%+v, %+v", spans[2].Status(), spans[3].Status())
	}
	// A client's texts are kept in part only, though spans may wait for long.
	g.get(t, "rest000001", "/prod/x/1", "User-Agent: "+strings.Repeat("x", maxText-1)+strings.Repeat("é", 10))
	set = attribute.NewSet(ended(6)[5].Attributes()...)
	if v, _ := set.Value("user_agent.original"); v.String() != strings.Repeat("x", maxText-1)+"\ufffd" {
		t.Errorf("a long text: %q", v.String())
	}
	before := len(recorder.Ended())
	g.get(t, "rest000001", "/prod/x/1", "traceparent: 00-"+traceHex+"-"+parentHex+"-00")
	g.get(t, "rest000001", "/prod/none")
	if last := ended(before + 1)[before]; last.Name() != "GET" || len(recorder.Ended()) != before+1 {
		t.Errorf("%d spans, the last %s", len(recorder.Ended())-before, last.Name())
	}
}

// What the backend is told of a trace.
func TestTraceContext(t *testing.T) {
	const valid = "00-" + traceHex + "-" + parentHex
	for _, c := range []struct {
		header    []string
		trace     string // that of the client, or empty for a new one
		flags     string
		state     string
		unchanged string // what passes without a tracer
	}{
		{nil, "", "01", "", " "},
		{[]string{"traceparent: " + valid + "-01", "tracestate: a=b,c=d"}, traceHex, "01", "a=b,c=d", valid + "-01 a=b,c=d"},
		{[]string{"traceparent: " + valid + "-00"}, traceHex, "00", "", valid + "-00 "},
		{[]string{"Traceparent: 01-" + traceHex + "-" + parentHex + "-01-more"}, traceHex, "01", "", "01-" + traceHex + "-" + parentHex + "-01-more "},
		{[]string{"traceparent: " + valid + "-01", "tracestate: =bad,,"}, traceHex, "01", "", valid + "-01 =bad,,"},
		{[]string{"traceparent: " + valid + "-01", "traceparent: " + valid + "-01", "tracestate: a=b"}, "", "01", "", valid + "-01|" + valid + "-01 a=b"},
		{[]string{"traceparent: " + strings.ToUpper(valid) + "-01"}, "", "01", "", strings.ToUpper(valid) + "-01 "},
		{[]string{"traceparent: ff-" + traceHex + "-" + parentHex + "-01", "tracestate: a=b"}, "", "01", "", "ff-" + traceHex + "-" + parentHex + "-01 a=b"},
		{[]string{"traceparent: " + valid + "-01-x"}, "", "01", "", valid + "-01-x "},
		{[]string{"traceparent: 00-" + strings.Repeat("0", 32) + "-" + parentHex + "-01"}, "", "01", "", "00-" + strings.Repeat("0", 32) + "-" + parentHex + "-01 "},
		{[]string{"traceparent: 00-" + traceHex + "-" + strings.Repeat("0", 16) + "-01"}, "", "01", "", "00-" + traceHex + "-" + strings.Repeat("0", 16) + "-01 "},
		{[]string{"tracestate: a=b"}, "", "01", "", " a=b"},
	} {
		g := traced(t, sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample()))).Tracer("test"))
		got, state, _ := strings.Cut(g.get(t, "rest000001", "/prod/x/1", c.header...).header.Get("Got"), " ")
		fields := strings.Split(got, "-")
		if len(fields) != 4 || fields[0] != "00" || len(fields[1]) != 32 || (fields[1] == traceHex) != (c.trace != "") || len(fields[2]) != 16 || fields[2] == parentHex || fields[3] != c.flags || state != c.state {
			t.Errorf("%q: the backend got %q %q", c.header, got, state)
		}
		if got := traced(t, nil).get(t, "rest000001", "/prod/x/1", c.header...).header.Get("Got"); got != strings.TrimSpace(c.unchanged) {
			t.Errorf("%q: without a tracer the backend got %q", c.header, got)
		}
	}
}

func TestRoots(t *testing.T) {
	now := time.Unix(0x67891233, 0)
	for _, c := range []struct {
		value string
		kept  bool
	}{
		{"Root=1-67891233-abcdef012345678912345678", true},
		{"Self=1-67904eda-5678abcd;Root=1-67891233-abcdef012345678912345678;Parent=463ac35c9f6413ad; Sampled=1", true},
		{"Root=1-67891233-abcdef01234567891234567", false},
		{"Root=1-67891233-abcdef01234567891234567x", false},
		{"Root=2-67891233-abcdef012345678912345678", false},
		{"Root=1-", false},
		{"", false},
	} {
		got := (&exchange{progress: progress{start: now}}).trace(c.value)
		if (got == c.value) != c.kept || !c.kept && !root.MatchString(got) {
			t.Errorf("%q became %q", c.value, got)
		}
	}
}
