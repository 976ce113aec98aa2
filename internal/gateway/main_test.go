package gateway

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/loopback"
)

// The process: it serves what the feed brings, asks the control process for
// causes, outlives it, and ends with the requests under way.
func TestMainProcess(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "feed.sock")
	control := feed.NewServer(feed.Options{})
	asked := make(chan netip.AddrPort, 1)
	control.Handle("explain", func(_ context.Context, role feed.Role, raw json.RawMessage) (any, error) {
		var p struct {
			Source      netip.Addr
			Destination netip.AddrPort
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, err
		}
		if role == "gateway" && !p.Source.IsValid() {
			asked <- p.Destination
		}
		return map[string]any{"verdict": "sg-ingress", "cause": "sg-1 of eni-1 allows no tcp/80 from 10.0.0.7"}, nil
	})
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go control.Serve(unix)

	entered, release := make(chan struct{}), make(chan struct{})
	at := library(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/prod/slow" {
			close(entered)
			<-release
		}
		io.WriteString(w, "ok")
	})
	refused := loopback.Refusing(t)
	c := configured(upstreamTo(2, at), restAPI(
		config.Route{Method: "GET", Path: "/slow", Integration: proxyTo("http://b/slow")},
		config.Route{Method: "GET", Path: "/refused", Integration: proxyTo("http://b/")},
	))
	c.APIs[0].Stages[0].Routes[1].Integration.Upstream = "refused"
	c.Upstreams["refused"] = upstreamTo(1, refused)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Main(ctx, Process{
			Public: Doors{HTTP: l}, Feed: socket, AllowRoot: true, Drain: 20 * time.Second,
			Options: Options{Access: linelog.NewLog(log, true, slog.LevelInfo, "")},
		})
	}()
	// The first request comes before the first configuration, and waits.
	g := &gatewayUnderTest{at: l.Addr().String(), log: log}
	early := make(chan answered, 1)
	go func() { early <- g.get(t, "rest000001", "/prod/refused") }()
	control.Publish("gateway", 1, c)
	a := <-early
	if a.status != 500 || a.body != `{"message": "Internal server error"}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := log.find(t, a.header.Get("x-amzn-RequestId"))["integrationError"]; got != "sg-ingress: sg-1 of eni-1 allows no tcp/80 from 10.0.0.7" {
		t.Errorf("logged cause %v", got)
	}
	if got := <-asked; got != refused {
		t.Errorf("asked for %v, want %v", got, refused)
	}

	control.Close()
	slow := make(chan answered, 1)
	go func() { slow <- g.get(t, "rest000001", "/prod/slow") }()
	<-entered
	stop()
	select {
	case err := <-ended:
		t.Fatalf("ended with a request under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if a := <-slow; a.status != 200 || a.body != "ok" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMainRefusesRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root")
	}
	if err := Main(t.Context(), Process{}); err == nil {
		t.Error("it runs as root")
	}
}

func TestMainEndsWithoutConfiguration(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Main(ctx, Process{Public: Doors{HTTP: l}, Feed: filepath.Join(t.TempDir(), "none"), AllowRoot: true})
	}()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
}
