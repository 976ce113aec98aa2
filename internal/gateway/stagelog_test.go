package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// openDir makes a directory of access logs.
func openDir(t testing.TB) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

// awaitLine waits until a file has a line that holds a text.
func awaitLine(t *testing.T, path, text string) string {
	t.Helper()
	var b []byte
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		b, _ = os.ReadFile(path)
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				return strings.TrimSuffix(line, "\n")
			}
		}
	}
	t.Fatalf("%s has no line with %q: %s", path, text, b)
	return ""
}

// jsonFormat is a format that tells variables as a JSON object.
func jsonFormat(names ...string) string {
	var b strings.Builder
	b.WriteString("{")
	for i, n := range names {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`"` + n + `":"$context.` + n + `"`)
	}
	return b.String() + "}"
}

func TestStageLogs(t *testing.T) {
	dir, at := openDir(t)
	b := newBackend(t, func(r *http.Request, _ []byte) string {
		if r.URL.Path == "/bad" {
			return "nonsense\r\n\r\n"
		}
		return "HTTP/1.1 201 Created\r\nx-amzn-RequestId: back-1\r\nx-amz-id-2: back-2\r\nContent-Length: 2\r\n\r\nok"
	})
	rest := restAPI(config.Route{Method: "GET", Path: "/pets/{id}", Integration: proxyTo("http://b.test/ok")}, config.Route{Method: "GET", Path: "/bad", Integration: proxyTo("http://b.test/bad")})
	names := []string{
		"requestId", "extendedRequestId", "accountId", "apiId", "stage", "deploymentId", "resourceId", "resourcePath", "httpMethod", "protocol", "path",
		"status", "responseLength", "responseLatency", "requestTime", "requestTimeEpoch", "identity.sourceIp", "identity.userAgent", "identity.vpceId",
		"domainName", "domainPrefix", "error.message", "error.responseType", "integration.status", "integrationStatus", "integration.latency",
		"integrationLatency", "integrationErrorMessage", "integration.error", "integration.requestId", "awsEndpointRequestId", "awsEndpointRequestId2",
		"xrayTraceId", "tlsVersion", "authorizer.principalId", "nothing",
	}
	rest.Stages[0].AccessLog = &config.AccessLog{Format: jsonFormat(names...), Path: "1/aws/rest.log"}
	api := httpAPI("dev", config.Route{Method: "GET", Path: "/x", Integration: proxyTo("")})
	api.Stages[0].AccessLog = &config.AccessLog{Format: "$context.requestId [$context.requestTime] \"$context.httpMethod $context.routeKey\" $context.status $context.error.messageString", Path: "1/http.log"}
	g := start(t, Options{StageLogs: dir}, server.Options{}, configured(upstreamTo(1, b.at), rest, api))
	line := func(a answered) map[string]string {
		t.Helper()
		var fields map[string]string
		text := awaitLine(t, filepath.Join(at, "1/aws/rest.log"), a.header.Get("x-amzn-RequestId"))
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return fields
	}
	expect := func(fields map[string]string, want map[string]string) {
		t.Helper()
		for name, value := range want {
			if fields[name] != value {
				t.Errorf("%s is %q, want %q", name, fields[name], value)
			}
		}
	}

	a := g.get(t, "rest000001", "/prod/pets/7?q=1", `User-Agent: a"},{"forged":"b`, "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678;Sampled=1")
	got := line(a)
	expect(got, map[string]string{
		"extendedRequestId": a.header.Get("x-amz-apigw-id"), "accountId": "000000000000", "apiId": "rest000001", "stage": "prod", "deploymentId": "d1", "resourceId": "res0",
		"resourcePath": "/pets/{id}", "httpMethod": "GET", "protocol": "HTTP/1.1", "path": "/prod/pets/7", "status": "201", "responseLength": "2",
		"identity.sourceIp": "127.0.0.1", "identity.userAgent": `a"},{"forged":"b`, "identity.vpceId": "-", "domainName": "rest000001.execute-api.localhost", "domainPrefix": "rest000001",
		"error.message": "-", "error.responseType": "-", "integration.status": "201", "integrationStatus": "201", "integrationErrorMessage": "-", "integration.error": "-",
		"integration.requestId": "back-1", "awsEndpointRequestId": "back-1", "awsEndpointRequestId2": "back-2", "xrayTraceId": "1-67891233-abcdef012345678912345678",
		"tlsVersion": "-", "authorizer.principalId": "-", "nothing": "-",
	})
	for _, name := range []string{"responseLatency", "requestTimeEpoch", "integrationLatency", "integration.latency"} {
		var n json.Number
		if json.Unmarshal([]byte(got[name]), &n) != nil {
			t.Errorf("%s is %q", name, got[name])
		}
	}
	if when, err := time.Parse(timeOfCLF, got["requestTime"]); err != nil || time.Since(when) > time.Minute {
		t.Errorf("requestTime %q", got["requestTime"])
	}
	expect(line(g.get(t, "rest000001", "/prod/none")), map[string]string{
		"status": "403", "resourcePath": "-", "error.message": "Missing Authentication Token", "error.responseType": "MISSING_AUTHENTICATION_TOKEN", "integration.status": "-", "integrationLatency": "-",
	})
	got = line(g.get(t, "rest000001", "/prod/bad"))
	expect(got, map[string]string{"status": "504", "error.message": "Network error communicating with endpoint", "error.responseType": "INTEGRATION_FAILURE", "integration.status": "-"})
	if !strings.Contains(got["integrationErrorMessage"], "backend") || got["integrationErrorMessage"] != got["integration.error"] {
		t.Errorf("integration error %q", got["integrationErrorMessage"])
	}

	a = g.get(t, "http000001", "/dev/x")
	awaitLine(t, filepath.Join(at, "1/http.log"), `"GET GET /x" 201 -`)
	awaitLine(t, filepath.Join(at, "1/http.log"), a.header.Get("Apigw-Requestid")+" [")
	// Who rotates logs renames the file; the next line makes a new one.
	if err := os.Rename(filepath.Join(at, "1/http.log"), filepath.Join(at, "1/http.log.1")); err != nil {
		t.Fatal(err)
	}
	g.get(t, "http000001", "/dev/none")
	awaitLine(t, filepath.Join(at, "1/http.log"), `"GET -" 404 "Not Found"`)

	// A stage without a log writes none; one that is given back its log appends.
	before, _ := os.ReadFile(filepath.Join(at, "1/http.log"))
	api.Stages[0].AccessLog = nil
	g.Apply(configured(upstreamTo(1, b.at), rest, api))
	g.get(t, "http000001", "/dev/x")
	g.Close()
	if after, _ := os.ReadFile(filepath.Join(at, "1/http.log")); !bytes.Equal(before, after) {
		t.Errorf("written without being configured: %s", after)
	}
}

// Without a directory nothing is lost silently.
func TestStageLogWithoutDirectory(t *testing.T) {
	api := httpAPI("dev")
	api.Stages[0].AccessLog = &config.AccessLog{Format: "$context.requestId", Path: "1/http.log"}
	var log bytes.Buffer
	g := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	g.Apply(configured(upstreamTo(1), api))
	if !strings.Contains(log.String(), "--access-log-dir") || g.current.Load().apis["http000001"].stages["dev"].log != nil {
		t.Errorf("logged %q", &log)
	}
}

// A file that no stage has any more is open for requests under way for a while,
// and is written when the gateway ends.
func TestUnusedStageLogs(t *testing.T) {
	dir, at := openDir(t)
	files := logFiles{dir: dir, open: map[string]*logFile{}}
	now := time.Now()
	use := func(path string) *snapshot {
		rest := restAPI(config.Route{Method: "GET", Path: "/x"})
		if path != "" {
			rest.Stages[0].AccessLog = &config.AccessLog{Path: path, Format: "$context.requestId"}
		}
		s, _ := compile(configured(upstreamTo(1), rest))
		files.use(s, now, slog.New(slog.DiscardHandler))
		return s
	}
	under := contextExchange(use("a.log"))
	first := files.open["a.log"]
	use("")
	now = now.Add(closeAfter)
	if use("a.log"); files.open["a.log"] != first {
		t.Error("a file has two writers")
	}
	use("")
	now = now.Add(closeAfter)
	use("")
	under.stage.log.write(under)
	files.close()
	if b, err := os.ReadFile(filepath.Join(at, "a.log")); string(b) != "r\n" {
		t.Errorf("%q, %v", b, err)
	}
	use("a.log")
	use("")
	now = now.Add(closeAfter + 1)
	if use(""); len(files.open) > 0 {
		t.Error("an unused file stays open")
	}
}

func TestStageLogAllocations(t *testing.T) {
	rest := restAPI(config.Route{Method: "GET", Path: "/x"})
	rest.Stages[0].AccessLog = &config.AccessLog{Path: "x", Format: jsonFormat("requestId", "identity.sourceIp", "requestTime", "path", "httpMethod", "resourcePath", "routeKey",
		"status", "protocol", "responseLength", "integrationLatency", "error.message", "domainName", "xrayTraceId", "identity.userAgent")}
	s, _ := compile(configured(upstreamTo(1), rest))
	files := logFiles{dir: nil, open: map[string]*logFile{"x": {Writer: linelog.New(io.Discard, slog.New(slog.DiscardHandler))}}}
	defer files.close()
	files.dir, _ = openDir(t)
	files.use(s, time.Now(), slog.New(slog.DiscardHandler))
	x := contextExchange(s)
	x.clientAddress = "127.0.0.1"
	if n := testing.AllocsPerRun(100, func() { x.stage.log.write(x) }); n >= 1 { // the writer's own buffer grows now and then
		t.Errorf("%v allocations", n)
	}
}
