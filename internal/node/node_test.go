package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
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
		t.Skip("needs root")
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

func TestTwoInterfaces(t *testing.T) {
	m := newMachine(t)
	a, b := host(1, "10.0.0.5"), host(2, "10.0.9.6")
	b.Addresses = append(b.Addresses, netip.MustParseAddr("10.0.9.99"))
	m.apply(vpc(a, b))
	m.listen(b.ID, ":80")
	for _, to := range []string{"10.0.9.6:80", "10.0.9.99:80"} {
		c, seen := m.dial(a.ID, "", to)
		if seen.Addr() != a.Addresses[0] {
			t.Errorf("%s saw %v, want %v", to, seen, a.Addresses[0])
		}
		echo(t, c, "hello")
	}
	m.in(a.ID, func() error { return ping("10.0.9.6") })
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

func TestDeviceIsAsTheInterface(t *testing.T) {
	m := newMachine(t)
	a := host(7, "10.0.3.5")
	a.Addresses = append(a.Addresses, netip.MustParseAddr("10.0.3.77"))
	m.apply(vpc(a))
	m.in(a.ID, func() error {
		for _, name := range []string{"lo", "eth0"} {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if l.Attrs().Flags&net.FlagUp == 0 {
				t.Errorf("%s is down", name)
			}
			if name == "lo" {
				continue
			}
			if l.Attrs().MTU != mtu || l.Attrs().HardwareAddr.String() != net.HardwareAddr(a.MAC[:]).String() {
				t.Errorf("MTU %d, MAC %v", l.Attrs().MTU, l.Attrs().HardwareAddr)
			}
			addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
			if err != nil {
				return err
			}
			var got []string
			for _, a := range addrs {
				got = append(got, a.IPNet.String())
			}
			if want := []string{"10.0.3.5/24", "10.0.3.77/32"}; !slices.Equal(got, want) {
				t.Errorf("addresses %v, want %v", got, want)
			}
		}
		routes, err := netlink.RouteGet(net.ParseIP("10.0.200.1"))
		if err != nil {
			return err
		}
		if r := routes[0]; r.Gw.String() != "10.0.3.1" || r.Src.String() != "10.0.3.5" {
			t.Errorf("route %v", r)
		}
		return nil
	})
	err := m.node.fabric.ns.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
			if err != nil || len(addrs) > 0 {
				t.Errorf("%s of the fabric has addresses %v, %v", l.Attrs().Name, addrs, err)
			}
		}
		if len(links) != 2 || links[1].Attrs().Name != "eni7" {
			t.Errorf("the fabric has %d devices, the last %s", len(links), links[len(links)-1].Attrs().Name)
		}
		if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); err != nil || string(b) != "0\n" {
			t.Errorf("ip_forward of the fabric is %q, %v", b, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := m.ns.Do(func() error {
		links, err := netlink.LinkList()
		if len(links) > 1 { // lo
			t.Errorf("the machine's namespace has %d devices", len(links))
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// settled waits until the kernel has reported the last of the devices that came
// up, which it does in its own time.
func (m *machine) settled() {
	m.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		links, err := m.node.fabric.nl.LinkList()
		if err != nil {
			m.t.Fatal(err)
		}
		if !slices.ContainsFunc(links, func(l netlink.Link) bool {
			return l.Attrs().Name != "lo" && l.Attrs().OperState != netlink.OperUp
		}) {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatal("the devices never came up")
		}
	}
}

// changes records what the kernel says to have changed in namespaces while fn
// runs.
func (m *machine) changes(fn func(), namespaces ...string) (seen []string) {
	m.t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf(format, args...))
	}
	done := make(chan struct{})
	for _, path := range namespaces {
		ns, err := netns.Open(path)
		if err != nil {
			m.t.Fatal(err)
		}
		defer ns.Close()
		handle := vnetns.NsHandle(ns.Fd())
		links, addrs, routes := make(chan netlink.LinkUpdate), make(chan netlink.AddrUpdate), make(chan netlink.RouteUpdate)
		for _, err := range []error{
			netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{Namespace: &handle}),
			netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{Namespace: &handle}),
			netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{Namespace: &handle}),
		} {
			if err != nil {
				m.t.Fatal(err)
			}
		}
		name := filepath.Base(path)
		group.Go(func() {
			for e := range links {
				note("%s: link %s type %d", name, e.Attrs().Name, e.Header.Type)
			}
		})
		group.Go(func() {
			for e := range addrs {
				note("%s: address %v new %v", name, e.LinkAddress.String(), e.NewAddr)
			}
		})
		group.Go(func() {
			for e := range routes {
				note("%s: route %v type %d", name, e.Route, e.Type)
			}
		})
	}
	fn()
	// Events are queued before the change's own answer comes; closing the
	// sockets ends the queues, so look at them once more with a change of our
	// own that must arrive.
	for _, path := range namespaces {
		ns, err := netns.Open(path)
		if err != nil {
			m.t.Fatal(err)
		}
		h, err := handle(ns)
		if err != nil {
			m.t.Fatal(err)
		}
		lo, err := h.LinkByName("lo")
		if err == nil {
			err = h.LinkSetMTU(lo, lo.Attrs().MTU-1)
		}
		if err != nil {
			m.t.Fatal(err)
		}
		h.Close()
		ns.Close()
		sentinel := filepath.Base(path) + ": link lo type 16"
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			arrived := slices.Contains(seen, sentinel)
			seen = slices.DeleteFunc(seen, func(s string) bool { return s == sentinel })
			mu.Unlock()
			if arrived {
				break
			}
			if time.Now().After(deadline) {
				m.t.Fatal("the sentinel never came")
			}
		}
	}
	close(done)
	group.Wait()
	return seen
}

func TestApplyingTwiceChangesNothing(t *testing.T) {
	m := newMachine(t)
	a, b := host(1, "10.0.0.5"), host(2, "10.0.9.6")
	src := natSource(3, "10.0.0.200", 1, 0)
	b.Addresses = append(b.Addresses, netip.MustParseAddr("10.0.9.99"))
	m.apply(vpc(a, b, src))
	m.settled()
	watched := []string{m.dir.Fabric(), m.dir.Namespace(a.ID), m.dir.Namespace(b.ID)}
	if seen := m.changes(func() { m.apply(vpc(a, b, src)) }, watched...); len(seen) > 0 {
		t.Errorf("the same node changed %q", seen)
	}
	if seen := m.changes(func() {
		m.stop()
		m.start()
		m.apply(vpc(a, b, src))
	}, watched...); len(seen) > 0 {
		t.Errorf("a new node changed %q", seen)
	}
	b.Addresses = b.Addresses[:1]
	seen := m.changes(func() { m.apply(vpc(a, b, src)) }, watched...)
	for _, s := range seen {
		if !strings.HasPrefix(s, b.ID) || !strings.Contains(s, "10.0.9.99") {
			t.Errorf("removing an address changed %q", s)
		}
	}
	if len(seen) == 0 {
		t.Error("removing an address changed nothing")
	}
}

// natSource is an address on the device of a carrier, whose packets go on as
// those of the ENI peer.
func natSource(number uint32, address string, carrier, peer uint32) tables.ENI {
	e := host(number, address)
	e.Kind, e.Device, e.Carrier, e.Peer = tables.NATSource, nil, carrier, peer
	return e
}

func TestNATSource(t *testing.T) {
	m := newMachine(t)
	carrier := host(1, "10.0.0.5")
	source := natSource(2, "10.0.0.200", 1, 3)
	// The customer's network, with the same addresses.
	nat, target := host(3, "10.0.0.7"), host(4, "10.0.0.5")
	nat.Kind, nat.Device = tables.NAT, nil
	for _, e := range []*tables.ENI{&nat, &target} {
		e.Network, e.RouteTable = 2, 2
	}
	tb := vpc(carrier, source, nat, target)
	tb.Networks = append(tb.Networks, tables.Network{Number: 2, ID: "vpc-2"})
	tb.RouteTables = append(tb.RouteTables, tables.RouteTable{Number: 2, ID: "rtb-2", Routes: tb.RouteTables[0].Routes})
	m.apply(tb)
	m.listen(target.ID, ":80")
	// The target's address is the carrier's own, too: the source decides, and
	// the carrier's namespace would keep such a packet to itself.
	other := host(5, "10.0.0.9")
	other.Network, other.RouteTable = 2, 2
	tb2 := *tb
	tb2.ENIs = append(slices.Clone(tb.ENIs), other)
	m.apply(&tb2)
	m.listen(other.ID, ":80")
	c, seen := m.dial(carrier.ID, "10.0.0.200", "10.0.0.9:80")
	if seen.Addr() != nat.Addresses[0] {
		t.Errorf("the target saw %v, want %v", seen, nat.Addresses[0])
	}
	echo(t, c, "hello")
	// The address goes with the ENI.
	m.apply(vpc(carrier))
	m.in(carrier.ID, func() error {
		if l, err := net.Listen("tcp4", "10.0.0.200:0"); err == nil {
			l.Close()
			t.Error("the source's address is still there")
		}
		return nil
	})
}

func TestConnectionsOutliveTheNode(t *testing.T) {
	m := newMachine(t)
	a, b := host(1, "10.0.0.5"), host(2, "10.0.9.6")
	m.apply(vpc(a, b))
	m.listen(b.ID, ":80")
	c, _ := m.dial(a.ID, "", "10.0.9.6:80")
	m.stop()
	echo(t, c, "no node runs")
	m.start()
	echo(t, c, "a new one runs")
	m.apply(vpc(a, b))
	echo(t, c, "and has tables")
	m.apply(vpc(a, b, host(3, "10.0.4.4")))
	echo(t, c, "of which some are new")
}

func TestRemoval(t *testing.T) {
	m := newMachine(t)
	a, b := host(1, "10.0.0.5"), host(2, "10.0.9.6")
	for _, restart := range []bool{false, true} {
		m.apply(vpc(a, b))
		var inside *exec.Cmd
		m.in(b.ID, func() error {
			inside = exec.Command("sleep", "60")
			return inside.Start()
		})
		ended := make(chan error, 1)
		go func() { ended <- inside.Wait() }()
		if restart {
			m.stop()
			m.start()
		}
		m.apply(vpc(a))
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the program inside still runs")
		}
		if _, err := os.Stat(m.dir.Namespace(b.ID)); !os.IsNotExist(err) {
			t.Errorf("the namespace is still there: %v", err)
		}
		if got, err := m.node.fabric.plugged(); err != nil || len(got) != 1 || got[1] == 0 {
			t.Errorf("plugged in are %v, %v", got, err)
		}
		if _, _, _, err := m.node.Namespace(b.ID); err == nil {
			t.Error("the ENI still has a namespace")
		}
	}
}

func TestBadTables(t *testing.T) {
	m := newMachine(t)
	good := host(1, "10.0.0.5")
	climb := host(2, "10.0.0.6")
	climb.ID = "../../x"
	nowhere := host(3, "10.0.0.7")
	nowhere.Device = &tables.Device{Netns: "/nonexistent"}
	multicast := host(4, "10.0.0.8")
	multicast.MAC[0] = 1
	v6 := host(5, "10.0.0.9")
	v6.Addresses = append(v6.Addresses, netip.MustParseAddr("fd00::1"))
	m.apply(vpc(good, climb, nowhere, multicast, v6))
	var problems int
	for _, i := range m.node.Status().Interfaces {
		if i.Problem != "" {
			problems++
		}
		if (i.ID == good.ID) != (i.Device != "") {
			t.Errorf("%s has device %q", i.ID, i.Device)
		}
	}
	if problems != 4 {
		t.Errorf("%d problems, want 4", problems)
	}
}

func TestWait(t *testing.T) {
	m := newMachine(t)
	a := host(1, "10.0.0.5")
	a.Owner = OwnerGateway
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := make(chan error, 2)
	go func() {
		ns, err := m.node.Wait(ctx, a.ID)
		if err == nil {
			ns.Close()
		}
		got <- err
	}()
	go func() {
		id, err := m.node.Owned(ctx, OwnerGateway)
		if err == nil && id != a.ID {
			err = fmt.Errorf("the gateway's ENI is %s", id)
		}
		got <- err
	}()
	m.apply(vpc())
	m.apply(vpc(a))
	for range 2 {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := m.node.Wait(short, "eni-none"); err == nil {
		t.Error("waited for nothing without error")
	}
}

// Handles of namespaces and sockets are closed again.
func TestNoLeaks(t *testing.T) {
	m := newMachine(t)
	count := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	cycle := func() {
		m.apply(vpc(host(1, "10.0.0.5"), natSource(2, "10.0.0.6", 1, 0)))
		m.apply(vpc(host(1, "10.0.0.5")))
		m.apply(vpc())
	}
	cycle()
	before := count()
	for range 10 {
		cycle()
	}
	if after := count(); after > before {
		t.Errorf("%d open files became %d", before, after)
	}
}
