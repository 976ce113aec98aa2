package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/isthmus-net/isthmus/internal/tables"
)

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

// What the health checker sends appears as from ENIs whose own programs send
// too: the two never take one source port.
func TestHealthTakesPortsOfItsOwn(t *testing.T) {
	m := newMachine(t)
	checker, program := host(1, "10.0.0.5"), host(2, "10.0.0.6")
	checker.Owner = OwnerHealth
	m.apply(vpc(checker, program))
	for eni, low := range map[string]bool{checker.ID: true, program.ID: false} {
		m.in(eni, func() error {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer l.Close()
			if port := l.Addr().(*net.TCPAddr).Port; port < 32768 != low {
				t.Errorf("%s was given port %d", eni, port)
			}
			return nil
		})
	}
}

// The port of a connection that the ENI's program has closed serves the next one
// to the same place soon, and not only after the minute of TIME_WAIT; also where
// the namespace was made by a version of which that was not so.
func TestPortsComeBack(t *testing.T) {
	m := newMachine(t)
	client, server := host(1, "10.0.0.5"), host(2, "10.0.9.6")
	m.apply(vpc(client, server))
	m.in(client.ID, func() error { return sysctl("net/ipv4/tcp_tw_reuse", "0") })
	m.stop()
	m.start()
	m.apply(vpc(client, server))
	m.listen(server.ID, ":80")
	m.in(client.ID, func() error { return sysctl("net/ipv4/ip_local_port_range", "40000\t40000") })
	first, _ := m.dial(client.ID, "", "10.0.9.6:80")
	echo(t, first, "one")
	first.Close()
	m.in(client.ID, func() error {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			c, err := net.DialTimeout("tcp4", "10.0.9.6:80", 5*time.Second)
			if err == nil {
				return c.Close()
			}
			if time.Now().After(deadline) {
				return err
			}
		}
	})
}
