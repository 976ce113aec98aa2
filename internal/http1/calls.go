//go:build !race

package http1

import (
	"io"
	"syscall"
	"unsafe"
)

// A socket of Go's never blocks in these calls, so that the scheduler need not
// be told of them; telling it costs as much as what is saved here. recvfrom and
// sendto are the socket's own calls: read and write come to them through the
// file system's layer.

// errAgain is the error of a socket that has nothing to read, or no room.
const errAgain = syscall.EAGAIN

// readNow reads what is there. At the end it fails with io.EOF.
func readNow(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		}
		return int(n), nil
	}
}

// writeNow writes as much as there is room for.
func writeNow(fd uintptr, p []byte) (int, error) {
	for sent := 0; ; {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p[sent:]))), uintptr(len(p)-sent), syscall.MSG_NOSIGNAL, 0, 0)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			return sent, errno
		}
		if sent += int(n); sent == len(p) {
			return sent, nil
		}
	}
}

// writeBoth writes two pieces, as much as there is room for, with one call.
func writeBoth(fd uintptr, a, b []byte) (int, error) {
	if len(b) == 0 {
		return writeNow(fd, a)
	}
	pieces := [2]syscall.Iovec{
		{Base: unsafe.SliceData(a), Len: uint64(len(a))}, {Base: unsafe.SliceData(b), Len: uint64(len(b))},
	}
	message := syscall.Msghdr{Iov: &pieces[0], Iovlen: uint64(len(pieces))}
	n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&message)), syscall.MSG_NOSIGNAL)
	switch {
	case errno == syscall.EINTR:
		n = 0
	case errno != 0:
		return 0, errno
	}
	return writeRest(func(p []byte) (int, error) { return writeNow(fd, p) }, a, b, int(n))
}
