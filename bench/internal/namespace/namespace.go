// Package namespace makes network namespaces for the parts of a benchmark, and
// runs programs in them.
package namespace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NS is a network namespace that goes when the last process in it and this one
// have ended, however they end.
type NS struct{ file *os.File }

// New makes a namespace, whose loopback device is up.
func New() (*NS, error) {
	var ns NS
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

// Open opens a namespace that somebody else has made.
func Open(path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open namespace: %w", err)
	}
	return &NS{f}, nil
}

// Path is where this process and its children find the namespace.
func (ns *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.file.Fd()) }

// onThread runs f on a thread of its own, which ends afterwards.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// Do runs f on a thread in the namespace.
func (ns *NS) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// OnCPU runs f on a thread that has one CPU, as have the processes that it
// starts, and precedence there over what else the machine does.
func OnCPU(cpu int, f func() error) error {
	return onThread(func() error {
		if err := prefer(cpu); err != nil {
			return err
		}
		return f()
	})
}

// niceness is that of what is measured, and of its load.
const niceness = -15

// Prefer gives a process's session precedence (sched(7), autogroup), without
// which niceness counts within a session only.
func Prefer(pid int) error {
	err := os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), fmt.Append(nil, niceness), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // such a kernel has no autogroups, or it has ended
	}
	return err
}

func prefer(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return errors.Join(unix.SchedSetaffinity(0, &set), unix.Setpriority(unix.PRIO_PROCESS, 0, niceness))
}

// Start starts a program in the namespace, on one CPU, as OnCPU does. It is
// killed when this process ends. What Wait returned comes through the channel.
func (ns *NS) Start(cpu int, cmd *exec.Cmd) (<-chan error, error) {
	// The thread must outlive the program, whose death signal comes with its.
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := errors.Join(unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET), prefer(cpu)); err != nil {
			started <- err
			return
		}
		cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setsid: true}
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		if err := Prefer(cmd.Process.Pid); err != nil {
			cmd.Process.Kill()
			started <- fmt.Errorf("give precedence: %w", err)
			return
		}
		started <- nil
		ended <- cmd.Wait()
	}()
	return ended, <-started
}

// Sysctl sets a variable of the namespace.
func (ns *NS) Sysctl(name, value string) error {
	return ns.Do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
}

// Address gives a device of the namespace an address and sets it up.
func (ns *NS) Address(device, cidr string) error {
	return ns.Do(func() error {
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

// mtu is that of an ENI, in bytes (internal/node). With another, TCP would cut a load into
// other segments, and acknowledge it at other times.
const mtu = 9001

// Join makes a pair of devices between two namespaces.
func Join(a *NS, nameA string, b *NS, nameB string) error {
	return a.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: nameA, MTU: mtu}, PeerName: nameB, PeerMTU: mtu, PeerNamespace: b.Peer(),
		})
	})
}

// Peer names the namespace as that of a pair's other end.
func (ns *NS) Peer() netlink.NsFd { return netlink.NsFd(int(ns.file.Fd())) }
