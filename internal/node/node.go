package node

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Datapath is the packet program, as package datapath drives it.
type Datapath interface {
	// Apply writes the tables; devices are the ifindexes in the fabric by the
	// ENI's number.
	Apply(t *tables.Tables, devices map[uint32]int) error
	// Attach and Detach are called inside the fabric.
	Attach(ifindex int) error
	Detach(ifindex int) error
}

// Node holds the devices of one machine.
type Node struct {
	dir    Dir
	log    *slog.Logger
	dp     Datapath
	fabric *fabric
	// callers is as of the tables that the packet program has.
	callers atomic.Pointer[callers]

	mu       sync.Mutex
	tables   *tables.Tables     // last given; nil before the first
	devices  map[uint32]*device // what is plugged in, by the ENI's number
	problems map[uint32]error   // why a wanted device is not
	unsynced bool               // the packet program has not the last tables
	swept    bool               // what an earlier node left was compared
	changed  chan struct{}      // closed and replaced after each change
}

// Open adopts the fabric in a run directory or makes it.
func Open(dir Dir, dp Datapath, log *slog.Logger) (*Node, error) {
	f, err := openFabric(dir)
	if err != nil {
		return nil, err
	}
	return &Node{
		dir: dir, log: log, dp: dp, fabric: f,
		devices: map[uint32]*device{}, problems: map[uint32]error{}, changed: make(chan struct{}),
	}, nil
}

// Close lets go of everything and changes nothing: packets go on flowing.
func (n *Node) Close() { n.fabric.close() }

// Apply makes the machine be what the tables say. A device that can't be made
// is no error: it is reported by Status and tried again by Retry. An error
// means that the packet program does not have the tables.
func (n *Node) Apply(t *tables.Tables) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tables, n.unsynced = t, true
	return n.reconcile()
}

// Retry tries again what the last Apply could not do.
func (n *Node) Retry() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.tables == nil || !n.unsynced && len(n.problems) == 0 {
		return nil
	}
	return n.reconcile()
}

// Lost tells the node that a device in the fabric has gone by itself, as it
// does when the other side's namespace ends.
func (n *Node) Lost(name string, ifindex int) {
	number, ok := numberOf(name)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.devices[number]
	if d == nil || d.ifindex != ifindex {
		return // the node itself deleted it
	}
	n.forget(d)
	n.problems[number] = fmt.Errorf("device of %s is gone: its namespace %s ended", d.id, d.netns)
	n.log.Warn("device is gone", "eni", d.id, "netns", d.netns)
	n.unsynced = true
}

// forget drops a device that is no longer real.
func (n *Node) forget(d *device) {
	delete(n.devices, d.number)
	if err := n.fabric.ns.Do(func() error { return n.dp.Detach(d.ifindex) }); err != nil {
		n.log.Warn("detach packet program", "eni", d.id, "error", err)
	}
}

// reconcile makes the difference: first what is new, then the tables that
// refer to it, then it removes what nothing refers to any more.
func (n *Node) reconcile() error {
	want, problems := wanted(n.tables, n.dir)
	wantedBy := map[uint32]spec{}
	for _, s := range want {
		wantedBy[s.number] = s
		changed, err := n.ensure(s)
		if changed {
			n.unsynced = true
		}
		if err != nil {
			problems[s.number] = err
		}
	}
	n.report(problems)
	if n.unsynced {
		ifindexes := map[uint32]int{}
		for number, d := range n.devices {
			if _, ok := wantedBy[number]; ok {
				ifindexes[number] = d.ifindex
			}
		}
		if err := n.dp.Apply(n.tables, ifindexes); err != nil {
			return fmt.Errorf("apply tables to packet program: %w", err)
		}
		n.unsynced = false
	}
	gateway, _ := n.find(owned(n.tables, OwnerGateway))
	n.callers.Store(newCallers(n.tables, gateway))
	for number, d := range n.devices {
		if _, ok := wantedBy[number]; !ok {
			n.remove(d)
		}
	}
	if !n.swept {
		if err := n.sweep(wantedBy); err != nil {
			return err
		}
		n.swept = true
	}
	close(n.changed)
	n.changed = make(chan struct{})
	return nil
}

// report keeps the problems and logs those that are new.
func (n *Node) report(problems map[uint32]error) {
	for number, err := range problems {
		if old := n.problems[number]; old == nil || old.Error() != err.Error() {
			n.log.Error("device is missing", "error", err)
		}
	}
	n.problems = problems
}

// ensure makes one device what the spec says, and tells whether the packet
// program's tables have to name another device than before.
func (n *Node) ensure(s spec) (changed bool, err error) {
	d := n.devices[s.number]
	if d != nil && d.spec.equal(s) {
		return false, nil
	}
	if d != nil && d.place == s.place && slices.Equal(d.locals, s.locals) && n.fabric.swap(d, s) == nil {
		d.extra = s.extra
		return false, nil
	}
	if d != nil && d.place != s.place {
		n.remove(d)
	}
	made, err := n.fabric.plug(s)
	if err == nil {
		err = n.fabric.ns.Do(func() error { return n.dp.Attach(made.ifindex) })
	}
	if err != nil {
		if d != nil {
			n.forget(d)
		}
		return d != nil, err
	}
	n.devices[s.number] = made
	return d == nil || d.ifindex != made.ifindex, nil
}

// remove deletes a device, and with it the namespace if the node made it. A
// failure is logged: the sweep of the next start tries again.
func (n *Node) remove(d *device) {
	n.forget(d)
	if err := n.fabric.unplug(d.number); err != nil {
		n.log.Error("remove device", "eni", d.id, "error", err)
	}
	if d.own {
		if err := removeNamespace(d.netns); err != nil {
			n.log.Error("remove namespace", "eni", d.id, "error", err)
		}
	}
}

// killPatience is how long the kernel may take to end killed processes.
const killPatience = 5 * time.Second

// removeNamespace ends what runs in a namespace and deletes it.
func removeNamespace(path string) error {
	ns, err := netns.Open(path)
	if err == nil {
		defer ns.Close()
		err = netns.Kill(ns.ID(), killPatience)
	} else if errors.Is(err, os.ErrNotExist) || errors.Is(err, netns.ErrNotNamespace) {
		err = nil
	}
	return errors.Join(err, netns.Delete(path))
}

// sweep removes the devices and namespaces that an earlier node left and that
// are not wanted now.
func (n *Node) sweep(want map[uint32]spec) error {
	plugged, err := n.fabric.plugged()
	if err != nil {
		return err
	}
	for number, ifindex := range plugged {
		if n.devices[number] == nil {
			n.remove(&device{spec: spec{place: place{number: number, id: hostName(number)}}, ifindex: ifindex})
		}
	}
	files, err := os.ReadDir(n.dir.Namespaces())
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	keep := map[string]bool{n.dir.Fabric(): true}
	for s := range maps.Values(want) {
		keep[s.netns] = true
	}
	for _, f := range files {
		if path := n.dir.Namespace(f.Name()); !keep[path] {
			if err := removeNamespace(path); err != nil {
				n.log.Error("remove namespace", "path", path, "error", err)
			}
		}
	}
	return nil
}
