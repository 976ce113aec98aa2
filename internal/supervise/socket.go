package supervise

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// socket is a listening TCP socket that the supervisor keeps for its process.
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
	// Of "tcp" and 0.0.0.0 Go makes a socket for IPv6 too, at another address
	// than was asked for.
	network := "tcp"
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is4() {
		network = "tcp4"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return -1, err
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
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
		got, err := socket(fd).address()
		if err == nil && !stands(got, want) {
			err = fmt.Errorf("it listens on %v, not on %s", got, want)
		}
		if err != nil {
			closeAll(sockets)
			return nil, fmt.Errorf("take sockets of process %d over: %w", p.pid, err)
		}
	}
	return sockets, nil
}

// stands says whether a socket listens where it is wanted; port 0 is any.
func stands(got netip.AddrPort, want string) bool {
	w, err := netip.ParseAddrPort(want)
	return err == nil && got.Addr() == w.Addr() && (w.Port() == 0 || got.Port() == w.Port())
}

// address is where the socket listens.
func (s socket) address() (netip.AddrPort, error) {
	listening, err := unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if listening == 0 {
		return netip.AddrPort{}, errors.New("the socket does not listen")
	}
	sa, err := unix.Getsockname(int(s))
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
