package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/internal/netns"
)

// fabric is the namespace of the host sides of all devices.
type fabric struct {
	ns   *netns.NS
	nl   *netlink.Handle
	home netns.ID // the machine's namespace, into which nothing is plugged
}

// openFabric adopts the fabric or makes it.
func openFabric(dir Dir) (*fabric, error) {
	home, err := netns.Current()
	if err != nil {
		return nil, err
	}
	defer home.Close()
	ns, err := netns.Open(dir.Fabric())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, netns.ErrNotNamespace) {
		ns, err = netns.Create(dir.Fabric(), silence)
	}
	if err != nil {
		return nil, fmt.Errorf("open fabric: %w", err)
	}
	f := &fabric{ns: ns, home: home.ID()}
	if err := ns.Do(silence); err != nil {
		f.close()
		return nil, fmt.Errorf("open fabric: %w", err)
	}
	if f.nl, err = handle(ns); err != nil {
		f.close()
		return nil, fmt.Errorf("open fabric: %w", err)
	}
	return f, nil
}

func (f *fabric) close() {
	if f.nl != nil {
		f.nl.Close()
	}
	f.ns.Close()
}

// handle opens a netlink socket inside a namespace.
func handle(ns *netns.NS) (*netlink.Handle, error) {
	h, err := netlink.NewHandleAt(vnetns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return h, nil
}

// silence makes the thread's namespace one that routes nothing and speaks no
// IPv6 of its own accord.
func silence() error {
	return errors.Join(
		sysctl("net/ipv4/ip_forward", "0"),
		noIPv6(),
	)
}

// settle makes the thread's namespace a home for the program of an ENI: the
// loopback device is up, any user may listen on any port and ping. A port whose
// connection it has closed may be had for the next one to the same destination
// after a second, if both sides have timestamps (ip-sysctl.rst, tcp_tw_reuse;
// RFC 6191): otherwise it is kept for a minute, so that a proxy that closes 250
// connections to a backend each second soon looks for milliseconds for a port.
func settle() error {
	if err := errors.Join(
		noIPv6(),
		sysctl("net/ipv4/ip_unprivileged_port_start", "0"),
		sysctl("net/ipv4/ping_group_range", "0\t2147483647"),
		sysctl("net/ipv4/tcp_tw_reuse", "1"),
	); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback device: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set loopback device up: %w", err)
	}
	return nil
}

func noIPv6() error {
	if _, err := os.Stat("/proc/sys/net/ipv6"); errors.Is(err, fs.ErrNotExist) {
		return nil // the kernel has none
	}
	return errors.Join(
		sysctl("net/ipv6/conf/all/disable_ipv6", "1"),
		sysctl("net/ipv6/conf/default/disable_ipv6", "1"),
	)
}

// sysctl sets a value of the thread's namespace unless it is that already.
func sysctl(name, value string) error {
	path := "/proc/sys/" + name
	if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set sysctl: %w", err)
	}
	return nil
}

// Mount mounts the instance's bpffs, unless it is mounted.
func Mount(dir Dir) error { return mountBPF(dir.BPF()) }

// mountBPF mounts a bpffs of the instance's own, unless it is there.
func mountBPF(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("mount bpffs: %w", err)
	}
	mounted, err := isBPF(path)
	if err != nil || mounted {
		return err
	}
	if err := unix.Mount("bpf", path, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpffs at %s: %w", path, err)
	}
	return nil
}

// unmountBPF unmounts the bpffs and removes its directory, if they are there.
func unmountBPF(path string) error {
	mounted, err := isBPF(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if mounted {
		if err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount bpffs at %s: %w", path, err)
		}
	}
	return os.Remove(path)
}

func isBPF(path string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return false, fmt.Errorf("find bpffs at %s: %w", path, err)
	}
	return st.Type == unix.BPF_FS_MAGIC, nil
}
