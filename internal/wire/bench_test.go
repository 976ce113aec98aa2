package wire_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
)

func BenchmarkCall(b *testing.B) {
	for _, x := range []exchange{
		{name: "ec2", service: "ec2", headers: map[string]string{"Content-Type": form},
			body: "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.0.0.0%2F16&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b"},
		{name: "rest", service: "apigateway", url: "/restapis", headers: map[string]string{"Content-Type": "application/json"},
			body: `{"name":"a","endpointConfiguration":{"types":["REGIONAL"]},"tags":{"a":"b"}}`},
	} {
		b.Run(x.name, func(b *testing.B) {
			var f fakes
			h := wire.NewHandler(wire.Options{Log: discard}, f.services()...)
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("POST", "http://localhost"+x.url, strings.NewReader(x.body))
				r.Header.Set("Content-Type", x.headers["Content-Type"])
				r.Header.Set("Authorization", sign("123456789012", "eu-west-1", x.service))
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code >= 300 {
					b.Fatal(w.Body)
				}
			}
		})
	}
}

func BenchmarkNewHandler(b *testing.B) {
	var f fakes
	for b.Loop() {
		wire.NewHandler(wire.Options{Log: discard}, f.services()...)
	}
}
