package store

import (
	"iter"
	"slices"
	"strings"
)

// entry is one row. Its value is shared by all snapshots that hold it and is
// never changed once published.
type entry struct {
	key      string
	revision int64 // etcd revision that wrote it
	value    any   // *T of the table
}

// maxChunk bounds what a change of one row has to copy.
const maxChunk = 128

// rows is an immutable map of entries sorted by key: a sorted list of sorted,
// non-empty chunks. A change copies one chunk and the list of chunks and shares
// the rest.
type rows struct {
	chunks [][]*entry
	count  int
}

// newRows makes rows of entries that are sorted by key already.
func newRows(sorted []*entry) rows {
	r := rows{count: len(sorted)}
	for chunk := range slices.Chunk(sorted, maxChunk/2) {
		r.chunks = append(r.chunks, chunk)
	}
	return r
}

// chunkOf returns the index of the chunk that key belongs to; -1 if there are
// no chunks.
func (r rows) chunkOf(key string) int {
	i, found := slices.BinarySearchFunc(r.chunks, key, func(c []*entry, key string) int {
		return strings.Compare(c[0].key, key)
	})
	if !found && (i > 0 || len(r.chunks) == 0) {
		i--
	}
	return i
}

func search(chunk []*entry, key string) (int, bool) {
	return slices.BinarySearchFunc(chunk, key, func(e *entry, key string) int {
		return strings.Compare(e.key, key)
	})
}

// get returns the entry of key, or nil.
func (r rows) get(key string) *entry {
	c := r.chunkOf(key)
	if c < 0 {
		return nil
	}
	i, found := search(r.chunks[c], key)
	if !found {
		return nil
	}
	return r.chunks[c][i]
}

// put returns rows with e in the place of any entry of the same key.
func (r rows) put(e *entry) rows {
	c := r.chunkOf(e.key)
	if c < 0 {
		return rows{chunks: [][]*entry{{e}}, count: 1}
	}
	old := r.chunks[c]
	i, found := search(old, e.key)
	if found {
		chunk := slices.Clone(old)
		chunk[i] = e
		return r.replace(c, r.count, chunk)
	}
	chunk := make([]*entry, 0, len(old)+1)
	chunk = append(append(append(chunk, old[:i]...), e), old[i:]...)
	if len(chunk) <= maxChunk {
		return r.replace(c, r.count+1, chunk)
	}
	half := len(chunk) / 2
	return r.replace(c, r.count+1, chunk[:half:half], chunk[half:])
}

// delete returns rows without key.
func (r rows) delete(key string) rows {
	c := r.chunkOf(key)
	if c < 0 {
		return r
	}
	old := r.chunks[c]
	i, found := search(old, key)
	if !found {
		return r
	}
	if len(old) == 1 {
		return r.replace(c, r.count-1)
	}
	chunk := make([]*entry, 0, len(old)-1)
	return r.replace(c, r.count-1, append(append(chunk, old[:i]...), old[i+1:]...))
}

// replace returns rows with the given chunks in the place of chunk c.
func (r rows) replace(c, count int, with ...[]*entry) rows {
	chunks := make([][]*entry, 0, len(r.chunks)+1)
	chunks = append(append(append(chunks, r.chunks[:c]...), with...), r.chunks[c+1:]...)
	return rows{chunks: chunks, count: count}
}

// scan yields the entries whose key begins with prefix, sorted by key.
func (r rows) scan(prefix string) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		c := r.chunkOf(prefix)
		if c < 0 {
			return
		}
		i, _ := search(r.chunks[c], prefix)
		for ; c < len(r.chunks); c, i = c+1, 0 {
			for _, e := range r.chunks[c][i:] {
				if !strings.HasPrefix(e.key, prefix) || !yield(e) {
					return
				}
			}
		}
	}
}
