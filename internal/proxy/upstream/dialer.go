package upstream

import (
	"context"
	"net"
	"net/netip"
)

// Dialer opens single connections as a pool does, and explains those that do
// not come about.
type Dialer struct{ dialing Dialing }

// NewDialer makes a dialer.
func NewDialer(d Dialing) *Dialer {
	d.setDefaults()
	return &Dialer{d}
}

// Dial opens a connection to the first of the addresses that takes one. What it
// fails with is an *Error.
func (d *Dialer) Dial(ctx context.Context, addresses []netip.AddrPort) (net.Conn, error) {
	ways := make([]path, len(addresses))
	for i, a := range addresses {
		ways[i].destination = a
	}
	return d.dialing.dial(ctx, ways)
}
