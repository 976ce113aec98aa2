package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// mtu of a device, bytes, unless it is given another: what a VPC carries.
const mtu = 9001

// device is a device that is plugged in.
type device struct {
	spec
	ifindex int // host side, in the fabric
	peer    int // ifindex in the ENI's namespace
}

// plug makes an ENI's device what the spec says, adopting what is there.
func (f *fabric) plug(s spec) (*device, error) {
	ns, err := f.namespace(s)
	if err != nil {
		return nil, fmt.Errorf("plug %s in: %w", s.id, err)
	}
	defer ns.Close()
	nl, err := handle(ns)
	if err != nil {
		return nil, fmt.Errorf("plug %s in: %w", s.id, err)
	}
	defer nl.Close()
	host, err := f.pair(s, ns, nl)
	if err != nil {
		return nil, fmt.Errorf("plug %s in: %w", s.id, err)
	}
	d := &device{spec: s, ifindex: host.Attrs().Index, peer: host.Attrs().ParentIndex}
	if err := configure(nl, d); err != nil {
		return nil, fmt.Errorf("configure device of %s: %w", s.id, err)
	}
	if host.Attrs().Flags&net.FlagUp == 0 {
		if err := f.nl.LinkSetUp(host); err != nil {
			return nil, fmt.Errorf("set %s up: %w", hostName(s.number), err)
		}
	}
	return d, nil
}

// lowPorts are those below the range from which Linux takes source ports by
// itself (ip-sysctl.rst, ip_local_port_range).
const lowPorts = "1024\t32767"

// namespace opens the namespace of an ENI; the node's own it makes if need be.
func (f *fabric) namespace(s spec) (*netns.NS, error) {
	if s.own {
		furnish := func() error {
			if !s.shares {
				return settle()
			}
			return errors.Join(settle(), sysctl("net/ipv4/ip_local_port_range", lowPorts))
		}
		ns, err := netns.Open(s.netns)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, netns.ErrNotNamespace) {
			return netns.Create(s.netns, furnish)
		}
		if err != nil {
			return nil, err
		}
		// An earlier version may have made it.
		if err := ns.Do(furnish); err != nil {
			ns.Close()
			return nil, fmt.Errorf("set up namespace %s: %w", s.netns, err)
		}
		return ns, nil
	}
	ns, err := openForeign(s.netns)
	if err != nil {
		return nil, err
	}
	if ns.ID() == f.home || ns.ID() == f.ns.ID() {
		ns.Close()
		return nil, fmt.Errorf("namespace %s is the machine's own", s.netns)
	}
	return ns, nil
}

// pair finds the veth pair that joins the fabric with the namespace, or makes
// it.
func (f *fabric) pair(s spec, ns *netns.NS, nl *netlink.Handle) (netlink.Link, error) {
	name := hostName(s.number)
	host, err := f.nl.LinkByName(name)
	switch {
	case err == nil:
		// The kernel numbers the other namespaces that the fabric knows.
		id, err := f.nl.GetNetNsIdByFd(ns.Fd())
		if err != nil {
			return nil, fmt.Errorf("identify namespace: %w", err)
		}
		if id >= 0 && host.Type() == "veth" && host.Attrs().NetNsID == id {
			return host, nil
		}
		if err := f.nl.LinkDel(host); err != nil {
			return nil, fmt.Errorf("delete %s: %w", name, err)
		}
	case !errors.As(err, &netlink.LinkNotFoundError{}):
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	peer, err := freeName(nl, s.own)
	if err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, s.mtu
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerMTU, veth.PeerHardwareAddr = peer, uint32(s.mtu), s.mac[:]
	veth.PeerNamespace = netlink.NsFd(ns.Fd())
	if err := f.nl.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	return f.nl.LinkByName(name)
}

// freeName chooses the name of the device in the ENI's namespace: eth0 in one
// of the node's own, else the first ethN that is free.
func freeName(nl *netlink.Handle, own bool) (string, error) {
	if own {
		return "eth0", nil
	}
	links, err := dump(nl.LinkList)
	if err != nil {
		return "", fmt.Errorf("list devices: %w", err)
	}
	for i := 0; ; i++ {
		name := "eth" + strconv.Itoa(i)
		if !slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Attrs().Name == name }) {
			return name, nil
		}
	}
}

// configure gives the ENI's side of the pair its addresses and routes.
func configure(nl *netlink.Handle, d *device) error {
	link, err := nl.LinkByIndex(d.peer)
	if err != nil {
		return fmt.Errorf("find device: %w", err)
	}
	a := link.Attrs()
	if slices.Compare(a.HardwareAddr, d.mac[:]) != 0 {
		if err := nl.LinkSetHardwareAddr(link, d.mac[:]); err != nil {
			return fmt.Errorf("set MAC address: %w", err)
		}
	}
	if a.MTU != d.mtu {
		if err := nl.LinkSetMTU(link, d.mtu); err != nil {
			return fmt.Errorf("set MTU: %w", err)
		}
	}
	if a.Flags&net.FlagUp == 0 {
		if err := nl.LinkSetUp(link); err != nil {
			return fmt.Errorf("set device up: %w", err)
		}
	}
	if err := readdress(nl, link, d.spec); err != nil {
		return err
	}
	return route(nl, link, d.spec)
}

// readdress makes the device's addresses those of the spec.
func readdress(nl *netlink.Handle, link netlink.Link, s spec) error {
	have, err := dump(func() ([]netlink.Addr, error) { return nl.AddrList(link, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	bits := s.subnet.Bits()
	if s.source != s.primary { // which sends into another network: nobody is a neighbour
		bits = 32
	}
	want := []netip.Prefix{netip.PrefixFrom(s.primary, bits)}
	for _, a := range s.extra {
		want = append(want, netip.PrefixFrom(a, 32))
	}
	there := map[netip.Prefix]bool{}
	for _, a := range have {
		there[prefixOf(a.IPNet)] = true
	}
	// The first address that is added stays the first.
	for _, p := range want {
		if there[p] {
			delete(there, p)
		} else if err := addAddress(nl, link.Attrs().Index, p); err != nil {
			return err
		}
	}
	for p := range there {
		if err := removeAddress(nl, link.Attrs().Index, p); err != nil {
			return err
		}
	}
	return nil
}

func addAddress(nl *netlink.Handle, index int, p netip.Prefix) error {
	err := nl.AddrAdd(linkOf(index), &netlink.Addr{IPNet: ipNet(p)})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add address %v: %w", p, err)
	}
	return nil
}

func removeAddress(nl *netlink.Handle, index int, p netip.Prefix) error {
	err := nl.AddrDel(linkOf(index), &netlink.Addr{IPNet: ipNet(p)})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %v: %w", p, err)
	}
	return nil
}

// route leads everything to the subnet's router; in a namespace that has a
// default route of its own, only what is for the VPC.
func route(nl *netlink.Handle, link netlink.Link, s spec) error {
	if s.noRoutes {
		return nil
	}
	have, err := dump(func() ([]netlink.Route, error) { return nl.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	index := link.Attrs().Index
	want := []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	if !s.own && slices.ContainsFunc(have, func(r netlink.Route) bool {
		return r.LinkIndex != index && destination(r) == want[0]
	}) {
		want = s.locals
	}
	for _, p := range want {
		r := netlink.Route{
			LinkIndex: index, Dst: ipNet(p), Gw: s.router().AsSlice(), Src: s.source.AsSlice(),
			Flags: int(netlink.FLAG_ONLINK),
		}
		if slices.ContainsFunc(have, func(h netlink.Route) bool {
			return h.LinkIndex == index && destination(h) == p && h.Gw.Equal(r.Gw) && h.Src.Equal(r.Src)
		}) {
			continue
		}
		if err := nl.RouteReplace(&r); err != nil {
			return fmt.Errorf("add route to %v: %w", p, err)
		}
	}
	return nil
}

// destination is a route's; the kernel's default route has none.
func destination(r netlink.Route) netip.Prefix {
	if r.Dst == nil {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return prefixOf(r.Dst)
}

// swap changes the addresses of a plugged device from those that it was given
// to others, without looking at what is there.
func (f *fabric) swap(d *device, s spec) error {
	ns, err := f.namespace(s)
	if err != nil {
		return fmt.Errorf("readdress %s: %w", s.id, err)
	}
	defer ns.Close()
	nl, err := handle(ns)
	if err != nil {
		return fmt.Errorf("readdress %s: %w", s.id, err)
	}
	defer nl.Close()
	add, remove := difference(d.extra, s.extra)
	for _, a := range add {
		if err := addAddress(nl, d.peer, netip.PrefixFrom(a, 32)); err != nil {
			return fmt.Errorf("readdress %s: %w", s.id, err)
		}
	}
	for _, a := range remove {
		if err := removeAddress(nl, d.peer, netip.PrefixFrom(a, 32)); err != nil {
			return fmt.Errorf("readdress %s: %w", s.id, err)
		}
	}
	return nil
}

// unplug deletes a device.
func (f *fabric) unplug(number uint32) error {
	link, err := f.nl.LinkByName(hostName(number))
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = f.nl.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete %s: %w", hostName(number), err)
	}
	return nil
}

// plugged lists the numbers of the ENIs that have a device in the fabric, and
// the devices' ifindexes.
func (f *fabric) plugged() (map[uint32]int, error) {
	links, err := dump(f.nl.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list devices of fabric: %w", err)
	}
	found := map[uint32]int{}
	for _, l := range links {
		if n, ok := numberOf(l.Attrs().Name); ok {
			found[n] = l.Attrs().Index
		}
	}
	return found, nil
}

// dump lists something of the kernel's. A list that changed while it was read
// may lack something and is read again; under a storm of changes not for ever.
func dump[T any](list func() ([]T, error)) (all []T, err error) {
	for range 100 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// numberOf reads the ENI's number from a name that hostName made.
func numberOf(name string) (uint32, bool) {
	digits, ok := strings.CutPrefix(name, "eni")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && hostName(uint32(n)) == name
}

func linkOf(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
