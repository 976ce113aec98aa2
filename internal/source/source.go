// Package source opens connections that come from an address of one's own.
package source

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dialer is a dialer whose connections come from an address; from any, if it is
// not valid. Their port is chosen when they connect (IP_BIND_ADDRESS_NO_PORT,
// ip(7)): only then does the kernel know the destination, and that a port may be
// had once for each. Chosen before, it has to be one that nobody else has, also
// none whose connection was closed within the last minute; where there are
// thousands of those, to find one takes milliseconds, and at last there is none.
func Dialer(source netip.Addr) *net.Dialer {
	if !source.IsValid() {
		return &net.Dialer{}
	}
	return &net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)),
		Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			if e := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			}); e != nil {
				return e
			}
			return err
		},
	}
}
