package supervise

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a socket that the supervisor keeps for its process.
// It is a bare descriptor: as an os.File or net.Listener the runtime would
// poll it, and wake the supervisor for every connection of the process.
type socket int

// listen opens the listening sockets of a process.
func (s Spec) listen() ([]socket, error) {
	sockets, err := listen(s.Listen)
	if err != nil || len(s.Inside) == 0 {
		return sockets, err
	}
	var inside []socket
	ns, err := s.namespace()
	if err == nil {
		err = ns.Do(func() (err error) {
			inside, err = listen(s.Inside)
			return err
		})
		err = errors.Join(err, ns.Close())
	}
	sockets = append(sockets, inside...)
	if err != nil {
		closeAll(sockets)
		return nil, err
	}
	return sockets, nil
}

// listen opens listening sockets in the calling namespace.
func listen(addresses []string) ([]socket, error) {
	var sockets []socket
	for _, a := range addresses {
		s, err := listenOn(a)
		if err != nil {
			closeAll(sockets)
			return nil, err
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

func listenOn(address string) (socket, error) {
	kind, at := kindOf(address)
	var open io.Closer
	var err error
	switch kind {
	case udp:
		open, err = net.ListenPacket(family("udp", at), at)
	case connected:
		open, err = net.Dial("udp", at)
	default:
		open, err = net.Listen(family("tcp", at), at)
	}
	if err != nil {
		return -1, err
	}
	defer open.Close()
	raw, err := open.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	var fd int
	var dup error
	err = raw.Control(func(u uintptr) { fd, dup = unix.FcntlInt(u, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, dup); err != nil {
		return -1, fmt.Errorf("hand over socket %s: %w", address, err)
	}
	return socket(fd), nil
}

// kind is what of a socket an address of a Spec asks for.
type kind int

const (
	tcp kind = iota
	udp
	connected
)

func kindOf(address string) (kind, string) {
	if at, ok := strings.CutPrefix(address, "udp:"); ok {
		return udp, at
	}
	if at, ok := strings.CutPrefix(address, "connect:"); ok {
		return connected, at
	}
	return tcp, address
}

// family is the network in which to listen: of "tcp" and 0.0.0.0 Go makes a
// socket for IPv6 too, at another address than was asked for.
func family(network, address string) string {
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is4() {
		return network + "4"
	}
	return network
}

// sockets takes copies of the listening sockets that a process was handed.
func (p *process) sockets(s Spec) ([]socket, error) {
	var sockets []socket
	for i, want := range slices.Concat(s.Listen, s.Inside) {
		fd, err := unix.PidfdGetfd(p.pidfd, firstSocket+i, 0)
		if err != nil {
			closeAll(sockets)
			return nil, fmt.Errorf("copy socket of process %d: %w", p.pid, err)
		}
		sockets = append(sockets, socket(fd))
		got, err := socket(fd).address(want)
		if err == nil && !stands(got, want) {
			err = fmt.Errorf("it is at %v, not at %s", got, want)
		}
		if err != nil {
			closeAll(sockets)
			return nil, fmt.Errorf("take sockets of process %d over: %w", p.pid, err)
		}
	}
	return sockets, nil
}

// stands says whether a socket is where it is wanted; port 0 is any.
func stands(got netip.AddrPort, want string) bool {
	_, at := kindOf(want)
	w, err := netip.ParseAddrPort(at)
	return err == nil && got.Addr() == w.Addr() && (w.Port() == 0 || got.Port() == w.Port())
}

// address is where the socket listens, or the other end of a connected one.
func (s socket) address(want string) (netip.AddrPort, error) {
	option, value, name := unix.SO_ACCEPTCONN, 1, unix.Getsockname
	switch kind, _ := kindOf(want); kind {
	case udp:
		option, value = unix.SO_TYPE, unix.SOCK_DGRAM
	case connected:
		option, value, name = unix.SO_TYPE, unix.SOCK_DGRAM, unix.Getpeername
	}
	got, err := unix.GetsockoptInt(int(s), unix.SOL_SOCKET, option)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if got != value {
		return netip.AddrPort{}, errors.New("the socket is not of the kind that is wanted")
	}
	sa, err := name(int(s))
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, errors.New("the socket is not of the internet")
}

// file makes a copy to be inherited. No process uses the socket at this time,
// so that it may be made blocking, which keeps the copy from being polled.
func (s socket) file() (*os.File, error) {
	if err := unix.SetNonblock(int(s), false); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(uintptr(s), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "listener"), nil
}

func closeAll(sockets []socket) {
	for _, s := range sockets {
		unix.Close(int(s))
	}
}
