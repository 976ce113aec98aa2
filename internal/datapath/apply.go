package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// rowTables are the tables that are written here, with their shadows.
type rowTables struct {
	enis      *table[uint32, bpf.ENI]
	endpoints *table[uint32, bpf.Endpoint]
	sources   *table[bpf.SourceKey, uint32]
	mappings  *table[bpf.MappingKey, uint32]
	routes    *table[bpf.RouteKey, bpf.Route]
	rules     *table[bpf.RuleKey, bpf.Rule]
	ranges    *table[bpf.RangeKey, bpf.Range]
	listeners *table[bpf.ListenerKey, bpf.Listener]
	members   *table[bpf.MemberKey, uint8]
	sets      *targetSets
}

func newRowTables(maps map[string]*ebpf.Map) rowTables {
	return rowTables{
		enis:      newTable[uint32, bpf.ENI](maps, bpf.MapENIs),
		endpoints: newTable[uint32, bpf.Endpoint](maps, bpf.MapEndpoints),
		sources:   newTable[bpf.SourceKey, uint32](maps, bpf.MapSources),
		mappings:  newTable[bpf.MappingKey, uint32](maps, bpf.MapMappings),
		routes:    newTable[bpf.RouteKey, bpf.Route](maps, bpf.MapRoutes),
		rules:     newTable[bpf.RuleKey, bpf.Rule](maps, bpf.MapRules),
		ranges:    newTable[bpf.RangeKey, bpf.Range](maps, bpf.MapRanges),
		listeners: newTable[bpf.ListenerKey, bpf.Listener](maps, bpf.MapListeners),
		members:   newTable[bpf.MemberKey, uint8](maps, bpf.MapMembers),
		sets:      newTargetSets(maps),
	}
}

// read fills the shadows from what is in the kernel.
func (t *rowTables) read() error {
	for _, r := range []interface{ read() error }{
		t.enis, t.endpoints, t.sources, t.mappings, t.routes, t.rules, t.ranges, t.listeners, t.members, t.sets,
	} {
		if err := r.read(); err != nil {
			return err
		}
	}
	return nil
}

// changes are listed so that what a row leads to comes before the row.
func (t *rowTables) changes(r *rows) []change {
	return []change{
		t.ranges.to(r.ranges),
		t.rules.to(r.rules),
		t.routes.to(r.routes),
		t.sets.to(r.sets),
		t.members.to(r.members),
		t.listeners.to(r.listeners),
		t.endpoints.to(r.endpoints),
		t.enis.to(r.enis),
		t.mappings.to(r.mappings),
		t.sources.to(r.sources),
	}
}

// Apply makes the tables in the kernel hold t. devices are the indices of the
// host sides of devices in the fabric's namespace, by ENI number; a NAT source
// is at its carrier's.
//
// Only the difference is written: first what is new, then what changed, then
// what goes. After that the epoch moves, which has every known flow evaluated
// anew by its next packet. Without a difference nothing is written. After an
// error, or the end of the process in the middle, the next Apply completes
// the work.
func (d *Datapath) Apply(t *tables.Tables, devices map[uint32]int) error {
	want, err := makeRows(t, devices)
	if err != nil {
		return fmt.Errorf("apply tables: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()

	changes := d.tables.changes(want)
	pending, err := d.epoch(bpf.EpochPending)
	if err != nil {
		return fmt.Errorf("apply tables: %w", err)
	}
	if pending == 0 && !anyNeeded(changes) {
		return nil
	}
	if err := d.setEpoch(bpf.EpochPending, 1); err != nil {
		return fmt.Errorf("apply tables: %w", err)
	}
	if err := applyChanges(changes); err != nil {
		return fmt.Errorf("apply tables: %w", err)
	}
	current, err := d.epoch(bpf.EpochCurrent)
	if err != nil {
		return fmt.Errorf("apply tables: %w", err)
	}
	if err := d.setEpoch(bpf.EpochCurrent, current+1); err != nil {
		return fmt.Errorf("apply tables: %w", err)
	}
	if err := d.setEpoch(bpf.EpochPending, 0); err != nil {
		return fmt.Errorf("apply tables: %w", err)
	}
	return nil
}

func anyNeeded(changes []change) bool {
	for _, c := range changes {
		if c.needed() {
			return true
		}
	}
	return false
}

func applyChanges(changes []change) error {
	for _, c := range changes {
		if err := c.add(); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := c.swap(); err != nil {
			return err
		}
	}
	for i := len(changes) - 1; i >= 0; i-- {
		if err := changes[i].remove(); err != nil {
			return err
		}
	}
	return nil
}

func (d *Datapath) epoch(slot bpf.EpochSlot) (uint32, error) {
	var v uint32
	if err := d.maps[bpf.MapEpoch].Lookup(slot, &v); err != nil {
		return 0, fmt.Errorf("read epoch: %w", err)
	}
	return v, nil
}

func (d *Datapath) setEpoch(slot bpf.EpochSlot, v uint32) error {
	if err := d.maps[bpf.MapEpoch].Put(slot, v); err != nil {
		return fmt.Errorf("write epoch: %w", err)
	}
	return nil
}
