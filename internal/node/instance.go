package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// instances knows which instances live. Each has a file in a directory, which
// is locked as long as somebody has the open file that hold returned: the
// command that runs the instance's program. So the death of that command is
// noticed even if it happens while no node runs.
type instances struct {
	dir string
	log *slog.Logger
	// terminate removes an instance from the desired state.
	terminate func(ctx context.Context, id string) error
}

// hold makes an instance live until the file, and every copy that another
// process was given, is closed.
func (i *instances) hold(id string) (*os.File, error) {
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return nil, fmt.Errorf("hold %s: %w", id, err)
	}
	// Locked before it has its name, under which an unlocked file is an
	// instance whose command died.
	f, err := os.CreateTemp(i.dir, ".new-*")
	if err != nil {
		return nil, fmt.Errorf("hold %s: %w", id, err)
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		err = os.Rename(f.Name(), filepath.Join(i.dir, id))
	}
	if err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, fmt.Errorf("hold %s: %w", id, err)
	}
	return f, nil
}

// list tells the instances that live from those that died.
func (i *instances) list() (living, dead []string, err error) {
	files, err := os.ReadDir(i.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list instances: %w", err)
	}
	for _, e := range files {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		f, err := os.Open(filepath.Join(i.dir, e.Name()))
		if err != nil {
			continue // removed meanwhile
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		f.Close()
		if err == nil {
			dead = append(dead, e.Name())
		} else {
			living = append(living, e.Name())
		}
	}
	return living, dead, nil
}

// sweep terminates the instances that died. One that can't be terminated now
// is found again by the next sweep.
func (i *instances) sweep(ctx context.Context) {
	_, dead, err := i.list()
	if err != nil {
		i.log.Error("find instances that ended", "error", err)
	}
	for _, id := range dead {
		if err := i.terminate(ctx, id); err != nil {
			i.log.Warn("terminate instance", "instance", id, "error", err)
			continue
		}
		if err := os.Remove(filepath.Join(i.dir, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			i.log.Warn("forget instance", "instance", id, "error", err)
		}
	}
}
