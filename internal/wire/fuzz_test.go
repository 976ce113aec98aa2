package wire_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/apigateway"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
	"github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// serve sends a request with a signature for a service and checks what holds
// for any answer: a request id, a body in the protocol's format, and never an
// internal failure, since no server of the fuzz tests fails.
func serve(t *testing.T, h http.Handler, service string, r *http.Request) *httptest.ResponseRecorder {
	r.Header.Set("Authorization", sign("123456789012", "us-east-1", service))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code >= 500 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if w.Header().Get("X-Amzn-Requestid") == "" {
		t.Fatal("no request id")
	}
	switch ct := w.Header().Get("Content-Type"); {
	case w.Body.Len() == 0:
	case strings.HasPrefix(ct, "application/json"):
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("not JSON: %s", w.Body)
		}
	case strings.HasPrefix(ct, "text/xml"):
		dec := xml.NewDecoder(w.Body)
		for {
			if _, err := dec.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("not XML: %v", err)
			}
		}
	default:
		t.Fatalf("content type %q", ct)
	}
	return w
}

type echoEC2 struct {
	ec2.Server
	got *ec2.AuthorizeSecurityGroupIngressInput
}

func (e *echoEC2) AuthorizeSecurityGroupIngress(_ context.Context, in *ec2.AuthorizeSecurityGroupIngressInput) (*ec2.AuthorizeSecurityGroupIngressOutput, error) {
	e.got = in
	return nil, nil
}

func FuzzEC2Query(f *testing.F) {
	f.Add("GroupId=sg-1&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0%2F8")
	f.Add("IpPermissions=&IpPermissions.x=1&IpPermissions.18446744073709551616.FromPort=-")
	f.Add("DryRun=TRUE&TagSpecification.1.Tag.1.Key=%00%ff")
	f.Add("....=1&GroupId.1=2")
	var s echoEC2
	h := wire.NewHandler(wire.Options{Log: discard}, wire.Service{API: ec2.API, Server: &s})
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "http://localhost/", strings.NewReader("Action=AuthorizeSecurityGroupIngress&"+body))
		r.Header.Set("Content-Type", form)
		s.got = nil
		w := serve(t, h, "ec2", r)
		values, err := url.ParseQuery(body)
		if w.Code != 200 || err != nil || s.got == nil {
			return
		}
		if v := values.Get("GroupId"); v != wire.Val(s.got.GroupId) {
			t.Errorf("GroupId %q was read as %q", v, wire.Val(s.got.GroupId))
		}
	})
}

type echoELB struct{ elbv2.Server }

func (echoELB) CreateTargetGroup(_ context.Context, in *elbv2.CreateTargetGroupInput) (*elbv2.CreateTargetGroupOutput, error) {
	return &elbv2.CreateTargetGroupOutput{TargetGroups: []*elbv2.TargetGroup{{TargetGroupName: in.Name, Matcher: in.Matcher}}}, nil
}

func FuzzQuery(f *testing.F) {
	f.Add("Name=a&Tags.member.1.Key=k&Tags.member.1.Value=v&Matcher.HttpCode=200")
	f.Add("Name=a&Tags.member.1=k&Tags.1.Key=v&Tags.member.x.Key=")
	f.Add("Name=a%01&Port=99999&HealthCheckEnabled=maybe")
	h := wire.NewHandler(wire.Options{Log: discard}, wire.Service{API: elbv2.API, Server: echoELB{}})
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "http://localhost/", strings.NewReader("Action=CreateTargetGroup&"+body))
		r.Header.Set("Content-Type", form)
		serve(t, h, "elasticloadbalancing", r)
	})
}

type echoREST struct{ apigateway.Server }

// CreateRestApi answers with what it can of its input, so that a body makes
// the way in and out.
func (echoREST) CreateRestApi(_ context.Context, in *apigateway.CreateRestApiInput) (*apigateway.RestApi, error) {
	return &apigateway.RestApi{
		Name: in.Name, Description: in.Description, Version: in.Version, BinaryMediaTypes: in.BinaryMediaTypes,
		MinimumCompressionSize: in.MinimumCompressionSize, Tags: in.Tags, EndpointConfiguration: in.EndpointConfiguration,
		DisableExecuteApiEndpoint: in.DisableExecuteApiEndpoint,
	}, nil
}

func FuzzRESTJSON(f *testing.F) {
	f.Add(`{"name":"a","tags":{"k":"v"},"endpointConfiguration":{"types":["REGIONAL"]},"minimumCompressionSize":5}`)
	f.Add(`{"name":"\u0000\ud800","binaryMediaTypes":[null,"x"]}`)
	f.Add(`{"name":null,"tags":[[[[]]]]}`)
	f.Add(`{"name":"a","minimumCompressionSize":1e400}`)
	h := wire.NewHandler(wire.Options{Log: discard}, wire.Service{API: apigateway.API, Server: echoREST{}})
	f.Fuzz(func(t *testing.T, body string) {
		post := func(body string) *httptest.ResponseRecorder {
			return serve(t, h, "apigateway", httptest.NewRequest("POST", "http://localhost/restapis", strings.NewReader(body)))
		}
		w := post(body)
		if w.Code != 201 {
			return
		}
		// What was written reads as what was read.
		again := post(w.Body.String())
		var x, y any
		if json.Unmarshal(w.Body.Bytes(), &x) != nil || json.Unmarshal(again.Body.Bytes(), &y) != nil || !reflect.DeepEqual(x, y) {
			t.Errorf("%s became %s", w.Body, again.Body)
		}
	})
}
