package node

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// machine is a node on a machine of its own: a namespace stands for it.
type machine struct {
	t    *testing.T
	ns   *netns.NS
	dir  Dir
	dp   *datapath.Datapath
	node *Node
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root")
	}
	base := t.TempDir()
	ns, err := netns.Create(filepath.Join(base, "machine"), func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, ns: ns, dir: Dir(filepath.Join(base, "run"))}
	lock, err := Lock(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.stop()
		defer lock.Close()
		if err := Down(m.dir); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(string(m.dir)); !os.IsNotExist(err) {
			t.Errorf("the run directory is left: %v", err)
		}
		ns.Close()
		if err := netns.Delete(filepath.Join(base, "machine")); err != nil {
			t.Error(err)
		}
		if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), base) {
			t.Errorf("mounts are left: %v", err)
		}
	})
	m.start()
	return m
}

// start starts a node as isthmus serve does.
func (m *machine) start() {
	m.t.Helper()
	err := m.ns.Do(func() (err error) {
		if err = mountBPF(m.dir.BPF()); err != nil {
			return err
		}
		if m.dp, err = datapath.Open(datapath.Options{PinDir: m.dir.Pins(), MaxFlows: 1024}); err != nil {
			return err
		}
		m.node, err = Open(m.dir, m.dp, slog.New(slog.NewTextHandler(m.t.Output(), nil)))
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// stop lets go of everything, as the end of the process does.
func (m *machine) stop() {
	if m.node != nil {
		m.node.Close()
		m.dp.Close()
		m.node = nil
	}
}

func (m *machine) apply(t *tables.Tables) {
	m.t.Helper()
	if err := m.node.Apply(t); err != nil {
		m.t.Fatal(err)
	}
}

// in runs fn in the namespace of an ENI.
func (m *machine) in(eni string, fn func() error) {
	m.t.Helper()
	_, _, ns, err := m.node.Namespace(eni)
	if err != nil {
		m.t.Fatal(err)
	}
	defer ns.Close()
	if err := ns.Do(fn); err != nil {
		m.t.Fatalf("in %s: %v", eni, err)
	}
}

// listen starts a TCP server in the namespace of an ENI, which echoes.
func (m *machine) listen(eni, address string) net.Listener {
	m.t.Helper()
	var l net.Listener
	m.in(eni, func() (err error) { l, err = net.Listen("tcp4", address); return err })
	m.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, c.RemoteAddr())
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	return l
}

// dial connects from the namespace of an ENI, and returns the connection and
// which address the server saw.
func (m *machine) dial(eni, from, to string) (net.Conn, netip.AddrPort) {
	m.t.Helper()
	var c net.Conn
	m.in(eni, func() (err error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		if from != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		// One address and no name: the dialer uses this thread.
		c, err = d.Dial("tcp4", to)
		return err
	})
	m.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	var seen string
	if _, err := fmt.Fscanln(c, &seen); err != nil {
		m.t.Fatalf("read from %s: %v", to, err)
	}
	return c, netip.MustParseAddrPort(seen)
}

// echo sends a line and expects it back.
func echo(t *testing.T, c net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(line)+1)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != line+"\n" {
		t.Fatalf("echo of %q: %q, %v", line, got, err)
	}
}

// vpc is tables with one VPC, number 1, and these ENIs in it.
func vpc(enis ...tables.ENI) *tables.Tables {
	return &tables.Tables{
		Networks: []tables.Network{{Number: 1, ID: "vpc-1"}},
		RouteTables: []tables.RouteTable{{Number: 1, ID: "rtb-1", Routes: []tables.Route{
			{Prefix: netip.MustParsePrefix("10.0.0.0/16"), Kind: tables.Local},
		}}},
		ENIs: enis,
	}
}

// host is an ENI with a device.
func host(number uint32, address string) tables.ENI {
	a := netip.MustParseAddr(address)
	b := a.As4()
	return tables.ENI{
		Number: number, ID: fmt.Sprintf("eni-%04x", number), Kind: tables.Host, Network: 1, RouteTable: 1,
		Addresses: []netip.Addr{a}, MAC: [6]byte{2, 0, b[0], b[1], b[2], b[3]},
		Subnet: netip.PrefixFrom(a, 24).Masked(), Device: &tables.Device{},
	}
}

// ping sends an echo request from a socket that needs no privileges, which the
// namespace lets everybody have, and waits for the reply.
func ping(to string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return err
	}
	addr := &unix.SockaddrInet4{Addr: netip.MustParseAddr(to).As4()}
	if err := unix.Sendto(s, []byte{8, 0, 0, 0, 0, 0, 0, 1, 'x'}, 0, addr); err != nil {
		return err
	}
	reply := make([]byte, 64)
	n, _, err := unix.Recvfrom(s, reply, 0)
	if err != nil || n != 9 || reply[0] != 0 {
		return fmt.Errorf("echo reply: %v, %w", reply[:max(n, 0)], err)
	}
	return nil
}

// natSource is an address on the device of a carrier, whose packets go on as
// those of the ENI peer.
func natSource(number uint32, address string, carrier, peer uint32) tables.ENI {
	e := host(number, address)
	e.Kind, e.Device, e.Carrier, e.Peer = tables.NATSource, nil, carrier, peer
	return e
}
