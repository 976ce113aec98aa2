package upstream

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// internetDialer opens connections to the public internet only. The address is
// checked when it is known, after the name was resolved: whoever may write an
// integration's uri, or answers for a name in it, must not reach the networks
// that the gateway itself stands in. API Gateway's VPC holds the endpoints of
// all customers' links.
func internetDialer(allowPrivate bool) *net.Dialer {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	if !allowPrivate {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("read address %q: %w", address, err)
			}
			if !Public(at.Addr()) {
				return &Error{Unavailable, "no-route", at.Addr().String() + " is not on the public internet; a VPC link leads to private addresses"}
			}
			return nil
		}
	}
	return d
}

// notPublic are the blocks that the internet doesn't route (RFC 6890), beyond
// those that netip knows by name.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("2002::/16"),
}

// Public tells whether an address is on the public internet.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
