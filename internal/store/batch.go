package store

import (
	"maps"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Limits of one etcd transaction that joins several callers'. One caller's
// alone may be larger, up to what etcd accepts.
const (
	maxBatchOps   = 100 // etcd's default limit is 128
	maxBatchBytes = 1 << 20
)

// batch is transactions of several callers, run one after the other on each
// other's results, that are committed together: one etcd transaction and so
// one write to disk for all of them.
type batch struct {
	base   *Snapshot // what the first one saw
	state  *Snapshot // what the next one sees
	reads  readSet
	writes writeSet
}

func newBatch(base *Snapshot) *batch {
	return &batch{base: base, state: base, reads: readSet{}, writes: writeSet{}}
}

// fits reports whether tx can still join the batch.
func (b *batch) fits(tx *Tx) bool {
	if len(b.writes) == 0 {
		return true
	}
	both := maps.Clone(b.writes)
	maps.Copy(both, tx.writes)
	return len(both)+len(both.tables()) <= maxBatchOps && both.size() <= maxBatchBytes
}

// add takes over what tx did.
func (b *batch) add(tx *Tx) {
	b.state = tx.state
	b.reads.add(tx.reads)
	maps.Copy(b.writes, tx.writes)
}

// comparisons are the conditions under which what was read is still true.
func (b *batch) comparisons() []clientv3.Cmp {
	var list []clientv3.Cmp
	for def, keys := range b.reads {
		if keys == nil {
			list = append(list, clientv3.Compare(clientv3.ModRevision(versionKey(def)), "=", b.base.table(def).version))
		}
		for key := range keys {
			revision := int64(0)
			if e := b.base.table(def).rows.get(key); e != nil {
				revision = e.revision
			}
			list = append(list, clientv3.Compare(clientv3.ModRevision(rowKey(def, key)), "=", revision))
		}
	}
	return list
}

// operations write the rows and the version of each table that changed.
func (b *batch) operations() []clientv3.Op {
	list := make([]clientv3.Op, 0, len(b.writes)+4)
	for id, w := range b.writes {
		if w.entry == nil {
			list = append(list, clientv3.OpDelete(rowKey(id.def, id.key)))
		} else {
			list = append(list, clientv3.OpPut(rowKey(id.def, id.key), string(w.data)))
		}
	}
	for def := range b.writes.tables() {
		list = append(list, clientv3.OpPut(versionKey(def), ""))
	}
	return list
}

// committed returns the state after the batch, stamped with the revision that
// etcd gave it.
func (b *batch) committed(revision int64) *Snapshot {
	for _, w := range b.writes {
		if w.entry != nil {
			w.entry.revision = revision
		}
	}
	for def := range b.writes.tables() {
		b.state.tables[def.index].version = revision
	}
	b.state.revision = revision
	return b.state
}
