package trace

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/netns"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/test/tap"
)

// The results of the packet program (linux/pkt_cls.h).
const (
	actShot     = 2
	actRedirect = 7
)

// differentialFlows is small, so that a full table is an ordinary case.
const differentialFlows = 10

// TestProgramAgrees runs random packets over random topologies, which change
// under way, through the packet program and through Trace: both must come to
// the same verdict, the same bytes and the same flow table.
func TestProgramAgrees(t *testing.T) {
	k := newKernel(t)
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	err := k.ns.Enter()
	if err != nil {
		t.Fatal(err)
	}
	if k.tap, err = tap.Open(); err != nil {
		t.Fatal(err)
	}
	defer k.tap.Close()
	rapid.Check(t, k.check)
	if k.proxied == 0 {
		t.Error("no flow had a PROXY header")
	}
	if k.chained == 0 {
		t.Error("no flow went through a chain of load balancers")
	}
	t.Logf("through chains       %d, proxied %d, with their header acknowledged %d", k.chained, k.proxied, k.acked)
	for reason, ends := range k.ends {
		t.Logf("%-20s ended %d flows whose other end was told", reason, ends)
	}
	if len(k.ends) == 0 {
		t.Error("no flow ended so that its other end was told")
	}
	for reason, seen := range k.seen {
		t.Logf("%-20s %d", reason, seen)
	}
	// Rare ones have fixtures of their own in package datapath.
	for _, reason := range []bpf.DropReason{
		bpf.DropNone, bpf.DropSpoofed, bpf.DropSGEgress, bpf.DropBlackhole, bpf.DropNoPublicAddress,
		bpf.DropNoAddress, bpf.DropSGIngress, bpf.DropIdle, bpf.DropNoListener, bpf.DropUnrelated,
	} {
		if k.seen[reason] == 0 {
			t.Errorf("no packet met %s: the topologies are too poor", reason)
		}
	}
}

// kernel is the packet program in a namespace that has a device for every ENI
// a topology may have.
type kernel struct {
	t       *testing.T
	ns      *netns.NS
	dp      *datapath.Datapath
	devices map[uint32]int
	numbers map[uint32]uint32 // ENI by device
	seen    map[bpf.DropReason]int
	tap     *tap.Tap
	ends    map[bpf.DropReason]int // after which the other end was told
	chained int                    // flows seen to cross several balancers
	proxied int                    // … to have PROXY headers
	acked   int                    // … that their receivers have
}

func newKernel(t *testing.T) *kernel {
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mount bpffs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	k := &kernel{t: t, devices: map[uint32]int{}, numbers: map[uint32]uint32{}, seen: map[bpf.DropReason]int{}, ends: map[bpf.DropReason]int{}}
	holder, err := os.MkdirTemp("", "isthmus-trace-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(holder, "net")
	k.ns, err = netns.Create(path, k.makeDevices)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.ns.Close()
		if err := netns.Delete(path); err != nil {
			t.Error(err)
		}
		os.RemoveAll(holder)
	})
	if k.dp, err = datapath.Open(datapath.Options{PinDir: filepath.Join(dir, "trace"), MaxFlows: differentialFlows}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.dp.Close() })
	return k
}

func (k *kernel) makeDevices() error {
	for number := uint32(1); number <= 14; number++ {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("eni%d", number)}, PeerName: fmt.Sprintf("peer%d", number)}
		if err := netlink.LinkAdd(pair); err != nil {
			return err
		}
		link, err := netlink.LinkByName(pair.Name)
		if err != nil {
			return err
		}
		k.devices[number] = link.Attrs().Index
		k.numbers[uint32(link.Attrs().Index)] = number
		peer, err := netlink.LinkByName(pair.PeerName)
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.LinkSetUp(link), netlink.LinkSetUp(peer)); err != nil {
			return err
		}
	}
	return nil
}

// run puts a frame through the program as if it came from a device.
func (k *kernel) run(t *rapid.T, device uint32, frame []byte) (action uint32, out []byte) {
	type skb struct { // the start of struct __sk_buff
		Len, PktType, Mark, QueueMapping, Protocol, VLANPresent, VLANTCI, VLANProto, Priority, IngressIfindex, Ifindex uint32
		_                                                                                                              [37]uint32
	}
	in := skb{Ifindex: uint32(k.devices[device])}
	options := ebpf.RunOptions{Data: frame, DataOut: make([]byte, 2048), Context: in, Repeat: 1}
	action, err := k.dp.Program().Run(&options)
	if err != nil {
		t.Fatalf("run the packet program: %v", err)
	}
	return action, options.DataOut
}

// apply brings the tables in, and says which epoch they are.
func (k *kernel) apply(t *rapid.T, top *topology) uint32 {
	devices := map[uint32]int{}
	for _, number := range top.devices {
		devices[number] = k.devices[number]
	}
	if err := k.dp.Apply(top.tables, devices); err != nil {
		t.Fatalf("apply: %v", err)
	}
	var epoch uint32
	if err := k.dp.Map(bpf.MapEpoch).Lookup(bpf.EpochCurrent, &epoch); err != nil {
		t.Fatal(err)
	}
	return epoch
}

func (k *kernel) check(t *rapid.T) {
	k.forget(t)
	top := drawTopology(t)
	flows := NewFlows(differentialFlows)
	x := NewIndex(top.tables, k.apply(t, top))
	for range 60 {
		changed := rapid.IntRange(1, 12).Draw(t, "change") == 1
		if changed {
			top.change(t)
			x = NewIndex(top.tables, k.apply(t, top))
		}
		p, ok := drawPacket(t, top, x, flows, changed)
		if !ok {
			return
		}
		in := frame(k.t, &p)
		before := describe(flows)
		v := x.Trace(flows, p)
		if k.seen[v.Reason]++; v.Told != nil {
			k.ends[v.Reason]++
		}
		action, out := k.run(t, p.Device, in)
		told := func() string { return fmt.Sprintf("%+v\n  became %s %+v\nflows before:\n%s", p, v.Reason, v, before) }
		switch {
		case v.Reset:
			if want := answer(p).frame(k.t); action != actRedirect || !bytes.Equal(out, want) {
				t.Fatalf("%s\nwant a RST\n%x\ngot action %d\n%x", told(), want, action, out)
			}
		case v.Reason != bpf.DropNone:
			if action != actShot {
				t.Fatalf("%s\nthe program forwarded it", told())
			}
		default:
			if want := forwarded(k.t, p, v); action != actRedirect || !bytes.Equal(out, want) {
				t.Fatalf("%s\nwant\n%x\ngot action %d\n%x", told(), want, action, out)
			}
		}
		k.told(t, v.Told, told)
		if got, want := describe(k.flows(t, x)), describe(flows); got != want {
			t.Fatalf("%s\nthe flow table holds\n%s\nwant\n%s", told(), got, want)
		}
	}
}

// told holds the RSTs that the program sent by itself to those wanted.
func (k *kernel) told(t *rapid.T, want []Reset, about func() string) {
	sent, err := k.tap.Sent()
	if err != nil {
		t.Fatal(err)
	}
	if len(sent) != len(want) {
		t.Fatalf("%s\n%d RSTs were sent, want %+v", about(), len(sent), want)
	}
	for i, r := range want {
		if frame := r.frame(k.t); sent[i].Device != k.devices[r.Device] || !bytes.Equal(sent[i].Data, frame) {
			t.Fatalf("%s\nsent on device of ENI %d\n%x\nwant %+v\n%x", about(), k.numbers[uint32(sent[i].Device)], sent[i].Data, r, frame)
		}
	}
}

// forget empties the flow table.
func (k *kernel) forget(t *rapid.T) {
	for _, name := range []string{bpf.MapFlows, bpf.MapDetails} {
		m := k.dp.Map(name)
		var keys []bpf.FlowKey
		var key bpf.FlowKey
		value := make([]byte, m.ValueSize())
		for entries := m.Iterate(); entries.Next(&key, &value); {
			keys = append(keys, key)
		}
		for _, key := range keys {
			if err := m.Delete(key); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// flows reads the program's flow table.
func (k *kernel) flows(t *rapid.T, x *Index) *Flows {
	fs := NewFlows(differentialFlows)
	var key bpf.FlowKey
	var f bpf.Flow
	entries := k.dp.Map(bpf.MapFlows).Iterate()
	addr := func(a bpf.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a.Netip(), bpf.Port(port)) }
	for entries.Next(&key, &f) {
		has := func(flag bpf.FlowFlags) bool { return f.Flags&flag != 0 }
		fs.Entries[Key{k.numbers[key.Ifindex], addr(key.Src, key.Sport), addr(key.Dst, key.Dport), key.Proto}] = &Flow{
			Src: addr(f.Src, f.Sport), Dst: addr(f.Dst, f.Dport), Device: k.numbers[f.Ifindex], SMAC: f.Smac, DMAC: f.Dmac,
			ENI: f.Eni, Epoch: f.Epoch, Idle: f.Idle,
			Reverse: has(bpf.FlowReverse), Translated: has(bpf.FlowTranslated),
			TrackedSrc: has(bpf.FlowTrackedSrc), TrackedDst: has(bpf.FlowTrackedDst),
			Fin: has(bpf.FlowFIN), Rst: has(bpf.FlowRST), Replied: has(bpf.FlowReplied),
			Packets: f.Packets, Bytes: f.Bytes, Shift: f.Shift, ISS: f.Iss, Preamble: has(bpf.FlowPreamble),
		}
	}
	if err := entries.Err(); err != nil {
		t.Fatal(err)
	}
	var detail bpf.Detail
	entries = k.dp.Map(bpf.MapDetails).Iterate()
	for entries.Next(&key, &detail) {
		f := fs.Entries[Key{k.numbers[key.Ifindex], addr(key.Src, key.Sport), addr(key.Dst, key.Dport), key.Proto}]
		if f == nil {
			t.Fatalf("there is a detail of no flow: %+v", key)
		}
		for _, c := range detail.Chosen[:detail.Crossings] {
			f.Chosen = append(f.Chosen, addr(c.Addr, c.Port))
		}
		if detail.Length > 0 {
			f.preamble = preamble{
				Header: slices.Clone(detail.Preamble[:detail.Length]), Sent: detail.Sent != 0, Missing: detail.Missing != 0, Acked: detail.Acked != 0,
			}
			if k.proxied++; f.preamble.Acked {
				k.acked++
			}
		}
		if detail.Crossings > 1 {
			k.chained++
		}
	}
	if err := entries.Err(); err != nil {
		t.Fatal(err)
	}
	return fs
}

func describe(fs *Flows) string {
	var b bytes.Buffer
	for _, k := range sortedKeys(fs) {
		fmt.Fprintf(&b, "  %+v -> %+v\n", k, *fs.Entries[k])
	}
	return b.String()
}

// change alters the tables as the control plane might.
func (top *topology) change(t *rapid.T) {
	d := drawer{t, top.tables}
	if len(top.tables.ENIs) == 0 {
		return
	}
	e := &top.tables.ENIs[d.number("changed", 0, len(top.tables.ENIs)-1)]
	switch d.number("what changes", 0, 8) {
	case 0:
		e.Ingress = rapid.SampledFrom(top.tables.RuleSets).Draw(t, "new ingress").ID
	case 1:
		e.Egress = rapid.SampledFrom(top.tables.RuleSets).Draw(t, "new egress").ID
	case 2:
		if e = d.endpoint(); e != nil {
			e.Available = !e.Available
		}
	case 3:
		if n := len(top.tables.Members); n > 0 {
			i := d.number("member", 0, n-1)
			top.tables.Members = append(top.tables.Members[:i:i], top.tables.Members[i+1:]...)
		}
	case 4:
		if n := len(top.tables.Listeners); n > 0 {
			i := d.number("listener", 0, n-1)
			top.tables.Listeners = append(top.tables.Listeners[:i:i], top.tables.Listeners[i+1:]...)
		}
	case 5:
		r := &top.tables.RouteTables[d.number("route table", 0, len(top.tables.RouteTables)-1)]
		for i := range r.Routes {
			if r.Routes[i].Prefix.Bits() == 16 {
				r.Routes[i] = d.route(r.Routes[i].Prefix, tables.RouteKind(d.number("route kind", 1, 4)))
			}
		}
	case 6: // a loop, perhaps
		for i := range top.tables.ENIs {
			if n := &top.tables.ENIs[i]; e.Kind == tables.Endpoint && n.Kind == tables.LoadBalancer && d.chance("peer", 50) {
				e.Peer = n.Number
			}
		}
	default: // what is dialled is deleted
		top.tables.ENIs = slices.DeleteFunc(slices.Clone(top.tables.ENIs), func(o tables.ENI) bool {
			return o.Number == e.Number && (e.Kind == tables.Endpoint || e.Kind == tables.LoadBalancer)
		})
	}
}

// endpoint draws one of the endpoints; nil if there is none.
func (d drawer) endpoint() *tables.ENI {
	var all []*tables.ENI
	for i := range d.tables.ENIs {
		if e := &d.tables.ENIs[i]; e.Kind == tables.Endpoint {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return rapid.SampledFrom(all).Draw(d.t, "an endpoint")
}
