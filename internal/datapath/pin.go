package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/bpf"
)

// Names in a directory of pins, besides those of the tables.
const (
	schemaPin  = "schema"
	programPin = "program"
	linksDir   = "links"

	// A directory that is not complete yet is called so, after its name to be.
	temporary = "-new-"
)

var errNothingPinned = errors.New("nothing is pinned")

// checkPinDir says what is wrong with a directory as a place for pins.
func checkPinDir(dir string) error {
	if strings.Contains(filepath.Base(dir), ".") {
		return fmt.Errorf("open data plane: %s: bpffs allows no dots in names", dir)
	}
	var s unix.Statfs_t
	parent := filepath.Dir(dir)
	if err := unix.Statfs(parent, &s); err != nil {
		return fmt.Errorf("open data plane: %s: %w", parent, err)
	}
	if s.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("open data plane: %s is not on a bpffs", parent)
	}
	return nil
}

// pinned returns the names of the tables that outlive a process.
func pinned(spec *ebpf.CollectionSpec) []string {
	var names []string
	for name := range spec.Maps {
		if name != bpf.MapScratch {
			names = append(names, name)
		}
	}
	return names
}

// bringUp creates everything and pins it in a directory that it renames to
// dir when it is complete.
func bringUp(spec *ebpf.CollectionSpec, dir string) (map[string]*ebpf.Map, *ebpf.Program, error) {
	stale, err := filepath.Glob(dir + temporary + "*")
	if err != nil {
		return nil, nil, fmt.Errorf("bring up data plane: %w", err)
	}
	for _, s := range stale {
		if err := os.RemoveAll(s); err != nil {
			return nil, nil, fmt.Errorf("remove unfinished data plane: %w", err)
		}
	}
	maps, prog, err := load(spec, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := pinAll(spec, maps, prog, dir); err != nil {
		closeAll(maps, prog)
		return nil, nil, err
	}
	return maps, prog, nil
}

func pinAll(spec *ebpf.CollectionSpec, maps map[string]*ebpf.Map, prog *ebpf.Program, dir string) (err error) {
	tmp := fmt.Sprintf("%s%s%d", dir, temporary, os.Getpid())
	if err := os.MkdirAll(filepath.Join(tmp, linksDir), 0o700); err != nil {
		return fmt.Errorf("pin data plane: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
		}
	}()
	for _, name := range pinned(spec) {
		if err := maps[name].Pin(filepath.Join(tmp, name)); err != nil {
			return fmt.Errorf("pin table %s: %w", name, err)
		}
	}
	if err := prog.Pin(filepath.Join(tmp, programPin)); err != nil {
		return fmt.Errorf("pin packet program: %w", err)
	}
	if err := pinSchema(filepath.Join(tmp, schemaPin), schema(spec)); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("pin data plane: %w", err)
	}
	return nil
}

// openPinned takes over what is pinned in dir. errNothingPinned if nothing is.
func openPinned(spec *ebpf.CollectionSpec, dir string) (map[string]*ebpf.Map, *ebpf.Program, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errNothingPinned
	}
	if err := checkSchema(dir, schema(spec)); err != nil {
		return nil, nil, err
	}
	old := map[string]*ebpf.Map{}
	defer func() {
		for _, m := range old {
			m.Close()
		}
	}()
	for _, name := range pinned(spec) {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err != nil {
			return nil, nil, fmt.Errorf("open pinned table %s: %w", name, err)
		}
		old[name] = m
		spec.Maps[name].MaxEntries = m.MaxEntries() // sizes are theirs who made them
	}
	maps, prog, err := load(spec, old)
	if err != nil {
		return nil, nil, err
	}
	if err := replaceProgram(dir, prog); err != nil {
		closeAll(maps, prog)
		return nil, nil, err
	}
	return maps, prog, nil
}

// replaceProgram swaps the program under every link. A link that fails keeps
// the old program, which works on the same tables.
func replaceProgram(dir string, prog *ebpf.Program) error {
	links, err := filepath.Glob(filepath.Join(dir, linksDir, "*"))
	if err != nil {
		return fmt.Errorf("replace packet program: %w", err)
	}
	for _, path := range links {
		l, err := link.LoadPinnedLink(path, nil)
		if err != nil {
			return fmt.Errorf("open pinned link: %w", err)
		}
		err = l.Update(prog)
		l.Close()
		// ENOLINK: its device has gone. Detach or Attach will remove the pin.
		if err != nil && !errors.Is(err, unix.ENOLINK) {
			return fmt.Errorf("replace packet program at %s: %w", path, err)
		}
	}
	tmp := filepath.Join(dir, programPin+temporary)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pin packet program: %w", err)
	}
	if err := prog.Pin(tmp); err != nil {
		return fmt.Errorf("pin packet program: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, programPin)); err != nil {
		return fmt.Errorf("pin packet program: %w", err)
	}
	return nil
}

// load loads the program with new tables, or with those given.
func load(spec *ebpf.CollectionSpec, old map[string]*ebpf.Map) (map[string]*ebpf.Map, *ebpf.Program, error) {
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: old})
	if err != nil {
		return nil, nil, fmt.Errorf("load packet program: %w", err)
	}
	maps, prog := c.Maps, c.DetachProgram(bpf.Program)
	c.Maps = nil
	c.Close()
	return maps, prog, nil
}

// Remove unpins everything in pinDir, which takes the program off all devices
// and ends all flows once no process has them open. It is no error if nothing
// is there.
func Remove(pinDir string) error {
	dirs, err := filepath.Glob(pinDir + temporary + "*")
	if err != nil {
		return fmt.Errorf("remove data plane: %w", err)
	}
	for _, dir := range append(dirs, pinDir) {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove data plane: %w", err)
		}
	}
	return nil
}
