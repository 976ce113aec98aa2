//go:build race

package http1

import (
	"io"
	"syscall"
)

// The race detector takes what passes through a socket for an order of events
// if the calls are those of package syscall.

const errAgain = syscall.EAGAIN

func readNow(fd uintptr, p []byte) (int, error) {
	for {
		switch n, err := syscall.Read(int(fd), p); {
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func writeNow(fd uintptr, p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n, err := syscall.Write(int(fd), p[sent:])
		if err != nil && err != syscall.EINTR {
			return sent, err
		}
		sent += max(0, n)
	}
	return len(p), nil
}

func writeBoth(fd uintptr, a, b []byte) (int, error) {
	return writeRest(func(p []byte) (int, error) { return writeNow(fd, p) }, a, b, 0)
}
