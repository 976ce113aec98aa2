package store

import "iter"

// Snapshot is all tables as they were at one revision. It is immutable and
// safe for concurrent use, and so are the rows in it: they are shared and must
// not be changed.
type Snapshot struct {
	revision int64
	tables   []table // by definition.index; tables beyond its end are empty
}

// table is one table's rows and the revision that changed it last, as its
// version key has it.
type table struct {
	rows    rows
	version int64
}

// Revision is the etcd revision of the last change in the snapshot. It only
// grows.
func (s *Snapshot) Revision() int64 { return s.revision }

func (s *Snapshot) table(def *definition) table {
	if def.index >= len(s.tables) {
		return table{}
	}
	return s.tables[def.index]
}

func (s *Snapshot) get(def *definition, key string) any {
	if e := s.table(def).rows.get(key); e != nil {
		return e.value
	}
	return nil
}

func (s *Snapshot) scan(def *definition, prefix string) iter.Seq[*entry] {
	return s.table(def).rows.scan(prefix)
}

func (s *Snapshot) own(value any) any { return value }

// edit returns a copy of s whose tables can be assigned, with a place for
// every declared table.
func (s *Snapshot) edit() *Snapshot {
	definitions.RLock()
	n := definitions.count
	definitions.RUnlock()
	c := &Snapshot{revision: s.revision, tables: make([]table, n)}
	copy(c.tables, s.tables)
	return c
}
