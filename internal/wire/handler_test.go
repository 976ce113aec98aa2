package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/apigateway"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

const form = "application/x-www-form-urlencoded"

// sign returns an Authorization header with a made-up signature.
func sign(key, region, service string) string {
	return "AWS4-HMAC-SHA256 Credential=" + key + "/20260101/" + region + "/" + service +
		"/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
}

// An exchange is a request to the fakes' handler and the answer expected.
type exchange struct {
	name    string
	method  string // POST if empty
	url     string // below http://localhost:4566
	headers map[string]string
	service string // signed for it, unless empty
	body    string
	status  int
	header  map[string]string // of the answer
	want    string            // the body, with ID for the request's id
}

func TestHandler(t *testing.T) {
	json11 := map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "DynamoDB_20120810.ListTables"}
	tests := []exchange{
		{
			name: "ec2 answer", service: "ec2", headers: map[string]string{"Content-Type": form + "; charset=utf-8"},
			body: "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0%2F16", status: 200,
			header: map[string]string{"Content-Type": "text/xml;charset=UTF-8"},
			want: xmlHead + `<CreateVpcResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>ID</requestId>` +
				`<vpc><cidrBlock>10.0.0.0/16</cidrBlock><vpcId>vpc-1</vpcId><isDefault>false</isDefault>` +
				`<tagSet><item><key>Name</key><value>a&lt;b&gt;&amp;"c"</value></item></tagSet></vpc></CreateVpcResponse>`,
		},
		{
			name: "ec2 parameters in the query", method: "GET", service: "ec2",
			url: "/?Action=DescribeVpcs&Version=2016-11-15", status: 200,
			want: xmlHead + `<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>ID</requestId><vpcSet></vpcSet></DescribeVpcsResponse>`,
		},
		{
			name: "presigned", method: "GET", status: 200,
			url:  "/?Action=DescribeVpcs&Version=2016-11-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=k%2F20260101%2Fus-east-1%2Fec2%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0",
			want: xmlHead + `<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>ID</requestId><vpcSet></vpcSet></DescribeVpcsResponse>`,
		},
		{
			name: "ec2 error of the service", service: "ec2", body: "Action=DeleteVpc&VpcId=v", status: 400,
			want: ec2Error("InvalidVpcID.NotFound", "The vpc ID 'v' does not exist"),
		},
		{
			name: "ec2 missing parameter", service: "ec2", body: "Action=DeleteVpc", status: 400,
			want: ec2Error("MissingParameter", "The request must contain the parameter VpcId"),
		},
		{
			name: "ec2 unknown parameter", service: "ec2", body: "Action=DeleteVpc&VpcId=v&Foo.1.Bar=1", status: 400,
			want: ec2Error("UnknownParameter", "The parameter Foo.1.Bar is not recognized"),
		},
		{
			name: "ec2 not a number", service: "ec2", body: "Action=DescribeVpcs&MaxResults=x", status: 400,
			want: ec2Error("InvalidParameterValue", "Value (x) for parameter MaxResults is invalid: not an integer."),
		},
		{
			name: "ec2 unknown action", service: "ec2", body: "Action=Fly", status: 400,
			want: ec2Error("InvalidAction", "The action Fly is not valid for this web service."),
		},
		{
			name: "ec2 no action", service: "ec2", body: "", status: 400,
			want: ec2Error("MissingAction", "The request is missing an action or a required parameter."),
		},
		{
			name: "ec2 unsupported", service: "ec2", body: "Action=RunInstances", status: 400,
			want: ec2Error("UnsupportedOperation", "Isthmus does not support the operation RunInstances of ec2."),
		},
		{
			name: "ec2 malformed body", service: "ec2", body: "Action=%zz", status: 400,
			want: ec2Error("MalformedQueryString", "The query string contains a syntax error: invalid URL escape \"%zz\"."),
		},
		{
			name: "ec2 wrong content type", service: "ec2", headers: map[string]string{"Content-Type": "text/plain"}, body: "x", status: 415,
			want: ec2Error("UnsupportedMediaType", "The content type \"text/plain\" is not supported; send application/x-www-form-urlencoded."),
		},
		{
			name: "ec2 panic", service: "ec2", body: "Action=DescribeSubnets", status: 500,
			want: ec2Error("InternalError", "An internal failure occurred. The server's log has its cause under ID."),
		},
		{
			name: "too large", service: "ec2", body: strings.Repeat("x", 2000), status: 413,
			want: ec2Error("RequestEntityTooLarge", "The request body is larger than 1000 bytes."),
		},
		{
			name: "query error", service: "elasticloadbalancing", body: "Action=CreateTargetGroup&Version=2015-12-01&Name=x&Port=70000", status: 400,
			want: queryError("ValidationError", "1 validation error detected: Value '70000' at 'port' failed to satisfy constraint: Member must have value less than or equal to 65535"),
		},
		{
			name: "ec2 out of range", service: "ec2", body: "Action=DescribeVpcs&MaxResults=3", status: 400,
			want: ec2Error("InvalidParameterValue", "Value ( 3 ) for parameter maxResults is invalid. Expecting a value greater than 5."),
		},
		{
			name: "query other version", service: "elasticloadbalancing", body: "Action=DescribeLoadBalancers&Version=2012-06-01", status: 400,
			want: queryError("InvalidAction", "Could not find operation DescribeLoadBalancers for version 2012-06-01"),
		},
		{
			name: "rest answer", service: "apigateway", url: "/restapis", headers: map[string]string{"Content-Type": "application/json"},
			body: `{"name":"a<b","unknown":1,"version":null}`, status: 201,
			header: map[string]string{"Content-Type": "application/json"},
			want:   `{"id":"abc123","name":"a<b","createdDate":1700000000}`,
		},
		{
			name: "rest constraint", service: "apigateway", url: "/restapis",
			body: `{"name":"x","endpointConfiguration":{"ipAddressType":"wrong"}}`, status: 400,
			header: map[string]string{"X-Amzn-Errortype": "ValidationException"},
			want:   `{"message":"1 validation error detected: Value 'wrong' at 'createRestApiInput.endpointConfiguration.ipAddressType' failed to satisfy constraint: Member must satisfy enum value set: [ipv4, dualstack]"}`,
		},
		{
			name: "rest error of the service", method: "GET", service: "apigateway", url: "/vpclinks/x", status: 404,
			header: map[string]string{"X-Amzn-Errortype": "NotFoundException"},
			want:   `{"message":"Invalid Vpc Link identifier specified"}`,
		},
		{
			name: "rest empty answer", method: "PUT", service: "apigateway", url: "/tags/arn%3Aa%2Fb", body: `{"tags":{}}`, status: 204,
			header: map[string]string{"Content-Type": "", "Content-Length": ""},
		},
		{
			name: "rest no such path", method: "GET", service: "apigateway", url: "/nothing", status: 404,
			header: map[string]string{"X-Amzn-Errortype": "UnknownOperationException"},
			want:   `{"message":"The API has no operation GET /nothing."}`,
		},
		{
			name: "rest unsupported", method: "GET", service: "apigateway", url: "/sdktypes", status: 400,
			header: map[string]string{"X-Amzn-Errortype": "UnsupportedOperationException"},
			want:   `{"message":"Isthmus does not support the operation GetSdkTypes of apigateway."}`,
		},
		{
			name: "rest unsupported by its query", service: "apigateway", url: "/restapis?mode=import", body: "openapi: 3", status: 400,
			want: `{"message":"Isthmus does not support the operation ImportRestApi of apigateway."}`,
		},
		{
			name: "rest malformed body", service: "apigateway", url: "/restapis", body: `{"name":`, status: 400,
			header: map[string]string{"X-Amzn-Errortype": "SerializationException"},
			want:   `{"message":"the request body is not JSON: unexpected EOF"}`,
		},
		{
			name: "rest wrong type", service: "apigateway", url: "/restapis", body: `{"name":["x"]}`, status: 400,
			want: `{"message":"START_ARRAY can not be converted to a String"}`,
		},
		{
			name: "rest wrong content type", service: "apigateway", url: "/restapis", headers: map[string]string{"Content-Type": "text/xml"}, body: `<x/>`, status: 415,
			header: map[string]string{"X-Amzn-Errortype": "UnsupportedMediaTypeException"},
			want:   `{"message":"The content type \"text/xml\" is not supported; send application/json."}`,
		},
		{
			name: "v2 beside v1", method: "GET", service: "apigateway", url: "/v2/apis", status: 200, want: `{"items":[]}`,
		},
		{
			name: "service by host", method: "GET", service: "other", headers: map[string]string{"Host": "apigateway.us-east-1.amazonaws.com"},
			url: "/v2/apis", status: 200, want: `{"items":[]}`,
		},
		{
			name: "unknown json service", service: "dynamodb", headers: json11, body: "{}", status: 400,
			header: map[string]string{"Content-Type": "application/x-amz-json-1.1"},
			want:   `{"__type":"UnsupportedOperationException","message":"Isthmus does not serve the service dynamodb."}`,
		},
		{
			name: "no signature", method: "GET", url: "/restapis", status: 403,
			header: map[string]string{"X-Amzn-Errortype": "MissingAuthenticationTokenException"},
			want:   `{"message":"Request is missing Authentication Token"}`,
		},
		{
			name: "no signature, query", headers: map[string]string{"Content-Type": form}, body: "Action=DescribeVpcs", status: 403,
			want: xmlHead + `<ErrorResponse><Error><Type>Sender</Type><Code>MissingAuthenticationToken</Code><Message>Request is missing Authentication Token</Message></Error><RequestId>ID</RequestId></ErrorResponse>`,
		},
		{
			name: "other authorization", headers: map[string]string{"Authorization": "Basic eDp5"}, method: "GET", url: "/restapis", status: 400,
			header: map[string]string{"X-Amzn-Errortype": "IncompleteSignatureException"},
		},
		{
			name: "foreign host", method: "GET", service: "apigateway", url: "/restapis", headers: map[string]string{"Host": "evil.example:4566"}, status: 403,
			header: map[string]string{"X-Amzn-Errortype": "AccessDeniedException"},
		},
		{
			name: "foreign origin", method: "GET", service: "apigateway", url: "/restapis", headers: map[string]string{"Origin": "https://evil.example"}, status: 403,
			header: map[string]string{"X-Amzn-Errortype": "AccessDeniedException"},
		},
		{
			name: "own origin", method: "GET", service: "apigateway", url: "/restapis", headers: map[string]string{"Origin": "http://localhost:4566"}, status: 200,
			want: `{"item":[]}`,
		},
	}
	var f fakes
	h := wire.NewHandler(wire.Options{MaxBody: 1000, Log: discard}, f.services()...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, h) })
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func (x exchange) run(t *testing.T, h http.Handler) {
	method := x.method
	if method == "" {
		method = "POST"
	}
	r := httptest.NewRequest(method, "http://localhost:4566"+x.url, strings.NewReader(x.body))
	for k, v := range x.headers {
		r.Header.Set(k, v)
	}
	if host := x.headers["Host"]; host != "" {
		r.Host = host
	}
	if x.service != "" {
		r.Header.Set("Authorization", sign("123456789012", "eu-west-1", x.service))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != x.status {
		t.Errorf("status %d, want %d", w.Code, x.status)
	}
	for k, v := range x.header {
		if got := w.Header().Get(k); got != v {
			t.Errorf("header %s is %q, want %q", k, got, v)
		}
	}
	id := w.Header().Get("X-Amzn-Requestid")
	if !uuid.MatchString(id) {
		t.Errorf("request id %q is no UUID", id)
	}
	if got := strings.ReplaceAll(w.Body.String(), id, "ID"); x.want != "" && got != x.want {
		t.Errorf("body %s, want %s", w.Body, x.want)
	}
}

const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func ec2Error(code, message string) string {
	return xmlHead + "<Response><Errors><Error><Code>" + code + "</Code><Message>" + message +
		"</Message></Error></Errors><RequestID>ID</RequestID></Response>"
}

func queryError(code, message string) string {
	return xmlHead + `<ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>Sender</Type><Code>` +
		code + "</Code><Message>" + message + "</Message></Error><RequestId>ID</RequestId></ErrorResponse>"
}

type callerServer struct {
	ec2.Server
	caller wire.Caller
	err    error
}

func (s *callerServer) DescribeVpcs(ctx context.Context, _ *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
	s.caller = wire.CallerFrom(ctx)
	return nil, s.err
}

func TestCaller(t *testing.T) {
	var s callerServer
	h := wire.NewHandler(wire.Options{DefaultAccount: "999999999999", DefaultRegion: "eu-north-1", Log: discard},
		wire.Service{API: ec2.API, Server: &s})
	tests := []struct {
		authorization string
		want          wire.Caller
	}{
		{sign("111122223333", "us-west-2", "ec2"), wire.Caller{Account: "111122223333", Region: "us-west-2", AccessKey: "111122223333"}},
		{sign("AKIAIOSFODNN7EXAMPLE", "us-west-2", "ec2"), wire.Caller{Account: "999999999999", Region: "us-west-2", AccessKey: "AKIAIOSFODNN7EXAMPLE"}},
		{sign("11112222333x", "us-west-2", "ec2"), wire.Caller{Account: "999999999999", Region: "us-west-2", AccessKey: "11112222333x"}},
		{"AWS4-ECDSA-P256-SHA256 Credential=k/20260101/ec2/aws4_request,SignedHeaders=host,Signature=00",
			wire.Caller{Account: "999999999999", Region: "eu-north-1", AccessKey: "k"}},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "http://127.0.0.1/?Action=DescribeVpcs", nil)
		r.Header.Set("Authorization", tt.authorization)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%s: status %d: %s", tt.authorization, w.Code, w.Body)
		}
		tt.want.RequestID = w.Header().Get("X-Amzn-Requestid")
		if s.caller != tt.want {
			t.Errorf("%s: caller %+v, want %+v", tt.authorization, s.caller, tt.want)
		}
	}
}

// TestLog checks what is logged: one line a call, the cause of an internal
// failure, and nothing that is secret.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	s := callerServer{err: errors.New("disk on fire")}
	h := wire.NewHandler(wire.Options{Log: slog.New(slog.NewJSONHandler(&out, nil))}, wire.Service{API: ec2.API, Server: &s})
	r := httptest.NewRequest("GET", "http://127.0.0.1/?Action=DescribeVpcs&X-Amz-Security-Token=s3cret", nil)
	r.Header.Set("Authorization", sign("111122223333", "us-west-2", "ec2"))
	r.Header.Set("X-Amz-Security-Token", "s3cret")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 500 || strings.Contains(w.Body.String(), "fire") {
		t.Errorf("the client got %d: %s", w.Code, w.Body)
	}
	if strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), "Signature") {
		t.Errorf("the log holds a secret: %s", &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("logged %q", lines)
	}
	if !strings.Contains(lines[0], "disk on fire") {
		t.Errorf("the cause is not logged: %s", lines[0])
	}
	var call map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &call); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"operation": "ec2:DescribeVpcs", "account": "111122223333", "region": "us-west-2",
		"status": 500.0, "code": "InternalError", "request_id": w.Header().Get("X-Amzn-Requestid")} {
		if call[k] != want {
			t.Errorf("the call's %s is logged as %v, want %v", k, call[k], want)
		}
	}
}

type throttled struct{ apigateway.Server }

func (throttled) GetAccount(context.Context, *apigateway.GetAccountInput) (*apigateway.Account, error) {
	return nil, &wire.Error{Code: "TooManyRequestsException", Status: 429, Message: "slow",
		Fields: map[string]any{"retryAfterSeconds": 3, "extra": "x"}}
}

func TestErrorFields(t *testing.T) {
	h := wire.NewHandler(wire.Options{Log: discard}, wire.Service{API: apigateway.API, Server: throttled{}})
	exchange{method: "GET", url: "/account", service: "apigateway", status: 429,
		header: map[string]string{"Retry-After": "3"}, want: `{"extra":"x","message":"slow"}`}.run(t, h)
}

func TestWrongServer(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a server without the API's methods was accepted")
		}
	}()
	wire.NewHandler(wire.Options{}, wire.Service{API: ec2.API, Server: 1})
}

// TestOneRegion: what is asked of another region would be made where nothing
// serves it.
func TestOneRegion(t *testing.T) {
	h := wire.NewHandler(wire.Options{DefaultRegion: "eu-north-1", OneRegion: true, Log: discard},
		wire.Service{API: ec2.API, Server: &callerServer{}})
	for region, status := range map[string]int{"eu-north-1": 200, "us-east-1": 403} {
		r := httptest.NewRequest("GET", "http://127.0.0.1/?Action=DescribeVpcs", nil)
		r.Header.Set("Authorization", sign("111122223333", region, "ec2"))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != status || status == 403 && !strings.Contains(w.Body.String(), "Isthmus serves eu-north-1 here") {
			t.Errorf("%s: %d %s", region, w.Code, w.Body)
		}
	}
}
