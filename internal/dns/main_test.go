package dns

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/isthmus-net/isthmus/internal/feed"
)

func listenBoth(t *testing.T) Sockets {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return Sockets{l, p}
}

// TestProcess runs the process: queries wait for the first configuration, are
// answered over both transports, and go on when the control process is gone.
func TestProcess(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	path := filepath.Join(t.TempDir(), "feed")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := feed.NewServer(feed.Options{Log: slog.New(slog.DiscardHandler)})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	inside, host := listenBoth(t), listenBoth(t)
	insideAt, hostAt := inside.TCP.Addr().String(), host.TCP.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Main(ctx, Process{Inside: inside, Host: host, Feed: path, Log: slog.New(slog.DiscardHandler), AllowRoot: true})
	}()
	c := world()
	c.Askers = map[netip.Addr]string{netip.MustParseAddr("127.0.0.1"): "vpc-a"}
	ask := func(network, at string) string {
		client := &dns.Client{Net: network, Timeout: 10 * time.Second}
		m, _, err := client.Exchange(query("one.web.shop.", dns.TypeA), at)
		if err != nil {
			return err.Error()
		}
		return text(m)
	}
	early := make(chan string, 2)
	go func() { early <- ask("udp", insideAt) }()
	go func() { early <- ask("tcp", insideAt) }()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	server.Publish("dns", 1, json.RawMessage(b))
	for range 2 {
		if got := <-early; got != "NOERROR | 10.0.1.1" {
			t.Errorf("before the configuration: %s", got)
		}
	}
	server.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := ask(network, insideAt); got != "NOERROR | 10.0.1.1" {
			t.Errorf("%s: %s", network, got)
		}
		if got := ask(network, hostAt); got != "REFUSED" {
			t.Errorf("the machine over %s: %s", network, got)
		}
	}
	// An idle connection does not keep the process.
	idle, err := net.Dial("tcp", insideAt)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the process does not end")
	}
}

// One source can't take all connections, and gets back what it lets go.
func TestBounded(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(l, slog.New(slog.DiscardHandler))
	defer b.Close()
	accepted := make(chan net.Conn, maxConnectionsPer+1)
	go func() {
		for {
			c, err := b.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var open []net.Conn
	for range maxConnectionsPer {
		dial()
		open = append(open, <-accepted)
	}
	if n, err := dial().Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("one more is taken")
	}
	open[0].Close()
	open[0].Close() // counts once
	dial()
	<-accepted
	if b.all != maxConnectionsPer || len(b.open) != 1 {
		t.Errorf("%d connections from %d sources", b.all, len(b.open))
	}
}
