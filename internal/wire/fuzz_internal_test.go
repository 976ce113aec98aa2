package wire

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func FuzzParseScope(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0", "")
	f.Add("", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=k/d/r/s/aws4_request&X-Amz-SignedHeaders=h&X-Amz-Signature=0")
	f.Add("AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/e/aws4_request,SignedHeaders=,Signature=", "")
	f.Fuzz(func(t *testing.T, header, rawQuery string) {
		query, err := url.ParseQuery(rawQuery)
		if err != nil {
			return
		}
		s, refused := parseScope(header, query)
		if (refused == nil) == (s == scope{}) {
			t.Errorf("scope %+v with error %v", s, refused)
		}
		if refused == nil && (s.accessKey == "" || !plainName(s.service) || s.region != "" && !plainName(s.region)) {
			t.Errorf("accepted %+v", s)
		}
		if a := account(s.accessKey, "x"); a != "x" && (len(a) != 12 || a != s.accessKey) {
			t.Errorf("key %q became account %q", s.accessKey, a)
		}
	})
}

func FuzzAWSJSON(f *testing.F) {
	f.Add(`{"Name":"abc","Ports":[1,2],"Tags":[{"Key":"a"}],"Map":{"a":"b"},"Count":6}`)
	f.Add(`{"Name":[],"Ports":{}}`)
	f.Add(`{"Count":9223372036854775808}`)
	f.Add(`null`)
	a, err := compile(API{Name: "test", Model: []byte(strings.Replace(validateModel, "PROTOCOL", "json", 1)),
		Methods: map[string]Method{"DoIt": {in: reflect.TypeFor[validateIn](), out: reflect.TypeFor[none]()}}})
	if err != nil {
		f.Fatal(err)
	}
	op := a.operations["DoIt"]
	p := awsJSON{version: "1.1"}
	f.Fuzz(func(t *testing.T, body string) {
		in := reflect.New(op.in.typ).Elem()
		if p.decode(op, &request{body: []byte(body)}, in) != nil {
			return
		}
		validate(op, in)
		written, err := op.in.appendJSONFields(nil, in, "")
		if err != nil {
			t.Fatal(err)
		}
		again := reflect.New(op.in.typ).Elem()
		if err := p.decode(op, &request{body: written}, again); err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if !reflect.DeepEqual(in.Interface(), again.Interface()) {
			t.Errorf("%s became %s", body, written)
		}
	})
}

// FuzzRouter checks that a found operation's path, written anew from its
// labels, finds the same.
func FuzzRouter(f *testing.F) {
	f.Add("/things/a%2Fb/sub/%20", "")
	f.Add("/files/a/b%2Fc/meta", "mode=import")
	f.Add("//things//%zz", "mode=import")
	r := testRouter()
	f.Fuzz(func(t *testing.T, path, rawQuery string) {
		query, err := url.ParseQuery(rawQuery)
		if err != nil {
			return
		}
		op, labels := r.find("GET", path, query)
		if op == nil {
			return
		}
		again, _, _ := strings.Cut(op.http.RequestURI, "?")
		for name, value := range labels {
			if value == "" {
				t.Errorf("%s: label %s is empty", path, name)
			}
			again = strings.ReplaceAll(again, "{"+name+"}", url.PathEscape(value))
			again = strings.ReplaceAll(again, "{"+name+"+}", url.PathEscape(value))
		}
		op2, labels2 := r.find("GET", again, query)
		if op2 != op && labels["id"] != "special" || op2 == op && !reflect.DeepEqual(labels, labels2) {
			t.Errorf("%s found %s %v, %s found %v %v", path, op.name, labels, again, op2, labels2)
		}
	})
}
