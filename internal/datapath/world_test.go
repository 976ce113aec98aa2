package datapath

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/test/tap"
)

// enterWorld moves the test into network and mount namespaces of its own, with
// a bpffs mounted at the directory it returns. They end with the test's
// thread, even if the test is killed.
func enterWorld(t testing.TB) (bpffs string) {
	if os.Getuid() != 0 {
		t.Fatal("needs root")
	}
	bpffs = t.TempDir()
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		t.Fatalf("unshare: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("make mounts private: %v", err)
	}
	if err := unix.Mount("bpffs", bpffs, "bpf", 0, ""); err != nil {
		t.Fatalf("mount bpffs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(bpffs, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount bpffs: %v", err)
		}
	})
	return bpffs
}

// world is a data plane on which single packets are run.
type world struct {
	testing.TB
	*Datapath
	options Options
	tables  *tables.Tables
	devices map[uint32]int
	flows   map[bpf.FlowKey]bpf.Flow
	drops   map[string]uint64
	tap     *tap.Tap
}

// newWorld brings up a data plane with small tables, and devices for the ENIs
// of the topology that have one.
func newWorld(t testing.TB) *world {
	w := &world{TB: t, options: Options{PinDir: filepath.Join(enterWorld(t), "isthmus"), MaxFlows: 16}}
	w.tables = topology()
	w.devices = map[uint32]int{}
	for i := range w.tables.ENIs {
		if e := &w.tables.ENIs[i]; e.Device != nil {
			w.devices[e.Number] = addDevice(t, fmt.Sprintf("eni%d", e.Number))
		}
	}
	w.open()
	t.Cleanup(func() { w.Close() })
	w.apply()
	w.flows, w.drops = w.flowTable(), w.dropTable()
	var err error
	if w.tap, err = tap.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.tap.Close() })
	return w
}

func (w *world) open() {
	w.Helper()
	d, err := Open(w.options)
	if err != nil {
		w.Fatal(err)
	}
	w.Datapath = d
}

func addDevice(t testing.TB, name string) int {
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-in"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatalf("add device %s: %v", name, err)
	}
	for _, end := range []string{name, name + "-in"} {
		l, err := netlink.LinkByName(end)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}

func (w *world) apply() {
	w.Helper()
	if err := w.Apply(w.tables, w.devices); err != nil {
		w.Fatal(err)
	}
}

func (w *world) eni(number uint32) *tables.ENI {
	for i := range w.tables.ENIs {
		if w.tables.ENIs[i].Number == number {
			return &w.tables.ENIs[i]
		}
	}
	w.Fatalf("the topology has no ENI %d", number)
	return nil
}

// leadTo gives the balancer another target, in a set of another name: sets are
// what their names say.
func (w *world) leadTo(there string) {
	w.tables.TargetSets[0].ID++
	w.tables.TargetSets[0].Targets[0] = netip.MustParseAddrPort(there)
	w.tables.Members[0].Target = w.tables.TargetSets[0].Targets[0]
	for i := range w.tables.Listeners {
		w.tables.Listeners[i].Targets = w.tables.TargetSets[0].ID
	}
}

// Verdicts of the program, of linux/pkt_cls.h.
const (
	shot     = 2
	redirect = 7
)

// run gives the program a frame that the ENI's device sent.
func (w *world) run(eni uint32, frame []byte) (verdict uint32, out []byte) {
	w.Helper()
	// struct __sk_buff as far as ifindex, the eleventh word.
	context := make([]uint32, 11)
	context[10] = uint32(w.devices[eni])
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: context}
	verdict, err := w.Program().Run(&o)
	if err != nil {
		w.Fatalf("run program: %v", err)
	}
	return verdict, o.DataOut
}

func (w *world) flowTable() map[bpf.FlowKey]bpf.Flow {
	w.Helper()
	all := map[bpf.FlowKey]bpf.Flow{}
	for e, err := range w.entries() {
		if err != nil {
			w.Fatal(err)
		}
		all[e.key] = e.flow
	}
	return all
}

func (w *world) dropTable() map[string]uint64 {
	w.Helper()
	drops, err := w.Drops()
	if err != nil {
		w.Fatal(err)
	}
	all := map[string]uint64{}
	for _, d := range drops {
		all[fmt.Sprintf("%s of %d", d.Reason, d.ENI)] = d.Packets
	}
	return all
}

// changed returns what became different of the flow table and the counters
// since it was last asked, one line each, sorted.
func (w *world) changed() []string {
	w.Helper()
	var lines []string
	flows, drops := w.flowTable(), w.dropTable()
	for k, f := range flows {
		old, ok := w.flows[k]
		switch {
		case !ok:
			lines = append(lines, "new "+w.describe(k, f))
		case old != f:
			old.LastSeen, old.Tick = f.LastSeen, f.Tick // its own test
			if old != f {
				lines = append(lines, "now "+w.describe(k, f))
			}
		}
	}
	for k, f := range w.flows {
		if _, ok := flows[k]; !ok {
			lines = append(lines, "gone "+w.describe(k, f))
		}
	}
	for _, d := range slices.Sorted(maps.Keys(drops)) {
		if n := drops[d] - w.drops[d]; n != 0 {
			lines = append(lines, fmt.Sprintf("%d %s", n, d))
		}
	}
	w.flows, w.drops = flows, drops
	slices.Sort(lines)
	return lines
}

// describe writes an entry as in
//
//	tcp eni1 10.0.0.10:40000 > 10.0.0.20:80 = eni2 10.0.0.10:40000 > 10.0.0.20:80 idle 350 src dst 1p 60b
//
// with the words of its flags, and its epoch where it isn't the current one.
func (w *world) describe(k bpf.FlowKey, f bpf.Flow) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s > %s = %s %s > %s idle %d", protocolNames[k.Proto],
		w.device(k.Ifindex), addrPort(k.Src, k.Sport), addrPort(k.Dst, k.Dport),
		w.device(f.Ifindex), addrPort(f.Src, f.Sport), addrPort(f.Dst, f.Dport), f.Idle)
	for i, word := range []string{"reverse", "nat", "src", "dst", "fin", "rst", "replied"} {
		if f.Flags>>i&1 != 0 {
			b.WriteString(" " + word)
		}
	}
	fmt.Fprintf(&b, " of %d %dp %db", f.Eni, f.Packets, f.Bytes)
	if current, err := w.epoch(bpf.EpochCurrent); err != nil || f.Epoch != current {
		b.WriteString(" stale")
	}
	return b.String()
}

var protocolNames = map[uint8]string{tables.TCP: "tcp", tables.UDP: "udp", tables.ICMP: "icmp"}

func (w *world) device(ifindex uint32) string {
	for eni, i := range w.devices {
		if i == int(ifindex) {
			return fmt.Sprintf("eni%d", eni)
		}
	}
	return fmt.Sprintf("device%d", ifindex)
}

// expect runs a frame and holds everything that came of it to what is wanted:
// the frame that went out (nil: none), and the changes of state.
func (w *world) expect(eni uint32, frame, out []byte, changes ...string) {
	w.Helper()
	w.expectEnd(eni, frame, out, 0, nil, changes...)
}

// expectEnd does so where other frames are sent to another ENI as well.
func (w *world) expectEnd(eni uint32, frame, out []byte, other uint32, others [][]byte, changes ...string) {
	w.Helper()
	verdict, got := w.run(eni, frame)
	switch {
	case out == nil && verdict != shot:
		w.Errorf("verdict %d, want the packet dropped; it became\n%s", verdict, hex.Dump(got))
	case out != nil && verdict != redirect:
		w.Errorf("verdict %d, want the packet redirected", verdict)
	case out != nil && string(got) != string(out):
		w.Errorf("frame became\n%swant\n%s", hex.Dump(got), hex.Dump(out))
	}
	var told []tap.Frame
	for _, f := range others {
		told = append(told, tap.Frame{Device: w.devices[other], Data: f})
	}
	if sent, err := w.tap.Sent(); err != nil || !reflect.DeepEqual(sent, told) {
		w.Errorf("%v; sent besides:\n%s\nwant:\n%s", err, dump(sent), dump(told))
	}
	slices.Sort(changes)
	if got := w.changed(); !slices.Equal(got, changes) {
		w.Errorf("changes of state:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(changes, "\n  "))
	}
}

func dump(frames []tap.Frame) string {
	var b strings.Builder
	for _, f := range frames {
		fmt.Fprintf(&b, "on device %d\n%s", f.Device, hex.Dump(f.Data))
	}
	return b.String()
}
