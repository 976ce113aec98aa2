package datapath

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// dump reads the tables that Apply writes back from the kernel.
func (w *world) dump() *rows {
	w.Helper()
	t := newRowTables(w.maps)
	if err := t.read(); err != nil {
		w.Fatal(err)
	}
	r := &rows{
		enis: t.enis.have, sources: t.sources.have, mappings: t.mappings.have, routes: t.routes.have,
		rules: t.rules.have, ranges: t.ranges.have, listeners: t.listeners.have, members: t.members.have,
		sets: map[uint64][]bpf.Target{},
	}
	for name := range t.sets.have {
		var set *ebpf.Map
		if err := w.maps[bpf.MapTargetSets].Lookup(name, &set); err != nil {
			w.Fatal(err)
		}
		r.sets[name] = make([]bpf.Target, set.MaxEntries())
		for i := range r.sets[name] {
			if err := set.Lookup(uint32(i), &r.sets[name][i]); err != nil {
				w.Fatal(err)
			}
		}
		set.Close()
	}
	return r
}

func (r *rows) equal(o *rows) bool {
	return maps.Equal(r.enis, o.enis) && maps.Equal(r.sources, o.sources) && maps.Equal(r.mappings, o.mappings) &&
		maps.Equal(r.routes, o.routes) && maps.Equal(r.rules, o.rules) && maps.Equal(r.ranges, o.ranges) &&
		maps.Equal(r.listeners, o.listeners) && maps.Equal(r.members, o.members) &&
		maps.EqualFunc(r.sets, o.sets, slices.Equal)
}

// expectTables holds what is in the kernel, and the epoch, to what is wanted.
func (w *world) expectTables(epoch uint32) {
	w.Helper()
	want, err := makeRows(w.tables, w.devices)
	if err != nil {
		w.Fatal(err)
	}
	if got := w.dump(); !got.equal(want) {
		w.Errorf("tables hold\n%+v\nwant\n%+v", got, want)
	}
	if got, err := w.epoch(bpf.EpochCurrent); got != epoch || err != nil {
		w.Errorf("epoch is %d (%v), want %d", got, err, epoch)
	}
}

func TestApply(t *testing.T) {
	w := newWorld(t)
	w.expectTables(1)
	w.apply()
	w.expectTables(1)
	w.tables = topology() // the same once more
	w.apply()
	w.expectTables(1)

	steps := []func(){
		func() { w.eni(client).Ingress = denyAll },
		func() { w.eni(shadow).Carrier = client },
		func() { w.eni(client).AnySource = true },
		func() { delete(w.devices, server) },
		func() { w.eni(target).Addresses = append(w.eni(target).Addresses, addr("10.0.7.7")) },
		func() { w.tables.RouteTables[0].Routes = w.tables.RouteTables[0].Routes[:1] },
		func() { w.tables.RouteTables[1].Routes[0].Kind = tables.Blackhole },
		func() { w.tables.RuleSets = w.tables.RuleSets[:1] },
		func() { w.tables.Listeners[0].PreserveClient = true },
		func() { w.tables.Members = nil },
		func() {
			w.tables.TargetSets = append(w.tables.TargetSets, tables.TargetSet{
				ID: 0x77, Targets: []netip.AddrPort{ap("10.0.0.1:1"), ap("10.0.0.2:2")}, Slots: []uint16{0, 1, 1, 0, 1},
			})
		},
		func() { w.tables.TargetSets = w.tables.TargetSets[1:] },
		func() { w.tables = &tables.Tables{} },
		func() { w.tables = topology() },
	}
	for i, step := range steps {
		step()
		w.apply()
		w.expectTables(uint32(i) + 2)
	}
}

func TestApplyContradiction(t *testing.T) {
	w := newWorld(t)
	w.eni(server).Addresses[0] = addr("10.0.0.10")
	if err := w.Apply(w.tables, w.devices); err == nil {
		t.Error("Apply of two ENIs with one address succeeded, want an error")
	}
	w.eni(server).Addresses[0] = addr("10.0.0.20")
	w.expectTables(1)
}

// TestApplyInterrupted: whoever takes over after a crash between the last row
// and the epoch moves the epoch.
func TestApplyInterrupted(t *testing.T) {
	w := newWorld(t)
	if err := w.setEpoch(bpf.EpochPending, 1); err != nil {
		t.Fatal(err)
	}
	w.Close()
	w.open()
	w.apply()
	w.expectTables(2)
	w.apply()
	w.expectTables(2)
}

// TestRestart: a second process finds tables and flows as the first left them.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	syn := tcp("10.0.0.10:40000", "10.0.0.50:80", "S")
	w.run(client, syn.from(client))
	w.changed()
	w.Close()
	w.options.MaxFlows = 1024 // of no effect on what is there
	w.open()
	w.apply()
	w.expectTables(1)
	if n := w.maps[bpf.MapFlows].MaxEntries(); n != 16 {
		t.Errorf("the flow table has %d entries, want 16 as before", n)
	}
	w.expect(target, tcp("10.0.0.10:8080", "10.0.0.100:40000", "SA").from(target), tcp("10.0.0.50:80", "10.0.0.10:40000", "SA").to(client),
		"now tcp eni4 10.0.0.10:8080 > 10.0.0.100:40000 = eni1 10.0.0.50:80 > 10.0.0.10:40000 idle 300 reverse nat src dst replied of 4 1p 54b")
}

func TestOtherSchema(t *testing.T) {
	w := newWorld(t)
	w.Close()
	m, err := ebpf.LoadPinnedMap(filepath.Join(w.options.PinDir, schemaPin), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Put(uint32(0), uint64(1)); err != nil {
		t.Fatal(err)
	}
	_, err = Open(w.options)
	var refused *SchemaError
	if !errors.As(err, &refused) || refused.Have != 1 || refused.Want == 1 {
		t.Fatalf("Open of another schema: %v, want a SchemaError", err)
	}
	if err := Remove(w.options.PinDir); err != nil {
		t.Fatal(err)
	}
	w.open()
}

// TestSchema: the number moves with a layout, and with nothing else.
func TestSchema(t *testing.T) {
	base := func() *ebpf.CollectionSpec {
		spec, err := bpf.Load()
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	want := schema(base())
	same := base()
	same.Maps[bpf.MapFlows].MaxEntries = 7
	same.Maps[bpf.MapScratch].ValueSize++
	if got := schema(same); got != want {
		t.Errorf("schema with other sizes is %x, want %x", got, want)
	}
	for name, change := range map[string]func(*ebpf.CollectionSpec){
		"value":      func(s *ebpf.CollectionSpec) { s.Maps[bpf.MapFlows].ValueSize++ },
		"field":      func(s *ebpf.CollectionSpec) { s.Maps[bpf.MapFlows].Value = s.Maps[bpf.MapFlows].Key },
		"kind":       func(s *ebpf.CollectionSpec) { s.Maps[bpf.MapFlows].Type = ebpf.LRUHash },
		"inner":      func(s *ebpf.CollectionSpec) { s.Maps[bpf.MapTargetSets].InnerMap.ValueSize++ },
		"fewer maps": func(s *ebpf.CollectionSpec) { delete(s.Maps, bpf.MapMembers) },
	} {
		other := base()
		change(other)
		if schema(other) == want {
			t.Errorf("schema is the same with another %s", name)
		}
	}
}

// TestUnfinished: what a bring-up left when it was killed is removed.
func TestUnfinished(t *testing.T) {
	bpffs := enterWorld(t)
	dir := filepath.Join(bpffs, "isthmus")
	if err := os.MkdirAll(filepath.Join(dir+temporary+"1", linksDir), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Options{PinDir: dir, MaxFlows: 16})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if left, err := filepath.Glob(dir + "*"); err != nil || !slices.Equal(left, []string{dir}) {
		t.Errorf("the bpffs holds %v (%v), want %s alone", left, err, dir)
	}
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(dir + "*"); err != nil || len(left) != 0 {
		t.Errorf("after Remove the bpffs holds %v (%v), want nothing", left, err)
	}
	if err := Remove(dir); err != nil {
		t.Errorf("Remove of nothing: %v", err)
	}
}

func TestPinDir(t *testing.T) {
	bpffs := enterWorld(t)
	for _, dir := range []string{t.TempDir() + "/isthmus", bpffs + "/missing/isthmus", bpffs + "/is.thmus"} {
		if _, err := Open(Options{PinDir: dir, MaxFlows: 16}); err == nil {
			t.Errorf("Open in %s succeeded, want an error", dir)
		}
	}
}
