package datapath

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// namespace is a network namespace that lives as long as the test.
type namespace struct{ file *os.File }

func newNamespace(t testing.TB) *namespace {
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: err}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		made <- result{f, err}
	}()
	r := <-made
	if r.err != nil {
		t.Fatalf("make namespace: %v", r.err)
	}
	t.Cleanup(func() { r.file.Close() })
	return &namespace{r.file}
}

// do runs f on a thread in the namespace. Sockets made there stay there.
func (ns *namespace) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// network is a data plane with real namespaces behind its devices.
type network struct {
	*world
	hosts map[uint32]*namespace
}

func newNetwork(t testing.TB) *network {
	n := &network{
		world: &world{TB: t, options: Options{PinDir: filepath.Join(enterWorld(t), "isthmus"), MaxFlows: 1024}},
		hosts: map[uint32]*namespace{},
	}
	n.tables, n.devices = topology(), map[uint32]int{}
	n.open()
	t.Cleanup(func() { n.Close() })
	for i := range n.tables.ENIs {
		if e := &n.tables.ENIs[i]; e.Device != nil {
			n.plug(e)
		}
	}
	n.apply()
	return n
}

// plug gives an ENI a namespace, and a device there with its addresses and
// those that it carries.
func (n *network) plug(e *tables.ENI) {
	n.Helper()
	host := newNamespace(n)
	name := fmt.Sprintf("eni%d", e.Number)
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: name, HardwareAddr: bpf.RouterMAC},
		PeerName:         "eth0",
		PeerHardwareAddr: e.MAC[:],
		PeerNamespace:    netlink.NsFd(int(host.file.Fd())),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		n.Fatalf("add device %s: %v", name, err)
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		n.Fatal(err)
	}
	addrs := []netip.Addr{e.Addresses[0]}
	for i := range n.tables.ENIs {
		if c := &n.tables.ENIs[i]; c.Carrier == e.Number {
			addrs = append(addrs, c.Addresses...)
		}
	}
	if err := host.do(func() error { return configure(addrs) }); err != nil {
		n.Fatalf("configure device of %s: %v", name, err)
	}
	n.hosts[e.Number] = host
	n.devices[e.Number] = veth.Attrs().Index
	if err := n.Attach(veth.Attrs().Index); err != nil {
		n.Fatal(err)
	}
}

func configure(addrs []netip.Addr) error {
	eth, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, a := range addrs {
		parsed, err := netlink.ParseAddr(a.String() + "/16")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(eth, parsed); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(eth); err != nil {
		return err
	}
	everywhere := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Dst: everywhere, Scope: netlink.SCOPE_LINK})
}
