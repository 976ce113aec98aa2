package datapath

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/isthmus-net/isthmus/bpf"
)

// Options say where the data plane is and how large it is when first brought up.
type Options struct {
	// PinDir is a directory on a bpffs; its parent exists. Its name has no
	// dots, which bpffs reserves.
	PinDir string
	// MaxFlows bounds the flow table; every flow takes two entries. Zero: the
	// program's own default. It has no effect on a table that is pinned already.
	MaxFlows uint32
}

// Datapath is the data plane of one machine.
type Datapath struct {
	dir  string
	prog *ebpf.Program
	maps map[string]*ebpf.Map

	mu     sync.Mutex // guards the shadows in tables, and the links
	tables rowTables
}

// Open brings the data plane up in o.PinDir, or takes over the one that is
// pinned there: its tables stay, and its program is replaced by this one. It
// returns a *SchemaError if the tables there are of another layout.
func Open(o Options) (*Datapath, error) {
	spec, err := bpf.Load()
	if err != nil {
		return nil, fmt.Errorf("read packet program: %w", err)
	}
	if o.MaxFlows != 0 {
		spec.Maps[bpf.MapFlows].MaxEntries = o.MaxFlows
		spec.Maps[bpf.MapDetails].MaxEntries = (o.MaxFlows + 1) / 2
	}
	if err := checkPinDir(o.PinDir); err != nil {
		return nil, err
	}
	maps, prog, err := openPinned(spec, o.PinDir)
	if errors.Is(err, errNothingPinned) {
		maps, prog, err = bringUp(spec, o.PinDir)
	}
	if err != nil {
		return nil, err
	}
	d := &Datapath{dir: o.PinDir, prog: prog, maps: maps, tables: newRowTables(maps)}
	if err := d.tables.read(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Program is the packet program, for running it on packets of one's own.
func (d *Datapath) Program() *ebpf.Program { return d.prog }

// Map is a table of the program by its name (bpf.MapFlows …).
func (d *Datapath) Map(name string) *ebpf.Map { return d.maps[name] }

// Close closes the handles. What is pinned stays, and packets keep flowing.
func (d *Datapath) Close() error { return closeAll(d.maps, d.prog) }

func closeAll(maps map[string]*ebpf.Map, prog *ebpf.Program) error {
	var errs []error
	for _, m := range maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(append(errs, prog.Close())...)
}
