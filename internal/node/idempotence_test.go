package node

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"

	"github.com/isthmus-net/isthmus/internal/netns"
)

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
