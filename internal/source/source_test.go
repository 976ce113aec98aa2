package source

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// A port is had once for each destination: three destinations take six
// connections from an address that has two ports.
func TestPortsPerDestination(t *testing.T) {
	const ports, destinations = 2, 3
	path := filepath.Join(t.TempDir(), "ns")
	ns, err := netns.Create(path, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40001"), 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer netns.Delete(path)
	defer ns.Close()
	from := netip.MustParseAddr("127.0.0.9")
	if err := ns.Do(func() error {
		for i := range destinations {
			l, err := net.Listen("tcp", netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(80+i)).String())
			if err != nil {
				return err
			}
			defer l.Close()
			for range ports {
				c, err := Dialer(from).Dial("tcp", l.Addr().String())
				if err != nil {
					return err
				}
				defer c.Close()
				if a := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(); a != from {
					t.Errorf("the connection comes from %v", a)
				}
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
