package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root")
	}
}

// made creates a namespace that is removed with the test.
func made(t *testing.T) (string, *NS) {
	t.Helper()
	needRoot(t)
	path := filepath.Join(t.TempDir(), "ns")
	ns, err := Create(path, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		if err := Delete(path); err != nil {
			t.Error(err)
		}
	})
	return path, ns
}

func current(t *testing.T) ID {
	t.Helper()
	ns, err := Current()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	return ns.ID()
}

func TestCreateOpenDo(t *testing.T) {
	path, ns := made(t)
	home := current(t)
	if ns.ID() == home {
		t.Fatal("the new namespace is the old one")
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.ID() != ns.ID() {
		t.Errorf("opened %v, made %v", again.ID(), ns.ID())
	}
	if id, err := IDOf(path); err != nil || id != ns.ID() {
		t.Errorf("IDOf = %v, %v", id, err)
	}
	var inside ID
	cause := errors.New("cause")
	err = ns.Do(func() error { inside = current(t); return cause })
	if !errors.Is(err, cause) {
		t.Errorf("Do returned %v", err)
	}
	if inside != ns.ID() {
		t.Errorf("Do ran in %v, want %v", inside, ns.ID())
	}
	if now := current(t); now != home {
		t.Errorf("the test is in %v after Do, was in %v", now, home)
	}
}

// Threads that were inside return, whoever uses them next.
func TestDoLeavesNoThreadInside(t *testing.T) {
	_, ns := made(t)
	home := current(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := ns.Do(func() error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range 50 {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if now := current(t); now != home {
				t.Errorf("a thread is in %v", now)
			}
		})
	}
	wg.Wait()
}

func TestCreateFailsWhole(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "ns")
	cause := errors.New("cause")
	if _, err := Create(path, func() error { return cause }); !errors.Is(err, cause) {
		t.Fatalf("Create returned %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file is left: %v", err)
	}
}

// A crash may leave a file on which nothing is mounted.
func TestPlainFile(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "ns")
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrNotNamespace) {
		t.Errorf("Open returned %v", err)
	}
	ns, err := Create(path, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	ns.Close()
	if err := Delete(path); err != nil {
		t.Error(err)
	}
	if err := Delete(path); err != nil {
		t.Errorf("deleting again: %v", err)
	}
}

func TestOpenOtherNamespace(t *testing.T) {
	if _, err := Open("/proc/self/ns/mnt"); !errors.Is(err, ErrNotNamespace) {
		t.Errorf("Open of a mount namespace returned %v", err)
	}
}

func TestKill(t *testing.T) {
	path, ns := made(t)
	outside := exec.Command("sleep", "60")
	if err := outside.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { outside.Process.Kill(); outside.Wait() }()
	done := make(chan error, 3)
	for range 3 {
		inside := exec.Command("nsenter", "--net="+path, "sleep", "60")
		if err := inside.Start(); err != nil {
			t.Fatal(err)
		}
		waitInside(t, inside.Process.Pid, ns.ID())
		go func() { done <- inside.Wait() }()
	}
	if err := Kill(ns.ID(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-done; err == nil {
			t.Error("a process inside ended by itself")
		}
	}
	if err := outside.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process outside: %v", err)
	}
}

// waitInside waits until the process has entered the namespace.
func waitInside(t *testing.T, pid int, id ID) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if got, err := IDOf(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil && got == id {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d never entered", pid)
		}
		time.Sleep(time.Millisecond)
	}
}
