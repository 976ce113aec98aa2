package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/supervise"
)

// Lock claims a run directory, which has one user at a time; it is made if
// need be. It is claimed until the file is closed. While another has it, the
// error is ErrLocked.
func Lock(dir Dir) (*os.File, error) {
	if err := os.MkdirAll(string(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	f, err := os.OpenFile(dir.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock run directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock run directory: %w", err)
	}
	return f, nil
}

// ErrLocked says that a run directory is in use.
var ErrLocked = errors.New("the run directory is in use by another isthmus")

// Down ends all processes of an instance and removes everything that it made:
// namespaces with what runs in them, devices, pinned objects, mounts, sockets.
// The caller has the lock. What can't be removed does not keep the rest.
func Down(dir Dir) error {
	errs := []error{supervise.StopAll(dir.Processes())}
	files, err := os.ReadDir(dir.Namespaces())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, fmt.Errorf("list namespaces: %w", err))
	}
	// The fabric last: its end takes the devices out of the namespaces that
	// others made.
	for _, f := range files {
		if f.Name() != fabricName {
			errs = append(errs, removeNamespace(dir.Namespace(f.Name())))
		}
	}
	errs = append(errs, emptyFabric(dir), removeNamespace(dir.Fabric()))
	errs = append(errs, datapath.Remove(dir.Pins()), unmountBPF(dir.BPF()))
	for _, path := range []string{dir.Socket(), dir.Feed(), dir.Endpoints(), dir.Authority(resource.APIs), dir.Authority(resource.Certificates)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, path := range []string{dir.Namespaces(), dir.FeedDir(), dir.Instances(), dir.Processes()} {
		errs = append(errs, removeFlat(path))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// The directory itself stays if something is in it that is not ours.
	return errors.Join(os.Remove(dir.Lock()), removeIfEmpty(string(dir)))
}

// emptyFabric deletes the devices, which would otherwise last until the kernel
// has ended the namespace in its own time.
func emptyFabric(dir Dir) error {
	if _, err := os.Stat(dir.Fabric()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	f, err := openFabric(dir)
	if err != nil {
		return err
	}
	defer f.close()
	plugged, err := f.plugged()
	if err != nil {
		return err
	}
	var errs []error
	for number := range plugged {
		errs = append(errs, f.unplug(number))
	}
	return errors.Join(errs...)
}

// removeFlat removes a directory of plain files.
func removeFlat(dir string) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		errs = append(errs, os.Remove(filepath.Join(dir, f.Name())))
	}
	return errors.Join(append(errs, os.Remove(dir))...)
}

func removeIfEmpty(dir string) error {
	err := os.Remove(dir)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EBUSY) {
		return nil
	}
	return err
}

// Stop asks a running isthmus to end, if one runs, and claims the run
// directory when it has.
func Stop(ctx context.Context, dir Dir) (*os.File, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		lock, err := Lock(dir)
		if !errors.Is(err, ErrLocked) {
			return lock, err
		}
		c, err := Call(ctx, dir.Socket(), "stop", struct{}{}, nil)
		if err == nil {
			c.Close()
		} else if !errors.Is(err, ErrNotRunning) && !hungUp(err) {
			return nil, fmt.Errorf("stop isthmus: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for isthmus to stop: %w", ctx.Err())
		}
	}
}

// hungUp says whether the node ended before it answered.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}
