package health

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// TestProbeHTTP2: checks over HTTP/2 are not those over HTTP/1.1.
func TestProbeHTTP2(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 || r.RequestURI != "/ok?deep=1" || r.Host != "10.0.1.5:80" || r.UserAgent() != "ELB-HealthChecker/2.0" {
				w.WriteHeader(500)
			}
		}))
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		protocol := "HTTP"
		if secure {
			protocol, s.EnableHTTP2 = "HTTPS", true
			s.StartTLS()
		} else {
			s.Start()
		}
		defer s.Close()
		c := probeOf(netip.MustParseAddrPort(s.Listener.Addr().String()), protocol)
		c.Version = "HTTP2"
		if o := Probe(t.Context(), c); !o.passed() {
			t.Errorf("%s: %+v", protocol, o)
		}
		c.Matcher = "201"
		if o := Probe(t.Context(), c); o.Reason != ReasonCodeMismatch || o.Description != "Health checks failed with these codes: [200]" {
			t.Errorf("%s: %+v", protocol, o)
		}
	}
	one := httptest.NewServer(http.NotFoundHandler())
	defer one.Close()
	c := probeOf(netip.MustParseAddrPort(one.Listener.Addr().String()), "HTTP")
	c.Version = "HTTP2"
	if o := Probe(t.Context(), c); o.Reason != ReasonFailed || o.Description != "Health checks failed: malformed HTTP/2 response" {
		t.Errorf("%+v", o)
	}
}

func TestProbeGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, service := grpc.NewServer(), grpchealth.NewServer()
	grpc_health_v1.RegisterHealthServer(s, service)
	go s.Serve(l)
	defer s.Stop()
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Start()
	defer web.Close()
	for _, c := range []struct {
		at                  net.Addr
		path, matcher, want string
	}{
		{l.Addr(), "/AWS.ALB/healthcheck", "12", ""},
		{l.Addr(), "/AWS.ALB/healthcheck", "0", "Health checks failed with these codes: [12]"},
		{l.Addr(), "/grpc.health.v1.Health/Check", "0", ""},
		{l.Addr(), "/grpc.health.v1.Health/Check", "1-99", "Health checks failed with these codes: [0]"},
		{web.Listener.Addr(), "/AWS.ALB/healthcheck", "0-99", "Health checks failed with these codes: [404]"},
	} {
		k := probeOf(netip.MustParseAddrPort(c.at.String()), "HTTP")
		k.Version, k.Path, k.Matcher = "GRPC", c.path, c.matcher
		if o := Probe(t.Context(), k); o.Description != c.want {
			t.Errorf("%s %s: %+v", c.path, c.matcher, o)
		}
	}
}
