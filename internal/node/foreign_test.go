package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// foreign makes a namespace that is not the node's, with a device eth0 and a
// default route of its own if wanted.
func foreign(t *testing.T, path string, routed bool) {
	t.Helper()
	ns, err := netns.Create(path, func() error {
		if !routed {
			return nil
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		veth := netlink.NewVeth(attrs)
		veth.PeerName = "other"
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr("192.168.7.2/24")
		if err != nil {
			return err
		}
		return errors.Join(
			netlink.AddrAdd(link, addr),
			netlink.LinkSetUp(link),
			netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP("192.168.7.1")}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.Close()
	t.Cleanup(func() { netns.Delete(path) })
}

func attached(number uint32, address, path string) tables.ENI {
	e := host(number, address)
	e.Device = &tables.Device{Netns: path}
	return e
}

func TestAttach(t *testing.T) {
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed=%v", routed), func(t *testing.T) {
			m := newMachine(t)
			path := filepath.Join(t.TempDir(), "container")
			foreign(t, path, routed)
			a, b := host(1, "10.0.0.5"), attached(2, "10.0.9.6", path)
			m.apply(vpc(a, b))
			m.listen(b.ID, ":80")
			c, _ := m.dial(a.ID, "", "10.0.9.6:80")
			echo(t, c, "hello")
			m.listen(a.ID, ":80")
			c, seen := m.dial(b.ID, "", "10.0.0.5:80")
			if seen.Addr() != b.Addresses[0] {
				t.Errorf("seen as %v, want %v", seen, b.Addresses[0])
			}
			echo(t, c, "hello back")
			m.in(b.ID, func() error {
				routes, err := netlink.RouteGet(net.ParseIP("1.1.1.1"))
				if err != nil {
					return err
				}
				if own := routes[0].Gw.String() == "192.168.7.1"; own != routed {
					t.Errorf("the way out is by %v", routes[0].Gw)
				}
				return nil
			})
			// A new node adopts it, and detaching leaves the namespace.
			m.stop()
			m.start()
			m.apply(vpc(a, b))
			echo(t, c, "still there")
			b.Device = nil
			m.apply(vpc(a, b))
			ns, err := netns.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer ns.Close()
			if err := ns.Do(func() error {
				links, err := netlink.LinkList()
				for _, l := range links {
					if l.Attrs().HardwareAddr.String() == net.HardwareAddr(b.MAC[:]).String() {
						t.Errorf("%s is still there", l.Attrs().Name)
					}
				}
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// problem waits until an ENI has a problem, or has none.
func (m *machine) problem(eni string, want bool) string {
	m.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		for _, i := range m.node.Status().Interfaces {
			if i.ID == eni && (i.Problem != "") == want {
				return i.Problem
			}
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: a problem is not %v", eni, want)
		}
	}
}

// A container ends, and comes back under the same path.
func TestNamespaceEndsAndReturns(t *testing.T) {
	m := newMachine(t)
	path := filepath.Join(t.TempDir(), "container")
	foreign(t, path, false)
	a, b := host(1, "10.0.0.5"), attached(2, "10.0.9.6", path)
	m.apply(vpc(a, b))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.node.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	// The events must be followed when the namespace ends.
	m.lost("eni2", func() {
		if err := netns.Delete(path); err != nil {
			t.Fatal(err)
		}
	})
	if p := m.problem(b.ID, true); !strings.Contains(p, path) {
		t.Errorf("the problem is %q", p)
	}
	foreign(t, path, false)
	m.problem(b.ID, false)
	m.listen(b.ID, ":80")
	c, _ := m.dial(a.ID, "", "10.0.9.6:80")
	echo(t, c, "hello again")
}

// lost does what ends a device and waits until the kernel has done so.
func (m *machine) lost(name string, end func()) {
	m.t.Helper()
	end()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := m.node.fabric.nl.LinkByName(name); err != nil {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s never ended", name)
		}
	}
}

func TestNamespacesThatAreRefused(t *testing.T) {
	m := newMachine(t)
	base := t.TempDir()
	plain := filepath.Join(base, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	machine := filepath.Join(filepath.Dir(string(m.dir)), "machine")
	for path, want := range map[string]string{
		machine:             "machine's own",
		m.dir.Fabric():      "machine's own",
		plain:               "not a network namespace",
		"/proc/self/ns/mnt": "not a network namespace",
		"/nonexistent":      "no such file",
	} {
		if _, err := m.node.attachable(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	e := attached(1, "10.0.0.5", machine)
	m.apply(vpc(e))
	if p := m.problem(e.ID, true); !strings.Contains(p, "machine's own") {
		t.Errorf("the problem is %q", p)
	}
}

// A process's path is good for that process only.
func TestProcessPath(t *testing.T) {
	m := newMachine(t)
	path := filepath.Join(t.TempDir(), "container")
	foreign(t, path, false)
	ns, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var inside *exec.Cmd
	if err := ns.Do(func() error {
		inside = exec.Command("sleep", "60")
		return inside.Start()
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { inside.Process.Kill(); inside.Wait() }()
	bound, err := m.node.attachable(fmt.Sprintf("/proc/%d/ns/net", inside.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	e := attached(1, "10.0.0.5", bound)
	m.apply(vpc(e))
	m.in(e.ID, func() error {
		if now, err := netns.Current(); err != nil || now.ID() != ns.ID() {
			t.Errorf("it is in another namespace: %v", err)
		} else {
			now.Close()
		}
		return nil
	})
	stale := strings.Replace(bound, "@", "@1", 1)
	if _, err := openForeign(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("another process of the same number: %v", err)
	}
	if same, err := BindPath("/run/netns/a@b"); err != nil || same != "/run/netns/a@b" {
		t.Errorf("a name became %q, %v", same, err)
	}
}

// A device moves when its namespace is another.
func TestNamespaceChanges(t *testing.T) {
	m := newMachine(t)
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	foreign(t, one, false)
	foreign(t, two, true)
	for _, path := range []string{one, two, "", one} {
		e := attached(1, "10.0.0.5", path)
		m.apply(vpc(e, host(2, "10.0.9.6")))
		m.problem(e.ID, false)
		if path == "" {
			path = m.dir.Namespace(e.ID)
		}
		want, err := netns.IDOf(path)
		if err != nil {
			t.Fatal(err)
		}
		_, _, ns, err := m.node.Namespace(e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if ns.ID() != want {
			t.Errorf("it is not in %s", path)
		}
		ns.Close()
		l := m.listen(e.ID, ":80")
		m.dial("eni-0002", "", "10.0.0.5:80")
		l.Close()
	}
}

func BenchmarkNATSource(b *testing.B) {
	n := 0
	bench(b, func(t *tables.Tables) {
		n++
		t.ENIs[1].Addresses[0] = netip.AddrFrom4([4]byte{10, 0, byte(1 + n/250%250), byte(n % 250)})
	})
}

// bench measures Apply after a change of the tables, over a thousand NAT
// sources on one carrier. The packet program is not part of it.
func bench(b *testing.B, change func(*tables.Tables)) {
	if os.Getuid() != 0 {
		b.Fatal("needs root")
	}
	dir := Dir(filepath.Join(b.TempDir(), "run"))
	lock, err := Lock(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer lock.Close()
	n, err := Open(dir, noDatapath{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer Down(dir)
	defer n.Close()
	t := vpc(host(1, "10.0.0.5"))
	for i := range 1000 {
		t.ENIs = append(t.ENIs, natSource(uint32(i+2), fmt.Sprintf("10.0.%d.%d", 100+i/200, i%200), 1, 0))
	}
	if err := n.Apply(t); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		change(t)
		if err := n.Apply(t); err != nil {
			b.Fatal(err)
		}
	}
}

type noDatapath struct{}

func (noDatapath) Apply(*tables.Tables, map[uint32]int) error { return nil }
func (noDatapath) Attach(int) error                           { return nil }
func (noDatapath) Detach(int) error                           { return nil }
