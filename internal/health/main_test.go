package health

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/feed"
)

// control is a feed server that publishes checks and keeps reports.
type control struct {
	*feed.Server
	reports chan []Report
}

func startControl(t *testing.T, path string, config any) *control {
	t.Helper()
	c := &control{Server: feed.NewServer(feed.Options{}), reports: make(chan []Report, 10)}
	c.Handle("health", func(_ context.Context, _ feed.Role, params json.RawMessage) (any, error) {
		var reports []Report
		if err := json.Unmarshal(params, &reports); err != nil {
			return nil, err
		}
		c.reports <- reports
		return struct{}{}, nil
	})
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Publish("health", 1, config)
	go c.Serve(l)
	t.Cleanup(c.Close)
	return c
}

func (c *control) wantReport(t *testing.T, want Report) {
	t.Helper()
	select {
	case got := <-c.reports:
		if len(got) != 1 || got[0] != want {
			t.Errorf("reports = %+v, want %+v", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("no report, want %+v", want)
	}
}

func TestCheckerOverTheFeed(t *testing.T) {
	var probes atomic.Int32
	target := serve(t, func(conn net.Conn) { probes.Add(1); conn.Close() })
	check := probeOf(target, "TCP")
	check.TargetGroup, check.Target, check.Port, check.Registered = "tg", "127.0.0.2", 80, 7
	check.Interval, check.HealthyThreshold, check.UnhealthyThreshold = time.Hour, 2, 2
	want := Report{TargetGroup: "tg", Target: "127.0.0.2", Port: 80, Registered: 7, State: Healthy}

	path := filepath.Join(t.TempDir(), "feed.sock")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Main(ctx, path, slog.New(slog.DiscardHandler)) }()

	first := startControl(t, path, Config{[]Check{check}})
	first.wantReport(t, want)
	first.Close()

	// A new control process is told again, without another probe.
	second := startControl(t, path, Config{[]Check{check}})
	second.wantReport(t, want)
	if n := probes.Load(); n != 1 {
		t.Errorf("%d probes, want one: nothing about the check has changed", n)
	}

	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("Main = %v", err)
	}
}

func TestParseConfig(t *testing.T) {
	good := probeOf(netip.MustParseAddrPort("10.0.0.1:80"), "TCP")
	good.Interval = time.Second
	for name, c := range map[string]struct {
		change func(*Check)
		ok     bool
	}{
		"good":           {func(*Check) {}, true},
		"no interval":    {func(c *Check) { c.Interval = 0 }, false},
		"no timeout":     {func(c *Check) { c.Timeout = 0 }, false},
		"no source":      {func(c *Check) { c.Source = netip.Addr{} }, false},
		"no destination": {func(c *Check) { c.Destination = netip.AddrPort{} }, false},
	} {
		check := good
		c.change(&check)
		raw, err := json.Marshal(Config{[]Check{check}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseConfig(raw)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && got.Checks[0] != check {
			t.Errorf("%s: %+v came out as %+v", name, check, got.Checks[0])
		}
	}
	if _, err := parseConfig(json.RawMessage(`{`)); err == nil {
		t.Error("half a message is accepted")
	}
}
