package wire

import (
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire/model"
)

func TestGuard(t *testing.T) {
	g := newGuard([]string{"isthmus.example", "*.lab.example"})
	g.prefixes = []string{"data-"}
	tests := []struct {
		host, origin string
		ok           bool
	}{
		{"localhost:4566", "", true},
		{"LOCALHOST.:4566", "", true},
		{"x.localhost", "", true},
		{"127.0.0.1:4566", "", true},
		{"127.9.9.9", "", true},
		{"[::1]:4566", "", true},
		{"[::1]", "", true},
		{"[::ffff:127.0.0.1]:4566", "", true},
		{"ec2.us-east-1.amazonaws.com", "", true},
		{"localhost.localstack.cloud:4566", "", true},
		{"s3.localhost.localstack.cloud", "", true},
		{"isthmus.example", "", true},
		{"a.lab.example:1", "", true},
		{"data-localhost:4566", "", true},
		{"Data-127.0.0.1:4566", "", true},
		{"data-isthmus.example", "", true},
		{"data-evil.example", "", false},
		{"data-", "", false},
		{"data-data-localhost", "", false},
		{"localhost:4566", "http://data-localhost:4566", false},
		{"", "", false},
		{"lab.example", "", false},
		{".localhost", "", false},
		{"evil.example", "", false},
		{"xlocalhost", "", false},
		{"localhost.evil.example", "", false},
		{"amazonaws.com", "", false},
		{"xamazonaws.com", "", false},
		{"10.0.0.1", "", false},
		{"0.0.0.0:4566", "", false},
		{"localhost:4566", "http://localhost:4566", true},
		{"localhost:4566", "https://127.0.0.1", true},
		{"localhost:4566", "http://isthmus.example", true},
		{"localhost:4566", "null", false},
		{"localhost:4566", "https://evil.example", false},
		{"localhost:4566", "https://x.s3.amazonaws.com", false}, // strangers' pages live there
		{"localhost:4566", "https://localhost@evil.example", false},
		{"localhost:4566", "http://localhost:4566.evil.example", false},
		{"localhost:4566", "://", false},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = tt.host
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if got := g.check(r) == nil; got != tt.ok {
			t.Errorf("Host %q, Origin %q: allowed %v, want %v", tt.host, tt.origin, got, tt.ok)
		}
	}
}

// TestGuardWithoutOrigin: browsers send no Origin for images, links and the
// like, which can carry a presigned query.
func TestGuardWithoutOrigin(t *testing.T) {
	g := newGuard([]string{"isthmus.example"})
	tests := []struct {
		origin, site, referer string
		ok                    bool
	}{
		{"", "", "", true},
		{"", "none", "", true},
		{"", "same-origin", "http://localhost:4566/", true},
		{"", "same-site", "", false},
		{"", "cross-site", "", false},
		{"", "", "http://localhost:4566/console", true},
		{"", "", "https://isthmus.example/", true},
		{"", "", "https://evil.example/", false},
		{"", "same-origin", "https://evil.example/", false},
		{"http://localhost:3000", "same-site", "http://localhost:3000/", true},
		{"https://isthmus.example", "cross-site", "", true},
		{"https://evil.example", "same-origin", "", false},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "http://localhost:4566/", nil)
		for name, value := range map[string]string{"Origin": tt.origin, "Sec-Fetch-Site": tt.site, "Referer": tt.referer} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if got := g.check(r) == nil; got != tt.ok {
			t.Errorf("%+v: allowed %v", tt, got)
		}
	}
}

func TestParseScope(t *testing.T) {
	const hmac = "AWS4-HMAC-SHA256 "
	presigned := url.Values{"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-SignedHeaders": {"host"}, "X-Amz-Signature": {"0"},
		"X-Amz-Credential": {"k/20260101/us-east-1/ec2/aws4_request"}}
	half := url.Values{"X-Amz-Credential": presigned["X-Amz-Credential"]}
	tests := []struct {
		header string
		query  url.Values
		want   scope
		err    *Error
	}{
		{header: hmac + "Credential=k/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0", want: scope{"k", "us-east-1", "ec2"}},
		{header: hmac + "Credential=k/20260101/us-east-1/ec2/aws4_request,SignedHeaders=host,Signature=0", want: scope{"k", "us-east-1", "ec2"}},
		{header: hmac + "Credential=a/b/20260101/us-east-1/ec2/aws4_request,SignedHeaders=host,Signature=0", want: scope{"a/b", "us-east-1", "ec2"}},
		{header: "AWS4-ECDSA-P256-SHA256 Credential=k/20260101/ec2/aws4_request,SignedHeaders=host,Signature=0", want: scope{"k", "", "ec2"}},
		{query: presigned, want: scope{"k", "us-east-1", "ec2"}},
		{err: errNoSignature},
		{query: half, err: errBadSignature},
		{header: "Bearer x", err: errBadSignature},
		{header: "AWS4-HMAC-SHA256", err: errBadSignature},
		{header: hmac + "Credential=k/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host", err: errBadSignature},
		{header: hmac + "Credential=k/20260101/us-east-1/ec2/aws4_request, Signature=0", err: errBadSignature},
		{header: hmac + "Credential=k/20260101/us-east-1/ec2/aws5, SignedHeaders=host, Signature=0", err: errBadSignature},
		{header: hmac + "Credential=20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0", err: errBadSignature},
		{header: hmac + "Credential=/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0", err: errBadSignature},
		{header: hmac + "Credential=k/20260101//ec2/aws4_request, SignedHeaders=host, Signature=0", err: errBadSignature},
		{header: hmac + "Credential=k/20260101/us:east/ec2/aws4_request, SignedHeaders=host, Signature=0", err: errBadSignature},
	}
	for _, tt := range tests {
		got, err := parseScope(tt.header, tt.query)
		if got != tt.want || err != tt.err {
			t.Errorf("%q %v: got %+v, %v", tt.header, tt.query, got, err)
		}
	}
}

func testRouter() *router {
	a := &api{operations: make(map[string]*operation)}
	for name, uri := range map[string]string{
		"List": "/things", "Import": "/things?mode=import", "Get": "/things/{id}", "Special": "/things/special",
		"Sub": "/things/{id}/sub/{sub}", "Root": "/", "File": "/files/{path+}", "FileMeta": "/files/{path+}/meta",
	} {
		a.operations[name] = &operation{name: name, api: a, http: model.HTTP{Method: "GET", RequestURI: uri}}
	}
	return newRouter([]*api{a})
}

func TestRouter(t *testing.T) {
	r := testRouter()
	tests := []struct {
		path, op string
		labels   map[string]string
	}{
		{"/", "Root", nil},
		{"/things", "List", nil},
		{"/things/", "List", nil},
		{"/things?mode=import&x=y", "Import", nil},
		{"/things?mode=other", "List", nil},
		{"/things/special", "Special", nil},
		{"/things/a%2Fb%20c", "Get", map[string]string{"id": "a/b c"}},
		{"/things/%2573", "Get", map[string]string{"id": "%73"}},
		{"/things/1/sub/2", "Sub", map[string]string{"id": "1", "sub": "2"}},
		{"/things//sub/2", "", nil},
		{"/things/1/sub", "", nil},
		{"/things/1/other/2", "", nil},
		{"/files/a", "File", map[string]string{"path": "a"}},
		{"/files/a/b%2Fc", "File", map[string]string{"path": "a/b/c"}},
		{"/files/a/b/meta", "FileMeta", map[string]string{"path": "a/b"}},
		{"/files", "", nil},
		{"/th%69ngs", "List", nil},
		{"/nothing", "", nil},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.path)
		if err != nil {
			t.Fatal(err)
		}
		op, labels := r.find("GET", u.EscapedPath(), u.Query())
		name := ""
		if op != nil {
			name = op.name
		}
		if name != tt.op {
			t.Errorf("%s: operation %q, want %q", tt.path, name, tt.op)
		}
		for k, v := range tt.labels {
			if labels[k] != v {
				t.Errorf("%s: label %s is %q, want %q", tt.path, k, labels[k], v)
			}
		}
	}
	if op, _ := r.find("POST", "/things", nil); op != nil {
		t.Errorf("POST found %s", op.name)
	}
}

func TestFormOrder(t *testing.T) {
	form, err := parseForm(url.Values{"L.10": {"c"}, "L.2": {"b"}, "L.1": {"a"}, "L.x": {"no"}, "L.-1": {"no"}})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, n := range form.kid("L").elements() {
		got += n.value
	}
	if got != "abc" {
		t.Errorf("elements in the order %q", got)
	}
}

func TestFormLimits(t *testing.T) {
	if _, err := parseForm(url.Values{strings.Repeat("a.", maxFormDepth-1) + "a": {""}}); err != nil {
		t.Errorf("a name of %d parts: %v", maxFormDepth, err)
	}
	if _, err := parseForm(url.Values{strings.Repeat("a.", maxFormDepth) + "a": {""}}); err == nil {
		t.Errorf("a name of %d parts was read", maxFormDepth+1)
	}
	many := make(url.Values)
	for i := range maxFormNodes + 1 {
		many[strconv.Itoa(i)] = []string{""}
	}
	if _, err := parseForm(many); err == nil {
		t.Errorf("%d parameters were read", len(many))
	}
}
