package datapath

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/bpf"
)

// targetSets is the table of target sets: tables themselves. A set is named by
// its content and so is only ever added, when it is filled, or removed.
type targetSets struct {
	m    *ebpf.Map
	have map[uint64]struct{}
}

func newTargetSets(maps map[string]*ebpf.Map) *targetSets {
	return &targetSets{m: maps[bpf.MapTargetSets], have: map[uint64]struct{}{}}
}

func (t *targetSets) read() error {
	var name uint64
	var id ebpf.MapID
	it := t.m.Iterate()
	for it.Next(&name, &id) {
		t.have[name] = struct{}{}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read table %s: %w", bpf.MapTargetSets, err)
	}
	return nil
}

func (t *targetSets) to(want map[uint64][]bpf.Target) change { return setChange{t, want} }

type setChange struct {
	*targetSets
	want map[uint64][]bpf.Target
}

func (c setChange) needed() bool {
	if len(c.have) != len(c.want) {
		return true
	}
	for name := range c.want {
		if _, ok := c.have[name]; !ok {
			return true
		}
	}
	return false
}

func (c setChange) add() error {
	for name, targets := range c.want {
		if _, ok := c.have[name]; ok {
			continue
		}
		if err := c.put(name, targets); err != nil {
			return fmt.Errorf("write target set %016x: %w", name, err)
		}
		c.have[name] = struct{}{}
	}
	return nil
}

func (c setChange) put(name uint64, targets []bpf.Target) error {
	set, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "target_set", Type: ebpf.Array, Flags: unix.BPF_F_INNER_MAP,
		KeySize: 4, ValueSize: uint32(unsafe.Sizeof(bpf.Target{})), MaxEntries: uint32(len(targets)),
	})
	if err != nil {
		return err
	}
	defer set.Close()
	keys := make([]uint32, len(targets))
	for i := range keys {
		keys[i] = uint32(i)
	}
	if _, err := set.BatchUpdate(keys, targets, nil); err != nil {
		return err
	}
	return c.m.Put(name, set)
}

func (c setChange) swap() error { return nil }

func (c setChange) remove() error {
	for name := range c.have {
		if _, ok := c.want[name]; ok {
			continue
		}
		if err := c.m.Delete(name); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("delete target set %016x: %w", name, err)
		}
		delete(c.have, name)
	}
	return nil
}
