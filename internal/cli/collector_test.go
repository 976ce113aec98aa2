package cli

import (
	"strings"
	"testing"
)

func TestCollectorOf(t *testing.T) {
	for _, c := range []struct{ endpoint, want, err string }{
		{"http://127.0.0.1:4318", "127.0.0.1:4318", ""},
		{"http://127.0.0.1/x", "127.0.0.1:80", ""},
		{"https://[::1]", "[::1]:443", ""},
		{"127.0.0.1:4318", "", "it is a URL such as http://127.0.0.1:4318"},
		{"grpc://127.0.0.1:4317", "", "no URL of http or https"},
		{"http://", "", "no URL of http or https"},
		{"http://127.0.0.1:0", "", "no port"},
		{"http://a:b@127.0.0.1:1", "", "credentials"},
	} {
		got, err := collectorOf(t.Context(), c.endpoint)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || err == nil && got.String() != c.want {
			t.Errorf("%s: %v, %v", c.endpoint, got, err)
		}
	}
}
