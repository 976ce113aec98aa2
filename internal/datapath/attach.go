package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Attach puts the program on the ingress of a device of the calling thread's
// network namespace. Where it is already, nothing happens.
//
// Kernels before 6.6 have no tcx; there the program is a clsact filter. Such
// a filter keeps the program that it was given, so that after a change of
// programs every device must be attached once more.
func (d *Datapath) Attach(ifindex int) error {
	d.mu.Lock()
	defer d.mu.Unlock()

	path := d.linkPin(ifindex)
	if alive, err := attached(path, ifindex); err != nil || alive {
		return err
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: d.prog, Attach: ebpf.AttachTCXIngress})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return d.attachFilter(ifindex)
	}
	if err != nil {
		return fmt.Errorf("attach packet program to device %d: %w", ifindex, err)
	}
	defer l.Close()
	if err := l.Pin(path); err != nil {
		return fmt.Errorf("pin link of device %d: %w", ifindex, err)
	}
	return nil
}

// attached says whether the link pinned at path is on a device still. A link
// whose device has gone is unpinned.
func attached(path string, ifindex int) (bool, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open link of device %d: %w", ifindex, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("read link of device %d: %w", ifindex, err)
	}
	if tcx := info.TCX(); tcx != nil && int(tcx.Ifindex) == ifindex {
		return true, nil
	}
	if err := l.Unpin(); err != nil {
		return false, fmt.Errorf("unpin link of device %d: %w", ifindex, err)
	}
	return false, nil
}

// Detach takes the program off a device. It is no error if it is not there, or
// if the device is no more.
func (d *Datapath) Detach(ifindex int) error {
	d.mu.Lock()
	defer d.mu.Unlock()

	l, err := link.LoadPinnedLink(d.linkPin(ifindex), nil)
	if errors.Is(err, fs.ErrNotExist) {
		err = detachFilter(ifindex)
	} else if err == nil {
		err = detachLink(l)
	}
	if err != nil {
		return fmt.Errorf("detach packet program from device %d: %w", ifindex, err)
	}
	return nil
}

// detachLink ends a link at once: without its pin alone it would go at the
// kernel's leisure.
func detachLink(l link.Link) error {
	defer l.Close()
	// ENOLINK: its device has gone.
	if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) {
		return err
	}
	return l.Unpin()
}

func (d *Datapath) linkPin(ifindex int) string {
	return filepath.Join(d.dir, linksDir, strconv.Itoa(ifindex))
}

// filter is the clsact filter that stands for a tcx link; fd is of no matter
// when it is deleted.
func filter(ifindex, fd int) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex,
			Parent:    netlink.HANDLE_MIN_INGRESS,
			Handle:    1,
			Priority:  1,
			Protocol:  unix.ETH_P_ALL,
		},
		Fd:           fd,
		Name:         "isthmus",
		DirectAction: true,
	}
}

func (d *Datapath) attachFilter(ifindex int) error {
	qdisc := &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: ifindex,
			Handle:    netlink.MakeHandle(0xffff, 0),
			Parent:    netlink.HANDLE_CLSACT,
		},
		QdiscType: "clsact",
	}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact to device %d: %w", ifindex, err)
	}
	if err := netlink.FilterReplace(filter(ifindex, d.prog.FD())); err != nil {
		return fmt.Errorf("add filter to device %d: %w", ifindex, err)
	}
	return nil
}

func detachFilter(ifindex int) error {
	err := netlink.FilterDel(filter(ifindex, -1))
	// No such filter, no such qdisc, no such device.
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
