// Package netns makes, opens, enters and removes network namespaces. A
// namespace lives as long as a file that it is mounted on, or an open NS, or a
// process inside.
package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// ID tells namespaces apart while they live.
type ID struct {
	Device, Inode uint64
}

// NS is an open network namespace, which stays while it is open.
type NS struct {
	file *os.File
	id   ID
}

// ErrNotNamespace is returned for a path that is something else.
var ErrNotNamespace = errors.New("not a network namespace")

// Open opens the namespace that a path names: a file that it is mounted on, or
// the ns/net of a process.
func Open(path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open namespace: %w", err)
	}
	ns, err := FromFile(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open namespace %s: %w", path, err)
	}
	return ns, nil
}

// FromFile makes an NS of an open file, which it owns from then on unless an
// error is returned.
func FromFile(f *os.File) (*NS, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return nil, err
	}
	if fs.Type != unix.NSFS_MAGIC {
		return nil, ErrNotNamespace
	}
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil {
		return nil, err
	}
	if kind != unix.CLONE_NEWNET {
		return nil, ErrNotNamespace
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	return &NS{file: f, id: ID{uint64(st.Dev), st.Ino}}, nil
}

// Current opens the namespace of the calling thread.
func Current() (*NS, error) { return Open("/proc/thread-self/ns/net") }

// Create makes a namespace, runs setup inside it, and mounts it on a file made
// at path; a file that is there without a namespace is replaced. The namespace
// appears at path only if setup succeeds.
func Create(path string, setup func() error) (*NS, error) {
	var made *NS
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		ns, err := Current()
		if err != nil {
			return err
		}
		if err := setup(); err != nil {
			ns.Close()
			return err
		}
		if err := mountAt(path); err != nil {
			ns.Close()
			return err
		}
		made = ns
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("create namespace %s: %w", path, err)
	}
	return made, nil
}

// mountAt mounts the thread's namespace on the file path.
func mountAt(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := Delete(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	f.Close()
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		os.Remove(path)
		return fmt.Errorf("mount: %w", err)
	}
	return nil
}

// Delete removes the file that a namespace is mounted on; the namespace goes
// when nothing else holds it. It is no error if there is none.
func Delete(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	// EINVAL: nothing is mounted there, left behind by a crash.
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount namespace %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete namespace: %w", err)
	}
	return nil
}

// ID identifies the namespace.
func (ns *NS) ID() ID { return ns.id }

// Fd is the namespace's file descriptor, valid until Close.
func (ns *NS) Fd() int { return int(ns.file.Fd()) }

// File is the open file of the namespace, owned by ns.
func (ns *NS) File() *os.File { return ns.file }

// Close closes the handle.
func (ns *NS) Close() error { return ns.file.Close() }

// Enter moves the calling thread into the namespace. The caller has locked
// the thread to its goroutine.
func (ns *NS) Enter() error {
	if err := unix.Setns(ns.Fd(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	return nil
}

// Do runs fn on a thread inside the namespace. Goroutines that fn starts are
// outside; sockets that it opens stay inside.
func (ns *NS) Do(fn func() error) error {
	return onThread(func() error {
		if err := ns.Enter(); err != nil {
			return err
		}
		return fn()
	})
}

// onThread runs fn on a thread that may change its namespace.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := Current()
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer home.Close()
		err = fn()
		// A thread that can't return stays locked, and the runtime ends it.
		if back := home.Enter(); back != nil {
			done <- errors.Join(err, back)
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}
