package alb

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/linelog"
	"github.com/isthmus-net/isthmus/internal/loopback"
)

// The process: it serves what the feed brings in its own role, asks the
// control process for causes, outlives it, and ends with the requests under
// way.
func TestMainProcess(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "feed.sock")
	control := feed.NewServer(feed.Options{})
	asked := make(chan string, 1)
	control.Handle("explain", func(_ context.Context, role feed.Role, raw json.RawMessage) (any, error) {
		var p struct{ Destination netip.AddrPort }
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, err
		}
		asked <- fmt.Sprint(role, " ", p.Destination)
		return map[string]any{"verdict": "sg-egress", "cause": "sg-1 of eni-1 allows no tcp"}, nil
	})
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go control.Serve(unix)

	entered, release := make(chan struct{}), make(chan struct{})
	at := startHandler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-release
		}
		io.WriteString(w, "ok")
	})
	refused := loopback.Refusing(t)
	c := configuration(healthy(at), config.Rule{
		ARN: "r", Priority: 1, Action: to("refused"),
		Conditions: []config.Condition{{Field: config.PathPattern, Values: []string{"/refused"}}},
	})
	c.TargetGroups["refused"] = config.TargetGroup{ARN: "refused", Targets: healthy(refused)}
	control.Publish("alb/eni-1", 1, c)

	log := &logBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Main(ctx, Process{
			ENI: "eni-1", Feed: socket, AllowRoot: true, Drain: 20 * time.Second, Access: linelog.NewLog(log, true, slog.LevelInfo, ""),
		})
	}()
	for control.Applied("alb/eni-1") != 1 {
		<-control.Changes()
	}
	n := &node{t: t, at: c.Address, client: &http.Client{Transport: &http.Transport{}}}
	if a := n.get("/refused"); a.status != 504 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if line := log.find(t, "/refused"); line["error"] != "sg-egress: sg-1 of eni-1 allows no tcp" {
		t.Errorf("logged %v", line)
	}
	if got, want := <-asked, "alb/eni-1 "+refused.String(); got != want {
		t.Errorf("asked %q, want %q", got, want)
	}

	control.Close()
	slow := make(chan answer, 1)
	go func() { slow <- n.get("/slow") }()
	<-entered
	stop()
	select {
	case err := <-ended:
		t.Fatalf("ended with a request under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if c, err := net.Dial("tcp", n.address()); err == nil {
		c.Close()
		t.Error("the listener is still open")
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
