package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace that goes when the last process in it and
// this one have ended, however they end.
type namespace struct{ file *os.File }

func newNamespace() (*namespace, error) {
	var ns namespace
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if ns.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		return nil, fmt.Errorf("make namespace: %w", err)
	}
	return &ns, nil
}

// onThread runs f on a thread of its own, which ends afterwards.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// do runs f on a thread in the namespace.
func (ns *namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// start starts a program in the namespace, on one CPU. It is killed when this
// process ends.
func (ns *namespace) start(cpu int, cmd *exec.Cmd) error {
	// The thread must outlive the program, whose death signal comes with its.
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		err := errors.Join(unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET), unix.SchedSetaffinity(0, &set))
		if err != nil {
			started <- err
			return
		}
		cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err = cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		cmd.Wait()
	}()
	return <-started
}

// sysctl sets a variable of the namespace.
func (ns *namespace) sysctl(name, value string) error {
	return ns.do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
}

// address gives a device of the namespace an address and sets it up.
func (ns *namespace) address(device, cidr string) error {
	return ns.do(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return fmt.Errorf("find device %s: %w", device, err)
		}
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			return fmt.Errorf("give %s to device %s: %w", cidr, device, err)
		}
		return netlink.LinkSetUp(l)
	})
}

// join makes a pair of devices between two namespaces.
func join(a *namespace, nameA string, b *namespace, nameB string) error {
	return a.do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: nameA}, PeerName: nameB, PeerNamespace: netlink.NsFd(int(b.file.Fd())),
		})
	})
}
