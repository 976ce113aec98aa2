package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// However a path is written, what a backend makes of it stays inside the
// stage, and inside the place that the route gives.
func FuzzPathsStayInside(f *testing.F) {
	for _, p := range []string{
		"/test/files/a/../../x", "/test/files/%2e%2e/x", "/test/files/a%2f..%2f..%2fx", "/test//x", "//test/x", "/test/../dev/x",
		"/test/pets/..%2f..", "/test/pets/a%5c..%5c..%5cx", "/te%73t/../x", "/test/x/..;/..;/..", "/test/%252e%252e/x", "/test/./..", "/%2e%2e/test/x",
		"/test/files//../..", "/test/cut/%2e%2e", "/test/pets/.", "/test/files/.", "/test", "/test/", "/",
	} {
		f.Add(p)
	}
	got := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r.RequestURI }))
	f.Cleanup(s.Close)
	routes := []config.Route{
		{Method: "ANY", Path: "/files/{proxy+}", Integration: proxyTo("http://b/base/{proxy}")},
		{Method: "ANY", Path: "/pets/{id}", Integration: proxyTo("http://b/pets/{id}/x")},
		{Method: "ANY", Path: "$default", Integration: proxyTo("")},
	}
	g := New(Options{})
	g.Apply(configured(upstreamTo(2, netip.MustParseAddrPort(s.Listener.Addr().String())), httpAPI("test", routes...)))
	f.Fuzz(func(t *testing.T, target string) {
		if _, err := url.ParseRequestURI(target); err != nil || strings.ContainsAny(target, "?# ") || !strings.HasPrefix(target, "/") || len(target) > 1000 {
			return // the server refuses it, or it is not only a path
		}
		for i := range len(target) {
			if target[i] <= ' ' || target[i] == 0x7f {
				return
			}
		}
		response := g.Handle(t.Context(), &message.Request{
			Method: "GET", Path: target, Proto: "HTTP/1.1", Host: "http000001.execute-api.localhost",
			Client: netip.MustParseAddrPort("127.0.0.1:1"), Server: netip.MustParseAddrPort("127.0.0.1:2"),
		})
		if response.Body != nil {
			response.Body.Close()
		}
		if response.Status != 200 {
			return // it did not reach the backend
		}
		sent := <-got
		decoded, err := url.PathUnescape(sent)
		if err != nil {
			t.Fatalf("%q was sent as %q: %v", target, sent, err)
		}
		resolved := path.Clean(strings.ReplaceAll(decoded, `\`, "/"))
		for _, inside := range []string{"/test", "/base", "/pets"} {
			if resolved == inside || strings.HasPrefix(resolved, inside+"/") {
				return
			}
		}
		t.Fatalf("%q was sent as %q, which is %q", target, sent, resolved)
	})
}
