package relay

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// scarce is a listener that has no descriptor for a connection at first.
type scarce struct {
	net.Listener
	failed bool
}

func (s *scarce) Accept() (net.Conn, error) {
	if !s.failed {
		s.failed = true
		return nil, syscall.EMFILE
	}
	return s.Listener.Accept()
}

// TestRelay: a stream is passed on, both ways, up to its limits. A socket that
// an earlier process left is no obstacle, nor is a fault that passes.
func TestRelay(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	far, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	go func() {
		for {
			c, err := far.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	path := filepath.Join(t.TempDir(), "relay.sock")
	if _, err := Listen(path, -1); err != nil { // and never closed
		t.Fatal(err)
	}
	l, err := Listen(path, -1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, &scarce{Listener: l}, netip.MustParseAddrPort(far.Addr().String()), DNS, slog.New(slog.DiscardHandler))
	}()
	dial := func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		t.Cleanup(func() { c.Close() })
		return c
	}
	echo := func(c net.Conn) error {
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	var open []net.Conn
	for range DNS.Streams {
		c := dial()
		if err := echo(c); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if err := echo(dial()); err == nil {
		t.Error("one stream more is passed on")
	}
	go open[0].Write(make([]byte, DNS.Bytes))
	if n, err := io.Copy(io.Discard, open[0]); n > DNS.Bytes {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
