package gateway

import (
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// golden compares header lines; a value of "~" matches any.
func golden(t *testing.T, got, want []string) {
	t.Helper()
	slices.Sort(want)
	if len(got) == len(want) {
		same := true
		for i := range got {
			if prefix, any := strings.CutSuffix(want[i], "~"); any {
				same = same && strings.HasPrefix(got[i], prefix)
			} else {
				same = same && got[i] == want[i]
			}
		}
		if same {
			return
		}
	}
	t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
}

var clientHeader = []string{
	"User-Agent: curl/8.0", "Accept: */*", "X-Custom: one", "X-Custom: two", "Connection: keep-alive, X-Private",
	"X-Private: secret", "Keep-Alive: timeout=5", "TE: trailers", "Upgrade: websocket", "Proxy-Authorization: Basic x",
	"X-Forwarded-For: 203.0.113.9", "Via: 1.1 proxy", "Content-MD5: abc", "Max-Forwards: 5", "Authorization: Bearer t",
	"Content-Encoding: identity", "Expect: 100-continue", "Server: me", "Content-Type: text/plain",
}

func TestRESTProxyRequestHeader(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	in := proxyTo("http://internal.example.com:8081/base/{proxy}?fixed=1")
	in.RequestParameters = map[string]string{
		"integration.request.path.proxy":         "method.request.path.proxy",
		"integration.request.header.X-Stage":     "context.stage",
		"integration.request.header.X-Color":     "stageVariables.color",
		"integration.request.header.X-None":      "method.request.header.absent",
		"integration.request.querystring.source": "context.identity.sourceIp",
	}
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(1, b.at),
		restAPI(config.Route{Method: "ANY", Path: "/{proxy+}", Integration: in})))
	a := g.send(t, request("POST", "rest000001", "/prod/a%2Fb/c?q=%20x&q=y", "hello", clientHeader...))
	if a.status != 200 || a.body != "ok" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	line, header, body := b.last(t)
	if line != "POST /base/a%2Fb/c?fixed=1&q=%20x&q=y&source=127.0.0.1 HTTP/1.1" || body != "hello" {
		t.Errorf("%s, body %q", line, body)
	}
	_, port, _ := strings.Cut(g.at, ":")
	golden(t, header, []string{
		"Host: internal.example.com:8081", "User-Agent: curl/8.0", "Accept: */*", "X-Custom: one", "X-Custom: two",
		"Authorization: Bearer t", "Content-Type: text/plain", "Content-Length: 5",
		"X-Amzn-Apigateway-Api-Id: rest000001", "X-Amzn-Trace-Id: Root=1-~",
		"X-Forwarded-For: 203.0.113.9, 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Port: " + port,
		"X-Stage: prod", "X-Color: blue",
	})
}

func TestRESTProxyDefaults(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	in := proxyTo("http://internal.example.com/base")
	in.RequestParameters = map[string]string{"integration.request.header.Host": "'other.example.com'"}
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(1, b.at),
		restAPI(config.Route{Method: "GET", Path: "/", Integration: in})))
	g.get(t, "rest000001", "/prod", "Authorization: AWS4-HMAC-SHA256 Credential=x", "X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=1")
	line, header, _ := b.last(t)
	if line != "GET /base HTTP/1.1" {
		t.Error(line)
	}
	_, port, _ := strings.Cut(g.at, ":")
	golden(t, header, []string{
		"Host: other.example.com", "User-Agent: AmazonAPIGateway_rest000001", "Accept: application/json",
		"X-Amzn-Apigateway-Api-Id: rest000001", "X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=1",
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Port: " + port,
	})
}

func TestRESTOverNewerLinkHasStageInPath(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(2, b.at),
		restAPI(config.Route{Method: "GET", Path: "/x", Integration: proxyTo("http://internal.example.com/path")})))
	g.get(t, "rest000001", "/prod/x")
	if line, _, _ := b.last(t); line != "GET /prod/path HTTP/1.1" {
		t.Error(line)
	}
}

func TestRESTProxyResponseHeader(t *testing.T) {
	b := newBackend(t, fixed("HTTP/1.1 201 Created\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: nginx\r\nConnection: keep-alive\r\n"+
		"Content-Length: 2\r\nWWW-Authenticate: Basic\r\nVia: 1.1 x\r\nX-Own: 1\r\nX-Own: 2\r\nx-amzn-RequestId: abc\r\nAuthorization: t\r\n"+
		"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nKeep-Alive: timeout=5\r\nContent-MD5: m\r\n\r\nok"))
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(1, b.at),
		restAPI(config.Route{Method: "GET", Path: "/", Integration: proxyTo("http://b/")})))
	a := g.get(t, "rest000001", "/prod/")
	if a.status != 201 || a.body != "ok" {
		t.Fatalf("%d %q", a.status, a.body)
	}
	want := []string{
		"Content-Length", "Content-Type", "Date", "Set-Cookie", "Set-Cookie", "X-Amzn-Trace-Id", "X-Own", "X-Own",
		"x-amz-apigw-id", "x-amzn-Remapped-Authorization", "x-amzn-Remapped-Connection", "x-amzn-Remapped-Content-Length",
		"x-amzn-Remapped-Content-MD5", "x-amzn-Remapped-Date", "x-amzn-Remapped-Server", "x-amzn-Remapped-WWW-Authenticate",
		"x-amzn-Remapped-x-amzn-RequestId", "x-amzn-RequestId",
	}
	slices.Sort(a.names)
	slices.Sort(want)
	if !slices.Equal(a.names, want) {
		t.Errorf("names %q", a.names)
	}
	h := a.header
	if h.Get("Content-Type") != "application/json" || h.Get("X-Amzn-Remapped-Date") != "Mon, 01 Jan 2024 00:00:00 GMT" ||
		h.Get("Date") == h.Get("X-Amzn-Remapped-Date") || h.Get("X-Amzn-Remapped-Server") != "nginx" {
		t.Errorf("header %v", h)
	}
	if !uuid.MatchString(h.Get("X-Amzn-RequestId")) || !extended.MatchString(h.Get("X-Amz-Apigw-Id")) || !root.MatchString(h.Get("X-Amzn-Trace-Id")) {
		t.Errorf("ids %v", h)
	}
}

func TestHTTPRequestHeader(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(2, b.at),
		httpAPI("test", config.Route{Method: "ANY", Path: "/{proxy+}", Integration: proxyTo("")})))
	a := g.send(t, request("POST", "http000001", "/test/a%2Fb//c?q=%20x&q=y", "hello", clientHeader...))
	if a.status != 200 || a.body != "ok" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	line, header, body := b.last(t)
	if line != "POST /test/a%2Fb//c?q=%20x&q=y HTTP/1.1" || body != "hello" {
		t.Errorf("%s, body %q", line, body)
	}
	golden(t, header, []string{
		"Host: http000001.execute-api.localhost:8080", "User-Agent: curl/8.0", "Accept: */*", "X-Custom: one", "X-Custom: two",
		"Authorization: Bearer t", "Content-Type: text/plain", "Content-Length: 5", "Content-Encoding: identity",
		"Content-MD5: abc", "Max-Forwards: 5", "Server: me", "X-Amzn-Trace-Id: Root=1-~",
		"Via: 1.1 proxy, HTTP/1.1 AmazonAPIGateway",
		`Forwarded: for=203.0.113.9, for=127.0.0.1;host="http000001.execute-api.localhost:8080";proto=http`,
	})
}

func TestHTTPResponseHeader(t *testing.T) {
	b := newBackend(t, fixed("HTTP/1.1 404 Not Found\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: nginx\r\nConnection: keep-alive\r\n"+
		"Transfer-Encoding: chunked\r\nVia: 1.1 x\r\nX-Own: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(2, b.at),
		httpAPI("$default", config.Route{Method: "GET", Path: "/", Integration: proxyTo("")})))
	a := g.get(t, "http000001", "/")
	if a.status != 404 || a.body != "ok" {
		t.Fatalf("%d %q", a.status, a.body)
	}
	want := []string{"Apigw-Requestid", "Date", "Server", "Transfer-Encoding", "Via", "X-Own"}
	slices.Sort(a.names)
	if !slices.Equal(a.names, want) {
		t.Errorf("names %q", a.names)
	}
	if !extended.MatchString(a.header.Get("Apigw-Requestid")) || a.header.Get("Date") != "Mon, 01 Jan 2024 00:00:00 GMT" {
		t.Errorf("header %v", a.header)
	}
}

func TestHTTPParameterMapping(t *testing.T) {
	b := newBackend(t, fixed("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nX-Old: 1\r\nLocation: /x\r\n\r\n"))
	in := proxyTo("")
	in.RequestParameters = map[string]string{
		"overwrite:path": "/v2/${request.path.id}/${stageVariables.color}", "append:header.x-id": "$context.requestId",
		"overwrite:header.x-over": "static", "remove:header.x-gone": "''", "append:header.x-missing": "$request.header.absent",
		"append:querystring.added": "$request.header.x-over", "remove:querystring.drop": "''", "overwrite:querystring.keep": "new value",
	}
	in.ResponseParameters = map[string]map[string]string{
		"500": {"overwrite:statuscode": "403", "append:header.header1": "$context.requestId", "remove:header.x-old": "", "overwrite:header.where": "$response.header.location"},
		"200": {"overwrite:statuscode": "299"},
	}
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(2, b.at),
		httpAPI("test", config.Route{Method: "GET", Path: "/pets/{id}", Integration: in})))
	a := g.get(t, "http000001", "/test/pets/a%20b?drop=1&keep=old&other=%2F&keep=2", "X-Over: client", "X-Gone: 1", "User-Agent: x")
	line, header, _ := b.last(t)
	if line != "GET /v2/a%20b/blue?other=%2F&keep=new+value&added=client HTTP/1.1" &&
		line != "GET /v2/a%20b/blue?other=%2F&added=client&keep=new+value HTTP/1.1" {
		t.Error(line)
	}
	golden(t, header, []string{
		"Host: http000001.execute-api.localhost:8080", "User-Agent: x", "x-over: static", "x-id: ~", "X-Amzn-Trace-Id: ~",
		"Via: HTTP/1.1 AmazonAPIGateway", `Forwarded: ~`,
	})
	if a.status != 403 || a.header.Get("Header1") != a.header.Get("Apigw-Requestid") || a.header.Get("X-Old") != "" || a.header.Get("Where") != "/x" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

func TestHTTPPaths(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	uri := func(s string) *config.Integration { return proxyTo(s) }
	overwritten := proxyTo("")
	overwritten.RequestParameters = map[string]string{"overwrite:path": "$request.path"}
	routes := []config.Route{
		{Method: "ANY", Path: "/pets/{id}", Integration: uri("http://b/base/{id}/x?fixed=1")},
		{Method: "ANY", Path: "/files/{proxy+}", Integration: uri("http://b/f/{proxy}")},
		{Method: "ANY", Path: "/plain", Integration: proxyTo("")},
		{Method: "ANY", Path: "/cut/{x}", Integration: overwritten},
		{Method: "ANY", Path: "$default", Integration: uri("http://b/all")},
	}
	api := httpAPI("test", routes...)
	api.Stages = append(api.Stages, config.Stage{Name: "$default", Routes: routes})
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(2, b.at), api))
	for target, want := range map[string]string{
		"/test/pets/7?a=1":        "/base/7/x?fixed=1&a=1",
		"/pets/7":                 "/base/7/x?fixed=1",
		"/test/files/a/b%2Fc//d/": "/f/a/b%2Fc//d/",
		"/test/files/a/../b":      "/f/a/../b",
		"/test/plain":             "/test/plain",
		"/plain?":                 "/plain",
		"/test/cut/a%20b":         "/cut/a%20b",
		"/cut/x":                  "/cut/x",
		"/test/store/checkout":    "/all/store/checkout",
		"/store//checkout/":       "/all/store//checkout/",
		"/test":                   "/all/",
		"/te%73t/plain":           "/all/te%73t/plain", // another spelling of a stage is none
		"http://http000001.execute-api.localhost/test/pets/abs": "/base/abs/x?fixed=1",
	} {
		a := g.get(t, "http000001", target)
		if line, _, _ := b.last(t); a.status != 200 || line != "GET "+want+" HTTP/1.1" {
			t.Errorf("%s: %d, backend got %s, want %s", target, a.status, line, want)
		}
	}
	before := b.count()
	for _, target := range []string{
		"/test/files/../plain", "/test/files/%2e%2e/plain", "/test/files/a/..%2f..%2fplain", "/test/pets/..", "/test/pets/%2E%2e",
		"/test/../prod/x", "/..", "/test/files/..%5cx", "/test/pets/a%2f..%2f..%2fx", "/test/cut/..", "/test/files/..;/plain",
	} {
		if a := g.get(t, "http000001", target); a.status != 400 || a.body != `{"message":"Bad Request"}` {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
	if b.count() != before {
		t.Error("a climbing path reached the backend")
	}
}

func TestHTTPBackendByName(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	in := proxyTo("http://" + b.at.String() + "/x")
	in.Upstream = ""
	in.Method = "PUT"
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(2),
		httpAPI("$default", config.Route{Method: "POST", Path: "/", Integration: in})))
	if a := g.send(t, request("POST", "http000001", "/", "data")); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	line, header, body := b.last(t)
	if line != "PUT /x HTTP/1.1" || body != "data" || !slices.Contains(header, "Host: "+b.at.String()) {
		t.Errorf("%s %q %s", line, header, body)
	}
}
