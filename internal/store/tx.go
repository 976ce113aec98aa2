package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
)

// Tx is one run of a transaction's function: the state that it started from
// with its own writes on top, and what it read. It is valid only while the
// function runs and not safe for concurrent use.
type Tx struct {
	state  *Snapshot
	reads  readSet
	writes writeSet
	err    error // first failed write
}

type rowID struct {
	def *definition
	key string
}

// write is the new state of a row; data is nil when the row is deleted.
type write struct {
	data  []byte
	entry *entry
}

type writeSet map[rowID]write

func (w writeSet) tables() map[*definition]bool {
	tables := map[*definition]bool{}
	for id := range w {
		tables[id.def] = true
	}
	return tables
}

// size is about how many bytes the writes take in a request.
func (w writeSet) size() int {
	n := 0
	for id, wr := range w {
		n += len(id.key) + len(wr.data)
	}
	return n
}

func newTx(state *Snapshot) *Tx {
	return &Tx{state: state.edit(), reads: readSet{}, writes: writeSet{}}
}

func (tx *Tx) get(def *definition, key string) any {
	tx.reads.key(def, key)
	return tx.state.get(def, key)
}

func (tx *Tx) scan(def *definition, prefix string) iter.Seq[*entry] {
	tx.reads.table(def)
	return tx.state.scan(def, prefix)
}

func (tx *Tx) own(value any) any { return clone(value) }

func (tx *Tx) put(def *definition, v any) {
	key := def.key(v)
	data, err := json.Marshal(v)
	if err == nil && key == "" {
		err = errors.New("the key is empty")
	}
	// What is shown must be what a restart would read back, so the row in
	// memory is decoded from what is stored.
	var stored any
	if err == nil {
		stored, err = def.decode(data)
	}
	if err == nil && def.key(stored) != key {
		err = errors.New("the key is not part of what is stored")
	}
	if err != nil {
		tx.fail(fmt.Errorf("put row %s/%s: %w", def.name, key, err))
		return
	}
	t := &tx.state.tables[def.index]
	if old := t.rows.get(key); old != nil && reflect.DeepEqual(old.value, stored) {
		tx.reads.key(def, key) // nothing to write as long as that is so
		return
	}
	e := &entry{key: key, value: stored}
	tx.writes[rowID{def, key}] = write{data: data, entry: e}
	t.rows = t.rows.put(e)
}

func (tx *Tx) delete(def *definition, key string) {
	t := &tx.state.tables[def.index]
	// Whether there is something to delete is a read: without it, a row that
	// another process inserts would survive a deletion that came after it.
	tx.reads.key(def, key)
	if t.rows.get(key) == nil {
		return
	}
	tx.writes[rowID{def, key}] = write{}
	t.rows = t.rows.delete(key)
}

func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// counter is a persistent counter; Value is the last number given out.
type counter struct {
	Name  string `json:"name"`
	Value uint32 `json:"value"`
}

func (c *counter) Key() string { return c.Name }

var counters = NewTable[counter]("counters")

// Next returns the next number of the named counter: 1, 2, 3 and so on. A
// number is used up only if the transaction commits.
func (tx *Tx) Next(name string) uint32 {
	c, ok := counters.Get(tx, name)
	if !ok {
		c = &counter{Name: name}
	}
	if c.Value == math.MaxUint32 {
		tx.fail(fmt.Errorf("take number: counter %s is exhausted", name))
		return 0
	}
	c.Value++
	counters.Put(tx, c)
	return c.Value
}

// maxKeyReads is the number of keys of one table that a transaction compares
// one by one; beyond it, it compares the table's version. It bounds the
// comparisons, of which etcd by default allows 128 a transaction.
const maxKeyReads = 4

// readSet is what was read, by table: some keys, or (nil) the whole table.
type readSet map[*definition]map[string]bool

func (r readSet) table(def *definition) { r[def] = nil }

func (r readSet) key(def *definition, key string) {
	keys, seen := r[def]
	switch {
	case !seen:
		r[def] = map[string]bool{key: true}
	case keys == nil:
	case len(keys) < maxKeyReads || keys[key]:
		keys[key] = true
	default:
		r.table(def)
	}
}

// add adds what another set holds.
func (r readSet) add(other readSet) {
	for def, keys := range other {
		if keys == nil {
			r.table(def)
		}
		for key := range keys {
			r.key(def, key)
		}
	}
}
