package idp

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
)

// TestSilentProvider: a provider that answers no handshake is given up, and keeps
// no connection nor goroutine; the bubble would not end with such.
func TestSilentProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClient(Options{Dial: func(context.Context, []netip.AddrPort) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				io.Copy(io.Discard, far)
				far.Close()
			}()
			return near, nil
		}})
		r, err := http.NewRequest(http.MethodGet, "https://192.0.2.1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, timedOut, err := c.ask(r, 1); err == nil || !timedOut {
			t.Errorf("timed out: %v; %v", timedOut, err)
		}
	})
}
