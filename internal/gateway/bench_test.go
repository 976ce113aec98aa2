package gateway

import (
	"bufio"
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
		buf := make([]byte, 8<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			io.WriteString(c, plainOK)
		}
	})
}

func BenchmarkGateway(b *testing.B) {
	at := canned(b)
	rest, http := restAPI(
		config.Route{Method: "GET", Path: "/pets/{id}", Integration: proxyTo("http://backend.test/pets/{id}")},
	), httpAPI(defaultStage, config.Route{Method: "GET", Path: "/pets/{id}", Integration: proxyTo("")})
	rest.Stages[0].Routes[0].Integration.RequestParameters = map[string]string{"integration.request.path.id": "method.request.path.id"}
	g := New(Options{Access: linelog.NewLog(io.Discard, false, slog.LevelInfo, "gateway")})
	g.Apply(configured(upstreamTo(1, at), rest, http))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := server.New(g.Handle, server.Options{})
	go s.Serve(l)
	b.Cleanup(func() { s.Shutdown(b.Context()) })
	for name, target := range map[string][2]string{"rest": {"rest000001", "/prod/pets/7?a=b"}, "http": {"http000001", "/pets/7?a=b"}} {
		b.Run(name, func(b *testing.B) {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			text := []byte(request("GET", target[0], target[1], "", "Accept: */*", "User-Agent: bench/1.0"))
			r := bufio.NewReader(c)
			buf := make([]byte, 8<<10)
			b.ReportAllocs()
			for b.Loop() {
				c.Write(text)
				if n, err := r.Read(buf); err != nil || string(buf[:12]) != "HTTP/1.1 200" {
					b.Fatalf("%q, %v", buf[:n], err)
				}
			}
		})
	}
}
