package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/gateway/mapping"
	"github.com/isthmus-net/isthmus/internal/loopback"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// closing is an address that reads a little and closes the connection.
func closing(t *testing.T) netip.AddrPort {
	return loopback.Serve(t, func(c net.Conn) { http.ReadRequest(bufio.NewReader(c)) })
}

// Each failure of the gateway's own, for both kinds of API: status, type and
// body to the letter, and the cause in the log.
func TestFailures(t *testing.T) {
	hang := newBackend(t, func(r *http.Request, _ []byte) string { <-t.Context().Done(); return "" })
	broken := closing(t)
	brokenWay := func() *config.Config {
		c := configured(upstreamTo(1, broken))
		c.Upstreams["hang"] = upstreamTo(1, hang.at)
		c.Upstreams["refused"] = upstreamTo(1, loopback.Refusing(t))
		pending := upstreamTo(1)
		pending.Cause = "VPC link abc123 is PENDING"
		c.Upstreams["pending"] = pending
		return c
	}()
	integration := func(way string, millis int) *config.Integration {
		in := proxyTo("http://b/")
		in.Upstream, in.TimeoutMillis = way, millis
		return in
	}
	routes := []config.Route{
		{Method: "GET", Path: "/hang", Integration: integration("hang", 100)},
		{Method: "GET", Path: "/refused", Integration: integration("refused", 5000)},
		{Method: "GET", Path: "/pending", Integration: integration("pending", 5000)},
		{Method: "GET", Path: "/garbage", Integration: func() *config.Integration {
			in := proxyTo("http://" + loopback.Refusing(t).String() + "/")
			in.Upstream = ""
			return in
		}()},
		{Method: "GET", Path: "/iam", AuthorizationType: "AWS_IAM", Integration: integration("way", 5000)},
		{Method: "GET", Path: "/key", APIKeyRequired: true, Integration: integration("way", 5000)},
		{Method: "GET", Path: "/none"},
		{Method: "GET", Path: "/broken", Integration: &config.Integration{Type: config.HTTPProxy, Error: "stage variable \"x\" is not defined"}},
		{Method: "POST", Path: "/post", Integration: integration("way", 5000)},
	}
	brokenWay.APIs = []config.API{restAPI(slices.Clone(routes)...), httpAPI("prod", slices.Clone(routes)...)}
	disabledREST, disabledHTTP := restAPI(), httpAPI("prod")
	disabledREST.ID, disabledHTTP.ID = "rest000002", "http000002"
	disabledREST.DisableExecuteAPIEndpoint, disabledHTTP.DisableExecuteAPIEndpoint = true, true
	private := restAPI(slices.Clone(routes)...)
	private.ID, private.EndpointType = "rest000003", "PRIVATE"
	guarded := restAPI(slices.Clone(routes)...)
	guarded.ID, guarded.Stages[0].Policy = "rest000004", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:*:*:*/other"}}`
	brokenWay.APIs = append(brokenWay.APIs, disabledREST, disabledHTTP, private, guarded)
	explained := func(_ context.Context, _ netip.Addr, dst netip.AddrPort) (upstream.Explanation, error) {
		return upstream.Explanation{Verdict: "no-healthy-target", Cause: "target group x has no healthy target", Definitive: true}, nil
	}
	plain := start(t, Options{}, server.Options{StallTimeout: 300 * time.Millisecond}, brokenWay)
	explaining := start(t, Options{ExposeCause: true, Upstream: upstream.Options{Dialing: upstream.Dialing{Explain: explained}}}, server.Options{}, brokenWay)

	const (
		missing  = `{"message":"Missing Authentication Token"}`
		forbid   = `{"message":"Forbidden"}`
		notFound = `{"message":"Not Found"}`
		internal = `{"message": "Internal server error"}`
		network  = `{"message": "Network error communicating with endpoint"}`
		unavail  = `{"message":"Service Unavailable"}`
	)
	long := strings.Repeat("x", 10_300)
	for _, tt := range []struct {
		name, raw, cause   string
		rest               int
		restType, restBody string
		http               int
		httpBody           string
		explaining         bool
	}{
		{"no route", request("GET", "API", "/prod/nothing", ""), "request: no route matches", 403, "MissingAuthenticationTokenException", missing, 404, notFound, false},
		{"no method", request("PUT", "API", "/prod/hang", ""), "request: no route matches", 403, "MissingAuthenticationTokenException", missing, 404, notFound, false},
		{"no stage", request("GET", "API", "/test/hang", ""), "request: no such stage", 403, "MissingAuthenticationTokenException", missing, 404, notFound, false},
		{"timeout", request("GET", "API", "/prod/hang", ""), "timeout: no answer to the request in time", 504, "InternalServerErrorException", `{"message": "Endpoint request timed out"}`, 503, unavail, false},
		{"refused", request("GET", "API", "/prod/refused", ""), "connect: 127.0.0.1:", 504, "InternalServerErrorException", network, 503, unavail, false},
		{"explained", request("GET", "API", "/prod/refused", ""), "no-healthy-target: target group x has no healthy target", 500, "InternalServerErrorException", internal, 503, unavail, true},
		{"link pending", request("GET", "API", "/prod/pending", ""), "vpc-link: VPC link abc123 is PENDING", 500, "InternalServerErrorException", internal, 503, unavail, false},
		{"internet refused", request("GET", "API", "/prod/garbage", ""), "connection: ", 504, "InternalServerErrorException", network, 503, unavail, false},
		{"authorization", request("GET", "API", "/prod/iam", ""), "authorization: type AWS_IAM is not supported", 403, "ForbiddenException", forbid, 403, forbid, false},
		{"API key", request("GET", "API", "/prod/key", ""), "authorization: an API key is required", 403, "ForbiddenException", forbid, 403, forbid, false},
		{"no integration", request("GET", "API", "/prod/none", ""), "configuration: the route has no integration", 500, "InternalServerErrorException", internal, 500, `{"message":"Internal Server Error"}`, false},
		{"broken integration", request("GET", "API", "/prod/broken", ""), "configuration: stage variable", 500, "InternalServerErrorException", internal, 500, `{"message":"Internal Server Error"}`, false},
		{"announced too large", request("POST", "API", "/prod/post", "", "Content-Length: 10485761"), "request: the body is too large", 413, "", "HTTP content length exceeded 10485760 bytes.", 413, `{"message":"Request Entity Too Large"}`, false},
		{"header too large", request("GET", "API", "/prod/hang", "", "X-Long: "+long), "request: ", 431, "BadRequestException", `{"message": "Request Header Fields Too Large"}`, 431, `{"message":"Request Header Fields Too Large"}`, false},
		{"path too long", request("GET", "API", "/prod/"+long, ""), "request: ", 414, "RequestTooLongException", `{"message": "Request URI Too Long"}`, 431, `{"message":"Request Header Fields Too Large"}`, false},
		{"slow body", request("POST", "API", "/prod/post", "", "Content-Length: 5") + "abc", "client: the client sends its request too slowly", 408, "RequestTimeoutException", `{"message": "Request Timeout"}`, 408, `{"message":"Request Timeout"}`, false},
		{"backend closes", request("POST", "API", "/prod/post", "x"), "backend: the connection was closed before the response", 504, "InternalServerErrorException", network, 503, unavail, false},
	} {
		g := plain
		if tt.explaining {
			g = explaining
		}
		for _, api := range []string{"rest000001", "http000001"} {
			a := g.send(t, strings.Replace(tt.raw, "API", api, 1))
			status, body, kind, id := tt.rest, tt.restBody, tt.restType, a.header.Get("x-amzn-RequestId")
			if api == "http000001" {
				status, body, kind, id = tt.http, tt.httpBody, "", a.header.Get("Apigw-Requestid")
			}
			if a.status != status || a.body != body || a.header.Get("x-amzn-ErrorType") != kind {
				t.Errorf("%s, %s: %d %q %s", tt.name, api, a.status, a.header.Get("x-amzn-ErrorType"), a.body)
			}
			contentType := "application/json"
			if tt.rest == 413 && api == "rest000001" {
				contentType = "text/plain"
			}
			if got := a.header.Get("Content-Type"); got != contentType {
				t.Errorf("%s, %s: Content-Type %s", tt.name, api, got)
			}
			fields := g.log.find(t, id)
			cause, _ := fields["integrationError"].(string)
			if cause == "" {
				cause, _ = fields["error"].(string)
			}
			if !strings.HasPrefix(cause, tt.cause) {
				t.Errorf("%s, %s: logged cause %q, want %q", tt.name, api, cause, tt.cause)
			}
			if exposed := a.header.Get("x-isthmus-cause"); exposed != "" != tt.explaining || tt.explaining && exposed != cause {
				t.Errorf("%s, %s: exposed cause %q", tt.name, api, exposed)
			}
		}
	}

	for raw, want := range map[string]string{
		request("GET", "rest000002", "/prod/hang", ""): "403 " + forbid,
		request("GET", "http000002", "/prod/hang", ""): "404 " + notFound,
		request("GET", "rest000003", "/prod/hang", ""): "403 " + forbid,
		request("GET", "rest000004", "/prod/hang", ""): `403 {"Message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: ` +
			`arn:aws:execute-api:us-east-1:********0000:rest000004/prod/GET/hang"}`,
		request("GET", "rest999999", "/prod/hang", ""):                                            "403 " + forbid,
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n":                                               "403 " + forbid,
		"GET /restapis/rest000001/prod/_user_request_/none HTTP/1.1\r\nHost: evil.com\r\n\r\n":    "403 " + forbid,
		"GET /prod/none HTTP/1.1\r\nHost: rest000001.execute-api.eu-west-1.amazonaws.com\r\n\r\n": "403 " + forbid,
	} {
		if a := plain.send(t, raw); fmt.Sprint(a.status, " ", a.body) != want {
			t.Errorf("%.80q: %d %s, want %s", raw, a.status, a.body, want)
		}
	}
}

func TestInvokeForms(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	rest := restAPI(config.Route{Method: "GET", Path: "/x", Integration: proxyTo("http://b/r")})
	web := httpAPI("$default", config.Route{Method: "GET", Path: "/x", Integration: proxyTo("")})
	web.Stages = append(web.Stages, config.Stage{Name: "dev", Routes: web.Stages[0].Routes})
	g := start(t, Options{Hosts: []string{"gw.example.com"}}, server.Options{}, configured(upstreamTo(1, b.at), rest, web))
	for _, tt := range []struct{ host, target, want string }{
		{"rest000001.execute-api.localhost:8080", "/prod/x", "/r"},
		{"rest000001.execute-api.localhost", "/prod/x/", "/r"},
		{"REST000001.Execute-API.localhost.", "/prod/x", "/r"},
		{"rest000001.execute-api.us-east-1.amazonaws.com", "/prod/x", "/r"},
		{"rest000001.execute-api.us-east-1.amazonaws.com:443", "/prod/x", "/r"},
		{"localhost:8080", "/restapis/rest000001/prod/_user_request_/x", "/r"},
		{"127.0.0.1:8080", "/restapis/rest000001/prod/_user_request_/x", "/r"},
		{"[::1]:8080", "/restapis/rest000001/prod/_user_request_/x", "/r"},
		{"gw.example.com", "/restapis/rest000001/prod/_user_request_/x", "/r"},
		{"http000001.execute-api.localhost", "/x", "/x"},
		{"http000001.execute-api.localhost", "/dev/x", "/dev/x"},
		{"localhost", "/restapis/http000001/$default/_user_request_/x", "/x"},
		{"localhost", "/restapis/http000001/%24default/_user_request_/x", "/x"},
		{"localhost", "/restapis/http000001/dev/_user_request_/x", "/dev/x"},
	} {
		a := g.send(t, "GET "+tt.target+" HTTP/1.1\r\nHost: "+tt.host+"\r\n\r\n")
		if line, _, _ := b.last(t); a.status != 200 || line != "GET "+tt.want+" HTTP/1.1" {
			t.Errorf("%s %s: %d %s, backend got %s", tt.host, tt.target, a.status, a.body, line)
		}
	}
}

func TestMethodOverride(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(1, b.at),
		restAPI(config.Route{Method: "PATCH", Path: "/", Integration: proxyTo("http://b/")})))
	a := g.send(t, request("POST", "rest000001", "/prod", "x", "X-HTTP-Method-Override: PATCH"))
	if line, header, _ := b.last(t); a.status != 200 || line != "PATCH / HTTP/1.1" || strings.Contains(strings.Join(header, "\n"), "Override") {
		t.Errorf("%d, %s %q", a.status, line, header)
	}
}

// TestOtherMethods: ANY and $default stand for the seven methods that a route
// can have.
func TestOtherMethods(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(1, b.at),
		restAPI(config.Route{Method: config.AnyMethod, Path: "/x", Integration: proxyTo("http://b/x")}),
		httpAPI("$default", config.Route{Method: config.AnyMethod, Path: config.DefaultRoute, Integration: proxyTo("")})))
	for method, served := range map[string]bool{
		"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true,
		"CONNECT": false, "TRACE": false, "PRI": false, "get": false,
	} {
		for host, refusal := range map[string]int{"rest000001": 403, "http000001": 404} {
			want := refusal
			if served {
				want = 200
			}
			if a := g.send(t, request(method, host, "/prod/x", "")); a.status != want {
				t.Errorf("%s of %s: %d, want %d", method, host, a.status, want)
			}
		}
	}
}

func TestMock(t *testing.T) {
	mock := func(change func(*config.Route)) config.Route {
		r := config.Route{
			Method: "GET", Path: "/m",
			MethodResponses: []config.MethodResponse{{StatusCode: 200}, {StatusCode: 404}},
			Integration: &config.Integration{
				Type: config.Mock, PassthroughBehavior: "WHEN_NO_MATCH",
				RequestTemplates: map[string]string{"application/json": `{"statusCode": 200}`},
				Responses: []config.IntegrationResponse{
					{StatusCode: 200, ResponseTemplates: map[string]string{"application/json": `{"mock":true}`, "text/xml": "<mock/>"},
						ResponseParameters: map[string]string{"method.response.header.X-Fixed": "'value'", "method.response.header.X-Id": "context.requestId"}},
					{StatusCode: 404, SelectionPattern: "4\\d\\d"},
				},
			},
		}
		change(&r)
		return r
	}
	template := func(text string) func(*config.Route) {
		return func(r *config.Route) { r.Integration.RequestTemplates["application/json"] = text }
	}
	for _, tt := range []struct {
		name   string
		change func(*config.Route)
		header string
		status int
		body   string
		cause  string
	}{
		{"plain", func(*config.Route) {}, "X: 1", 200, `{"mock":true}`, ""},
		{"accepts XML", func(*config.Route) {}, "Accept: text/xml;q=1, */*", 200, `<mock/>`, ""},
		{"by pattern", template(`{"statusCode": 404}`), "X: 1", 404, "", ""},
		{"pattern matches whole", template(`{"statusCode": 500}`), "X: 1", 200, `{"mock":true}`, ""},
		{"no status", template(`{}`), "X: 1", 500, `{"message": "Internal server error"}`, "configuration: read the request template"},
		{"VTL", template(`#set($x = 1){"statusCode": 200}`), "X: 1", 500, `{"message": "Internal server error"}`, "configuration: template for application/json: parse template: directives of the Velocity"},
		{"other type passes", func(*config.Route) {}, "Content-Type: text/csv", 500, `{"message": "Internal server error"}`, "configuration: read the request template"},
		{"other type refused", func(r *config.Route) { r.Integration.PassthroughBehavior = "WHEN_NO_TEMPLATES" }, "Content-Type: text/csv", 415, `{"message": "Unsupported Media Type"}`, "request: no template"},
		{"never", func(r *config.Route) {
			r.Integration.PassthroughBehavior = "NEVER"
			r.Integration.RequestTemplates = nil
		}, "X: 1", 415, `{"message": "Unsupported Media Type"}`, "request: no template"},
		{"undeclared", func(r *config.Route) { r.MethodResponses = nil }, "X: 1", 500, `{"message": "Internal server error"}`, "configuration: the method has no response with status 200"},
		{"no default", func(r *config.Route) { r.Integration.Responses = r.Integration.Responses[1:] }, "X: 1", 500, `{"message": "Internal server error"}`, "configuration: no integration response for status 200"},
		{"bad pattern", func(r *config.Route) { r.Integration.Responses[1].SelectionPattern = "(" }, "X: 1", 500, `{"message": "Internal server error"}`, "configuration: compile selection pattern"},
		{"bad mapping", func(r *config.Route) {
			r.Integration.Responses[0].ResponseParameters["method.response.header.X"] = "nonsense"
		}, "X: 1", 500, `{"message": "Internal server error"}`, "configuration: parse mapping"},
	} {
		g := start(t, Options{}, server.Options{}, configured(upstreamTo(1), restAPI(mock(tt.change))))
		a := g.get(t, "rest000001", "/prod/m", tt.header)
		if a.status != tt.status || a.body != tt.body {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
		if tt.status == 200 && (a.header.Get("X-Fixed") != "value" || a.header.Get("X-Id") != a.header.Get("x-amzn-RequestId") || a.header.Get("X-Amzn-Trace-Id") != "") {
			t.Errorf("%s: %v", tt.name, a.header)
		}
		if tt.name == "accepts XML" && a.header.Get("Content-Type") != "text/xml" {
			t.Errorf("%s: %v", tt.name, a.header)
		}
		if tt.cause != "" {
			if got, _ := g.log.find(t, a.header.Get("x-amzn-RequestId"))["error"].(string); !strings.HasPrefix(got, tt.cause) {
				t.Errorf("%s: cause %q", tt.name, got)
			}
		}
	}
}

func TestRESTPlain(t *testing.T) {
	b := newBackend(t, func(r *http.Request, body []byte) string {
		status := r.URL.Query().Get("status")
		if status == "" {
			status = "200"
		}
		return fmt.Sprintf("HTTP/1.1 %s X\r\nContent-Length: %d\r\nX-Backend: b\r\nX-Hidden: h\r\n\r\n%s", status, len(body)+1, string(body)+"!")
	})
	in := proxyTo("http://b/{id}/{fixed}")
	in.Type, in.Method = config.HTTPPlain, "POST"
	in.RequestTemplates = map[string]string{"application/xml": "<fixed/>"}
	in.PassthroughBehavior = "WHEN_NO_MATCH"
	in.RequestParameters = map[string]string{
		"integration.request.path.id": "method.request.querystring.id", "integration.request.path.fixed": "'a/b'",
		"integration.request.header.X-Q": "method.request.header.x-q", "integration.request.querystring.status": "method.request.querystring.status",
	}
	in.Responses = []config.IntegrationResponse{
		{StatusCode: 201, ResponseParameters: map[string]string{"method.response.header.Y": "integration.response.header.x-backend"}},
		{StatusCode: 502, SelectionPattern: "5\\d{2}", ResponseTemplates: map[string]string{"application/json": `{"failed":true}`}},
	}
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(1, b.at), restAPI(config.Route{
		Method: "PUT", Path: "/p", Integration: in, MethodResponses: []config.MethodResponse{{StatusCode: 201}, {StatusCode: 502}},
	})))
	a := g.send(t, request("PUT", "rest000001", "/prod/p?id=x%2Fy%20z&other=1", `{"a":1}`, "X-Q: q", "X-Other: o", "User-Agent: me"))
	line, header, body := b.last(t)
	if line != "POST /x%2Fy%20z/a/b HTTP/1.1" || body != `{"a":1}` {
		t.Errorf("%s, body %q", line, body)
	}
	_, port, _ := strings.Cut(g.at, ":")
	golden(t, header, []string{
		"Host: b", "User-Agent: AmazonAPIGateway_rest000001", "Accept: application/json", "Content-Type: application/json",
		"Content-Length: 7", "X-Q: q", "X-Amzn-Apigateway-Api-Id: rest000001", "X-Amzn-Trace-Id: ~",
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Port: " + port,
	})
	if a.status != 201 || a.body != `{"a":1}!` || a.header.Get("Y") != "b" || a.header.Get("X-Hidden") != "" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	a = g.send(t, request("PUT", "rest000001", "/prod/p?id=1&status=503", "<x/>", "Content-Type: application/xml; charset=utf-8"))
	if line, _, body = b.last(t); body != "<fixed/>" || line != "POST /1/a/b?status=503 HTTP/1.1" {
		t.Errorf("%s, body %q", line, body)
	}
	if a.status != 502 || a.body != `{"failed":true}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, id := range []string{"..", "%2e%2e%2fx", "."} {
		if a := g.send(t, request("PUT", "rest000001", "/prod/p?id="+id, "{}")); a.status != 400 {
			t.Errorf("id %s: %d %s", id, a.status, a.body)
		}
	}
}

func TestCORS(t *testing.T) {
	b := newBackend(t, fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: backend\r\nAccess-Control-Max-Age: 1\r\n\r\n"))
	age := 300
	api := httpAPI("$default", config.Route{Method: "GET", Path: "/x", Integration: proxyTo("")})
	api.Stages[0].CORS = &config.CORS{
		AllowOrigins: []string{"https://www.example.com", "http://*"}, AllowMethods: []string{"GET", "POST"},
		AllowHeaders: []string{"authorization", "x-a"}, ExposeHeaders: []string{"date"}, MaxAgeSeconds: &age, AllowCredentials: true,
	}
	open := api
	open.ID = "http000002"
	open.Stages = slices.Clone(api.Stages)
	open.Stages[0].CORS = &config.CORS{AllowOrigins: []string{"*"}}
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(2, b.at), api, open))
	for _, tt := range []struct {
		api, method, origin string
		preflight           bool
		status              int
		want                string // allow-origin|credentials|methods|headers|age|expose
	}{
		{"http000001", "OPTIONS", "https://www.example.com", true, 204, "https://www.example.com|true|GET,POST|authorization,x-a|300|"},
		{"http000001", "OPTIONS", "http://any.test", true, 204, "http://any.test|true|GET,POST|authorization,x-a|300|"},
		{"http000001", "OPTIONS", "https://evil.test", true, 204, "|||||"},
		{"http000001", "OPTIONS", "https://www.example.com", false, 404, "https://www.example.com|true||||date"},
		{"http000001", "GET", "https://www.example.com", false, 200, "https://www.example.com|true||||date"},
		{"http000001", "GET", "https://evil.test", false, 200, "|||||"},
		{"http000001", "GET", "", false, 200, "|||||"},
		{"http000002", "GET", "https://any.test", false, 200, "*|||||"},
		{"http000002", "OPTIONS", "https://any.test", true, 204, "*|||||"},
	} {
		var header []string
		if tt.origin != "" {
			header = append(header, "Origin: "+tt.origin)
		}
		if tt.preflight {
			header = append(header, "Access-Control-Request-Method: GET")
		}
		a := g.send(t, request(tt.method, tt.api, "/x", "", header...))
		var got []string
		for _, name := range []string{"Allow-Origin", "Allow-Credentials", "Allow-Methods", "Allow-Headers", "Max-Age", "Expose-Headers"} {
			got = append(got, strings.Join(a.header.Values("Access-Control-"+name), "+"))
		}
		if a.status != tt.status || strings.Join(got, "|") != tt.want {
			t.Errorf("%+v: %d %q", tt, a.status, got)
		}
	}
}

func TestAccessLog(t *testing.T) {
	b := newBackend(t, fixed(plainOK))
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(2, b.at),
		httpAPI("dev", config.Route{Method: "GET", Path: "/x/{id}", Integration: proxyTo("")})))
	a := g.get(t, "http000001", "/dev/x/1?q=1", `User-Agent: odd"agent`)
	fields := g.log.find(t, a.header.Get("Apigw-Requestid"))
	for name, want := range map[string]any{
		"msg": "request", "sourceIp": "127.0.0.1", "host": "http000001.execute-api.localhost:8080", "httpMethod": "GET",
		"path": "/dev/x/1", "protocol": "HTTP/1.1", "userAgent": `odd"agent`, "status": 200.0, "responseLength": 2.0,
		"accountId": "000000000000", "apiId": "http000001", "stage": "dev", "routeKey": "GET /x/{id}", "resourcePath": "/x/{id}",
		"integrationStatus": 200.0, "level": "INFO", "requestId": a.header.Get("Apigw-Requestid"),
	} {
		if fields[name] != want {
			t.Errorf("%s: %v, want %v", name, fields[name], want)
		}
	}
	for _, name := range []string{"responseLatency", "integrationLatency"} {
		if fields[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if fields["integrationError"] != nil {
		t.Errorf("error %v", fields["integrationError"])
	}
}

// contextExchange is an exchange of which everything is known.
func contextExchange(s *snapshot) *exchange {
	x := &exchange{progress: progress{
		gateway: New(Options{}), snapshot: s, requestID: "r", extendedID: "e", method: "GET", start: time.Now(), path: "/x",
		request: &message.Request{Method: "GET", Proto: "HTTP/1.1", Host: "a.b:1", Client: netip.MustParseAddrPort("127.0.0.1:1"), Header: message.Header{{Name: "User-Agent", Value: "u"}}},
		api:     s.apis["rest000001"], stage: s.apis["rest000001"].stages["prod"],
		response: &message.Response{Header: message.Header{{Name: "x-amzn-RequestId", Value: "b"}}},
		endpoint: &endpoint{Endpoint: config.Endpoint{ID: "vpce-1", VPC: "vpc-1"}},
	}}
	x.route = x.stage.routes[0]
	return x
}

// Every context variable that mappings accept has a value.
func TestContextVariables(t *testing.T) {
	s, _ := compile(configured(upstreamTo(1), restAPI(config.Route{Method: "GET", Path: "/x"})))
	x := contextExchange(s)
	for _, name := range mapping.ContextNames() {
		if value, ok := x.Context(name); !ok || value == "" {
			t.Errorf("%s has no value", name)
		}
	}
	if value, ok := x.Context("nothing"); ok {
		t.Errorf("an unknown variable is %q", value)
	}
}

// A response that was cut short by the backend is cut short for the client.
func TestBrokenResponseIsNotWhole(t *testing.T) {
	at := loopback.Serve(t, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
	})
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(1, at),
		restAPI(config.Route{Method: "GET", Path: "/", Integration: proxyTo("http://b/")})))
	response, err := http.Get("http://" + g.at + "/restapis/rest000001/prod/_user_request_/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("the broken response was whole: %q", body)
	}
	fields := g.log.find(t, response.Header.Get("x-amzn-RequestId"))
	if cause, _ := fields["integrationError"].(string); !strings.Contains(cause, "the response broke off") {
		t.Errorf("logged %v", fields)
	}
}
