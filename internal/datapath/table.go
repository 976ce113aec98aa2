package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// change is what a table needs to hold what it should. Adding comes first in
// all tables and removing last, so that no row that the program can reach
// leads to one that is not there.
type change interface {
	needed() bool
	add() error
	swap() error
	remove() error
}

// table is a table of the program with a shadow of what it holds.
type table[K, V comparable] struct {
	name string
	m    *ebpf.Map
	have map[K]V
}

func newTable[K, V comparable](maps map[string]*ebpf.Map, name string) *table[K, V] {
	return &table[K, V]{name: name, m: maps[name], have: map[K]V{}}
}

// read fills the shadow.
func (t *table[K, V]) read() error {
	var k K
	var v V
	it := t.m.Iterate()
	for it.Next(&k, &v) {
		t.have[k] = v
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read table %s: %w", t.name, err)
	}
	return nil
}

func (t *table[K, V]) to(want map[K]V) change { return tableChange[K, V]{t, want} }

type tableChange[K, V comparable] struct {
	*table[K, V]
	want map[K]V
}

func (c tableChange[K, V]) needed() bool {
	if len(c.have) != len(c.want) {
		return true
	}
	for k, v := range c.want {
		if old, ok := c.have[k]; !ok || old != v {
			return true
		}
	}
	return false
}

func (c tableChange[K, V]) add() error {
	for k, v := range c.want {
		if _, ok := c.have[k]; !ok {
			if err := c.put(k, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c tableChange[K, V]) swap() error {
	for k, v := range c.want {
		if c.have[k] != v {
			if err := c.put(k, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c tableChange[K, V]) put(k K, v V) error {
	if err := c.m.Put(k, v); err != nil {
		return fmt.Errorf("write row of table %s: %w", c.name, err)
	}
	c.have[k] = v
	return nil
}

func (c tableChange[K, V]) remove() error {
	for k := range c.have {
		if _, ok := c.want[k]; ok {
			continue
		}
		if err := c.m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("delete row of table %s: %w", c.name, err)
		}
		delete(c.have, k)
	}
	return nil
}
