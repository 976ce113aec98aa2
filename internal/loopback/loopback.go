// Package loopback gives tests servers of raw connections, and addresses
// without any, on loopback.
package loopback

import (
	"net"
	"net/netip"
	"testing"
)

// Serve serves each connection by a function, which need not close it, until
// the test ends.
func Serve(t testing.TB, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// Refusing is an address that refuses connections.
func Refusing(t testing.TB) netip.AddrPort {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
