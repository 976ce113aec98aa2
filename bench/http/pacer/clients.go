package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clients are connections of one thread with one epoll loop: it shares its CPU
// with the backend, and what it does itself must not be taken for the proxy's.
type clients struct {
	epoll int
	idle  []int           // the one that has been so for longest first
	due   []time.Duration // by descriptor: of the request that is under way
	head  [][]byte        // likewise: what has come of an answer that is not whole
	buf   []byte
}

func dial(address string, connections int) (*clients, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	// Timers may be 50 µs late otherwise (prctl(2)).
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	c := &clients{epoll: epoll, buf: make([]byte, 64<<10)}
	for range connections {
		fd, err := connect(at)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", address, err)
		}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return nil, err
		}
		c.idle = append(c.idle, fd)
		for len(c.due) <= fd {
			c.due, c.head = append(c.due, 0), append(c.head, nil)
		}
	}
	return c, nil
}

// sendKept is send on kept connections of its own.
func sendKept(address string, connections int, request []byte, times []time.Duration) ([]float64, error) {
	c, err := dial(address, connections)
	if err != nil {
		return nil, err
	}
	return c.send(request, times)
}

// connect makes a connection of IPv4 that does not block.
func connect(at netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	return fd, errors.Join(unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), unix.SetNonblock(fd, true))
}

// send sends a request at each of some times, or as soon after as a connection
// is free, and returns what each took from when it was due, in µs.
func (c *clients) send(request []byte, times []time.Duration) (took []float64, err error) {
	total := len(times)
	took = make([]float64, 0, total)
	events := make([]unix.EpollEvent, 128)
	begin := time.Now()
	for last := begin; len(took) < total; {
		now := time.Since(begin)
		for len(times) > 0 && times[0] <= now && len(c.idle) > 0 {
			fd := c.idle[0]
			c.idle = append(c.idle[:0], c.idle[1:]...)
			c.due[fd], times = times[0], times[1:]
			if n, err := unix.Write(fd, request); n != len(request) {
				return nil, fmt.Errorf("send a request: %d of %d bytes: %w", n, len(request), err)
			}
		}
		wait := patience
		if len(times) > 0 && len(c.idle) > 0 {
			wait = max(0, times[0]-time.Since(begin))
		}
		n, err := c.wait(events, wait)
		if err != nil {
			return nil, err
		}
		for _, e := range events[:n] {
			whole, err := c.receive(int(e.Fd))
			if err != nil {
				return nil, err
			}
			if whole {
				last = time.Now()
				took = append(took, float64(last.Sub(begin)-c.due[e.Fd])/1000)
				c.idle = append(c.idle, int(e.Fd))
			}
		}
		if len(times) == total-len(took) {
			last = time.Now() // all that were sent are answered
		} else if time.Since(last) > patience {
			return nil, errSilent
		}
	}
	return took, nil
}

// wait waits as epoll_pwait2(2), in nanoseconds.
func (c *clients) wait(events []unix.EpollEvent, d time.Duration) (int, error) {
	limit := unix.NsecToTimespec(d.Nanoseconds())
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(c.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&limit)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("epoll_pwait2: %w", errno)
}

// receive reads what is there, and tells whether that makes an answer whole.
func (c *clients) receive(fd int) (whole bool, err error) {
	n, err := unix.Read(fd, c.buf)
	if err != nil {
		return false, fmt.Errorf("read an answer: %w", err)
	}
	if n == 0 {
		return false, errors.New("the proxy has closed a connection")
	}
	data := c.buf[:n]
	if len(c.head[fd]) > 0 {
		data = append(c.head[fd], data...)
	}
	if whole, err = answered(data); whole {
		c.head[fd] = c.head[fd][:0]
	} else if err == nil {
		c.head[fd] = append(c.head[fd][:0], data...)
	}
	return whole, err
}

// answered tells whether an answer is whole. One that is not 200, has no length,
// or has more behind it fails.
func answered(data []byte) (bool, error) {
	head, body, found := bytes.Cut(data, []byte("\r\n\r\n"))
	if !found {
		return false, nil
	}
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return false, fmt.Errorf("the answer is %q", line)
	}
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(field, []byte(":"))
		if !bytes.EqualFold(name, []byte("Content-Length")) {
			continue
		}
		length, err := strconv.Atoi(string(bytes.TrimSpace(value)))
		if err != nil || len(body) > length {
			return false, fmt.Errorf("an answer of %q has %d bytes", field, len(body))
		}
		return len(body) == length, nil
	}
	return false, fmt.Errorf("the answer has no length: %q", head)
}
