package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	resttypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	httptypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-net/isthmus/test/machine"
)

// TestObserve: what an operator sees of calls over both kinds of link.
func TestObserve(t *testing.T) {
	logs := filepath.Join(logDir(t), "new", "apis")
	m := start(t, "--access-log-dir", logs, "--metrics", "127.0.0.1:9464", "--otlp-endpoint", "http://127.0.0.1:4318")
	received := collect(t, m, "127.0.0.1:4318")
	s := site(t, m, accountA, machine.SiteOptions{})
	rest, web := overV1(t, s), overV2(t, s, s.Group)

	t.Run("access logs", func(t *testing.T) {
		const group = "arn:aws:logs:us-east-1:" + accountA + ":log-group:/aws/apigateway/"
		if _, err := s.AWS.REST.UpdateStage(t.Context(), &apigateway.UpdateStageInput{RestApiId: &rest.ID, StageName: aws.String("prod"), PatchOperations: []resttypes.PatchOperation{
			{Op: resttypes.OpReplace, Path: aws.String("/accessLogSettings/destinationArn"), Value: aws.String(group + "rest")},
			{Op: resttypes.OpReplace, Path: aws.String("/accessLogSettings/format"), Value: aws.String(`{"id":"$context.requestId","path":"$context.path","agent":"$context.identity.userAgent","status":"$context.status","backend":"$context.integration.status","latency":"$context.responseLatency"}`)},
		}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AWS.HTTP.UpdateStage(t.Context(), &apigatewayv2.UpdateStageInput{ApiId: &web.ID, StageName: aws.String("$default"), AccessLogSettings: &httptypes.AccessLogSettings{
			DestinationArn: aws.String(group + "http"), Format: aws.String(`$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.path $context.protocol" $context.status $context.responseLength $context.requestId`),
		}}); err != nil {
			t.Fatal(err)
		}
		awaitLog(t, m, rest.URL+"/pets/1", filepath.Join(logs, accountA, "aws/apigateway/rest.log"), func(line string) bool {
			var fields map[string]string
			return json.Unmarshal([]byte(line), &fields) == nil && fields["path"] == "/prod/pets/1" && fields["status"] == "200" && fields["backend"] == "200" && fields["agent"] == `evil"agent`
		})
		awaitLog(t, m, web.URL+"/pets/2", filepath.Join(logs, accountA, "aws/apigateway/http.log"), func(line string) bool {
			return strings.HasPrefix(line, "127.0.0.1 - - [") && strings.Contains(line, `"GET /pets/2 HTTP/1.1" 200 `)
		})
	})
	t.Run("spans", func(t *testing.T) {
		const traceID = "0af7651916cd43dd8448eb211c80319c"
		output(t, m.Command(t.Context(), "curl", "-sSf", "-o", "/dev/null", "-H", "traceparent: 00-"+traceID+"-b7ad6b7169203331-01", rest.URL+"/pets/3"))
		var spans []*tracepb.Span
		for deadline := time.After(patience); len(spans) < 2; {
			select {
			case span := <-received:
				if hex.EncodeToString(span.TraceId) == traceID {
					spans = append(spans, span)
				}
			case <-deadline:
				t.Fatalf("%d spans arrived", len(spans))
			}
		}
		// The integration ends first.
		if integration, own := spans[0], spans[1]; own.Name != "GET /{proxy+}" || hex.EncodeToString(own.ParentSpanId) != "b7ad6b7169203331" || !bytes.Equal(integration.ParentSpanId, own.SpanId) {
			t.Errorf("spans %v", spans)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		get := m.Command(t.Context(), "curl", "-sSf", "http://127.0.0.1:9464/metrics")
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(output(t, get) + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		counted := map[string]uint64{}
		for _, metric := range families["isthmus_apigateway_integration_latency_seconds"].GetMetric() {
			for _, l := range metric.Label {
				if l.GetName() == "api_id" {
					counted[l.GetValue()] += metric.Histogram.GetSampleCount()
				}
			}
		}
		if len(counted) != 2 || counted[rest.ID] == 0 || counted[web.ID] == 0 {
			t.Errorf("calls of %s and %s were counted as %v", rest.ID, web.ID, counted)
		}
	})
}

// collect is a collector of OpenTelemetry on the machine.
func collect(t *testing.T, m *machine.Machine, at string) <-chan *tracepb.Span {
	t.Helper()
	l, err := m.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan *tracepb.Span, 1000)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var batch collectorpb.ExportTraceServiceRequest
		zipped, err := gzip.NewReader(r.Body)
		if err == nil {
			var text []byte
			if text, err = io.ReadAll(zipped); err == nil {
				err = proto.Unmarshal(text, &batch)
			}
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s was sent with %v: %v", r.URL, r.Header, err)
		}
		for _, resource := range batch.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, span := range scope.Spans {
					received <- span
				}
			}
		}
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return received
}

// awaitLog calls a URL until a file has a line as wanted: the setting reaches
// the gateway a moment after the API has acknowledged it.
func awaitLog(t *testing.T, m *machine.Machine, url, path string, wanted func(line string) bool) {
	t.Helper()
	err := machine.Until(t.Context(), patience, func() (bool, string, error) {
		output(t, m.Command(t.Context(), "curl", "-sS", "-o", "/dev/null", "-A", `evil"agent`, url))
		text, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			return false, "", err
		}
		for line := range strings.Lines(string(text)) {
			if wanted(strings.TrimSuffix(line, "\n")) {
				return true, "", nil
			}
		}
		return false, string(text), nil
	})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
