package gateway

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/loopback"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// canned answers whatever comes with a small response, with few instructions.
func canned(t testing.TB) netip.AddrPort {
	return loopback.Serve(t, func(c net.Conn) {
		buf, ok := make([]byte, 8<<10), []byte(plainOK)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			c.Write(ok)
		}
	})
}

// passedOn are functions that send a request of each kind of API through a
// gateway and read the response.
func passedOn(t testing.TB) map[string]func() {
	rest, http := restAPI(
		config.Route{Method: "GET", Path: "/pets/{id}", Integration: proxyTo("http://backend.test/pets/{id}")},
	), httpAPI(defaultStage, config.Route{Method: "GET", Path: "/pets/{id}", Integration: proxyTo("")})
	rest.Stages[0].Routes[0].Integration.RequestParameters = map[string]string{"integration.request.path.id": "method.request.path.id"}
	g := New(Options{Access: linelog.NewLog(io.Discard, false, slog.LevelInfo, "gateway")})
	g.Apply(configured(upstreamTo(1, canned(t)), rest, http))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(g.Handle, server.Options{})
	go s.Serve(l)
	t.Cleanup(func() { s.Shutdown(t.Context()) })
	exchanges := map[string]func(){}
	for name, target := range map[string][2]string{"rest": {"rest000001", "/prod/pets/7?a=b"}, "http": {"http000001", "/pets/7?a=b"}} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		text := []byte(request("GET", target[0], target[1], "", "Accept: */*", "User-Agent: bench/1.0"))
		buf := make([]byte, 8<<10)
		exchanges[name] = func() {
			c.Write(text)
			if n, err := c.Read(buf); err != nil || string(buf[:12]) != "HTTP/1.1 200" {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
	}
	return exchanges
}

func BenchmarkGateway(b *testing.B) {
	for name, exchange := range passedOn(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				exchange()
			}
		})
	}
}
