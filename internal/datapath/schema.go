package datapath

import (
	"fmt"
	"hash/fnv"
	"io"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// SchemaError says that the tables pinned in a directory have another layout
// than this program's. Whoever made them can go on; this program can't, until
// they are removed, which ends all flows.
type SchemaError struct {
	Dir        string
	Have, Want uint64
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("open data plane: tables in %s have layout %016x, this program's is %016x", e.Dir, e.Have, e.Want)
}

// schema is a number for the layout of the tables: kinds, and names, offsets
// and sizes of the fields in keys and values. The sizes of tables are no part
// of it.
func schema(spec *ebpf.CollectionSpec) uint64 {
	h := fnv.New64a()
	names := pinned(spec)
	slices.Sort(names)
	for _, name := range names {
		describeMap(h, name, spec.Maps[name])
	}
	return h.Sum64()
}

func describeMap(w io.Writer, name string, m *ebpf.MapSpec) {
	fmt.Fprintf(w, "%s %v %d %d %#x\n", name, m.Type, m.KeySize, m.ValueSize, m.Flags)
	describeType(w, m.Key)
	describeType(w, m.Value)
	if m.InnerMap != nil {
		describeMap(w, "inner", m.InnerMap)
	}
}

func describeType(w io.Writer, t btf.Type) {
	if t == nil {
		return
	}
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		fmt.Fprintf(w, "struct %d {\n", t.Size)
		for _, m := range t.Members {
			fmt.Fprintf(w, "%s at %d: ", m.Name, m.Offset)
			describeType(w, m.Type)
		}
		fmt.Fprintln(w, "}")
	case *btf.Array:
		fmt.Fprintf(w, "array %d of ", t.Nelems)
		describeType(w, t.Type)
	case *btf.Int:
		fmt.Fprintf(w, "int %d\n", t.Size)
	case *btf.Enum:
		fmt.Fprintf(w, "enum %d\n", t.Size)
	default:
		fmt.Fprintf(w, "%T\n", t)
	}
}

// pinSchema pins the number as a table of one entry, since nothing else can be
// stored on a bpffs.
func pinSchema(path string, schema uint64) error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: schemaPin, Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return fmt.Errorf("create table %s: %w", schemaPin, err)
	}
	defer m.Close()
	if err := m.Put(uint32(0), schema); err != nil {
		return fmt.Errorf("write table %s: %w", schemaPin, err)
	}
	if err := m.Pin(path); err != nil {
		return fmt.Errorf("pin table %s: %w", schemaPin, err)
	}
	return nil
}

func checkSchema(dir string, want uint64) error {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, schemaPin), nil)
	if err != nil {
		return fmt.Errorf("open pinned table %s: %w", schemaPin, err)
	}
	defer m.Close()
	var have uint64
	if err := m.Lookup(uint32(0), &have); err != nil {
		return fmt.Errorf("read table %s: %w", schemaPin, err)
	}
	if have != want {
		return &SchemaError{Dir: dir, Have: have, Want: want}
	}
	return nil
}
