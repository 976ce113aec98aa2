package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// result is what a load process prints when it is done.
type result struct {
	Count   uint64  // transactions, bytes or datagrams
	Seconds float64 // in which they were counted
}

// rate is the result per second.
func (r result) rate() float64 { return float64(r.Count) / r.Seconds }

// The two ends of a load take turns on one CPU, so that what counts is the
// work done for a packet and not how fast another CPU wakes. They call the
// kernel without telling Go's scheduler: there is nothing else to schedule.

func read(fd int, b []byte) (int, error) { return call(syscall.SYS_READ, fd, b) }

func write(fd int, b []byte) (int, error) { return call(syscall.SYS_WRITE, fd, b) }

func call(number uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// role is one end of a load: "client rr", "server bulk" and so on.
type role func(at netip.AddrPort, duration time.Duration) (result, error)

var roles = map[string]role{
	"client rr":   clientRR,
	"server rr":   serverRR,
	"client crr":  clientCRR,
	"server crr":  serverCRR,
	"client bulk": clientBulk,
	"server bulk": serverBulk,
	"client udp":  clientUDP,
	"server udp":  serverUDP,
}

// play runs a role in this process and prints its result.
func play(name string, at netip.AddrPort, duration time.Duration) error {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	r, err := roles[name](at, duration)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func socket(kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if kind == unix.SOCK_STREAM {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	return fd, err
}

func connect(kind int, at netip.AddrPort) (int, error) {
	fd, err := socket(kind)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", at, err)
	}
	return fd, nil
}

// listen opens a socket and tells the parent, by a line, that it is open.
func listen(kind int, at netip.AddrPort) (int, error) {
	fd, err := socket(kind)
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		return -1, fmt.Errorf("bind to %s: %w", at, err)
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.Listen(fd, 1024); err != nil {
			return -1, fmt.Errorf("listen on %s: %w", at, err)
		}
	}
	fmt.Println("listening")
	return fd, nil
}

func accept(fd int) (int, error) {
	for {
		c, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), 0, 0, 0, 0, 0)
		if errno == 0 {
			return int(c), unix.SetsockoptInt(int(c), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		}
		if errno != unix.EINTR {
			return -1, fmt.Errorf("accept: %w", errno)
		}
	}
}

// clientRR sends a byte and waits for one, again and again.
func clientRR(at netip.AddrPort, duration time.Duration) (r result, err error) {
	fd, err := connect(unix.SOCK_STREAM, at)
	if err != nil {
		return r, err
	}
	b := make([]byte, 1)
	start := time.Now()
	for end := start.Add(duration); time.Now().Before(end); r.Count++ {
		if _, err := write(fd, b); err != nil {
			return r, err
		}
		if n, err := read(fd, b); n != 1 {
			return r, fmt.Errorf("read %d bytes: %w", n, err)
		}
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

func serverRR(at netip.AddrPort, _ time.Duration) (r result, err error) {
	l, err := listen(unix.SOCK_STREAM, at)
	if err != nil {
		return r, err
	}
	fd, err := accept(l)
	if err != nil {
		return r, err
	}
	b := make([]byte, 1)
	for {
		if n, err := read(fd, b); n != 1 {
			return r, err
		}
		if _, err := write(fd, b); err != nil {
			return r, err
		}
		r.Count++
	}
}

// clientCRR does the same on a connection of its own each time. The server
// closes first, so that the client never runs out of ports.
func clientCRR(at netip.AddrPort, duration time.Duration) (r result, err error) {
	b := make([]byte, 1)
	start := time.Now()
	for end := start.Add(duration); time.Now().Before(end); r.Count++ {
		fd, err := connect(unix.SOCK_STREAM, at)
		if err != nil {
			return r, err
		}
		if _, err := write(fd, b); err != nil {
			return r, err
		}
		if n, err := read(fd, b); n != 1 {
			return r, fmt.Errorf("read %d bytes: %w", n, err)
		}
		if n, err := read(fd, b); n != 0 || err != nil {
			return r, fmt.Errorf("read %d bytes, want the end: %w", n, err)
		}
		unix.Close(fd)
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

func serverCRR(at netip.AddrPort, _ time.Duration) (r result, err error) {
	l, err := listen(unix.SOCK_STREAM, at)
	if err != nil {
		return r, err
	}
	b := make([]byte, 1)
	for {
		fd, err := accept(l)
		if err != nil {
			return r, err
		}
		if n, _ := read(fd, b); n == 1 {
			write(fd, b)
		}
		unix.Close(fd)
	}
}

// clientBulk sends as much as it can; the server counts.
func clientBulk(at netip.AddrPort, duration time.Duration) (r result, err error) {
	fd, err := connect(unix.SOCK_STREAM, at)
	if err != nil {
		return r, err
	}
	b := make([]byte, 128<<10)
	start := time.Now()
	for end := start.Add(duration); time.Now().Before(end); {
		n, err := write(fd, b)
		if err != nil {
			return r, err
		}
		r.Count += uint64(n)
	}
	r.Seconds = time.Since(start).Seconds()
	return r, unix.Close(fd)
}

func serverBulk(at netip.AddrPort, _ time.Duration) (r result, err error) {
	l, err := listen(unix.SOCK_STREAM, at)
	if err != nil {
		return r, err
	}
	fd, err := accept(l)
	if err != nil {
		return r, err
	}
	b := make([]byte, 128<<10)
	start := time.Now()
	for {
		n, err := read(fd, b)
		if err != nil {
			return r, err
		}
		if n == 0 {
			r.Seconds = time.Since(start).Seconds()
			return r, nil
		}
		r.Count += uint64(n)
	}
}

// datagram is the size of those of clientUDP: the frames are then 60 bytes.
const datagram = 18

func clientUDP(at netip.AddrPort, duration time.Duration) (r result, err error) {
	fd, err := connect(unix.SOCK_DGRAM, at)
	if err != nil {
		return r, err
	}
	b := make([]byte, datagram)
	start := time.Now()
	for end := start.Add(duration); time.Now().Before(end); {
		for range 64 {
			if _, err := write(fd, b); err == nil {
				r.Count++
			}
		}
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// serverUDP counts what arrives until nothing has for a while.
func serverUDP(at netip.AddrPort, _ time.Duration) (r result, err error) {
	fd, err := listen(unix.SOCK_DGRAM, at)
	if err != nil {
		return r, err
	}
	b := make([]byte, datagram)
	if _, err := read(fd, b); err != nil {
		return r, err
	}
	start, last := time.Now(), time.Now()
	quiet := unix.NsecToTimeval(int64(300 * time.Millisecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &quiet); err != nil {
		return r, err
	}
	for {
		_, err := read(fd, b)
		if err == unix.EAGAIN {
			r.Seconds = last.Sub(start).Seconds()
			return r, nil
		}
		if err != nil {
			return r, err
		}
		if r.Count++; r.Count%64 == 0 {
			last = time.Now()
		}
	}
}
