package store

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"sync"
)

// Row is what a table holds: a pointer to a plain data type that JSON can
// carry. Key must be constant for the life of the row and not empty.
type Row interface{ Key() string }

// Table is one table of rows of type T. Its methods take a [Reader] or a [Tx],
// so a Table itself holds no data and is declared once, as a package variable.
type Table[T any] struct{ def *definition }

// definition is what the store knows of a table without its type.
type definition struct {
	index  int // place in Snapshot.tables
	name   string
	decode func(data []byte) (any, error)
	key    func(value any) string
}

// definitions are all tables of the program, filled while package variables
// are initialised.
var definitions struct {
	sync.RWMutex
	byName map[string]*definition
	count  int
}

// NewTable declares a table. Names are unique, not empty, and hold neither a
// slash nor a leading dot; it panics otherwise. Declare tables in package
// variables: a DB that is open already does not see the stored rows of a table
// declared later.
func NewTable[T any, P interface {
	*T
	Row
}](name string) Table[T] {
	if name == "" || name[0] == '.' || strings.Contains(name, "/") {
		panic(fmt.Sprintf("declare table: bad name %q", name))
	}
	def := &definition{
		name: name,
		decode: func(data []byte) (any, error) {
			v := new(T)
			if err := json.Unmarshal(data, v); err != nil {
				return nil, err
			}
			return v, nil
		},
		key: func(v any) string { return P(v.(*T)).Key() },
	}
	definitions.Lock()
	defer definitions.Unlock()
	if definitions.byName == nil {
		definitions.byName = map[string]*definition{}
	}
	if definitions.byName[name] != nil {
		panic(fmt.Sprintf("declare table: %q is declared twice", name))
	}
	def.index = definitions.count
	definitions.count++
	definitions.byName[name] = def
	return Table[T]{def}
}

// Reader is what rows can be read from: a [Snapshot] or a [Tx]. Rows read from
// a Snapshot are shared and must not be changed; rows read from a Tx by Get and
// List are the caller's own.
type Reader interface {
	// get and scan return shared rows; own makes one the caller's.
	get(def *definition, key string) any
	scan(def *definition, prefix string) iter.Seq[*entry]
	own(value any) any
}

// Get returns the row with the key, if there is one.
func (t Table[T]) Get(r Reader, key string) (*T, bool) {
	v := r.get(t.def, key)
	if v == nil {
		return nil, false
	}
	return r.own(v).(*T), true
}

// List returns all rows, sorted by key.
func (t Table[T]) List(r Reader) []*T { return t.ListPrefix(r, "") }

// ListPrefix returns the rows whose key begins with prefix, sorted by key.
func (t Table[T]) ListPrefix(r Reader, prefix string) []*T {
	var list []*T
	for e := range r.scan(t.def, prefix) {
		list = append(list, r.own(e.value).(*T))
	}
	return list
}

// Scan yields all rows, sorted by key, without copying them: they are
// read-only even when r is a Tx. It is the cheap way to search a table. The
// table must not be written during the scan of a Tx; what is written is not
// seen by it.
func (t Table[T]) Scan(r Reader) iter.Seq[*T] { return t.ScanPrefix(r, "") }

// ScanPrefix is [Table.Scan] of the rows whose key begins with prefix.
func (t Table[T]) ScanPrefix(r Reader, prefix string) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for e := range r.scan(t.def, prefix) {
			if !yield(e.value.(*T)) {
				return
			}
		}
	}
}

// Put writes the row as it is now, in the place of any with the same key. A
// row that can't be stored (empty key, not expressible in JSON) makes the
// transaction fail.
func (t Table[T]) Put(tx *Tx, v *T) { tx.put(t.def, v) }

// Delete removes the row with the key, if there is one.
func (t Table[T]) Delete(tx *Tx, key string) { tx.delete(t.def, key) }
