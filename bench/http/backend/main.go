// Command backend is the server behind all proxies of bench/http: one thread,
// one epoll loop, answers that are there beforehand, so that it needs less CPU
// than any proxy before it. The last segment of a path says how much it
// answers: 10k, 1m, or 100 bytes.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "`address` to listen at")
	flag.Parse()
	if err := serve(*listen); err != nil {
		fmt.Fprintln(os.Stderr, "backend:", err)
		os.Exit(1)
	}
}

// maxHead bounds a request's line and header in bytes.
const maxHead = 64 << 10

// conn is one client's connection.
type conn struct {
	head []byte // the beginning of a request, whose rest is to come
	skip int    // bytes of a body that are to come
	out  []byte // what could not be sent yet; no request is read meanwhile
	rest []byte // what was read behind the request that out answers
}

// loop is the only thread. It calls the kernel without telling Go's scheduler:
// there is nothing else to schedule.
type loop struct {
	epoll   int
	conns   map[int]*conn
	answers answers
	buf     []byte
}

func serve(listen string) error {
	runtime.LockOSThread()
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return err
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		return err
	}
	defer file.Close()
	listener := int(file.Fd())
	if err := unix.SetNonblock(listener, true); err != nil {
		return err
	}
	lp := &loop{conns: map[int]*conn{}, buf: make([]byte, maxHead)}
	if lp.epoll, err = unix.EpollCreate1(0); err != nil {
		return err
	}
	if err := lp.watch(unix.EPOLL_CTL_ADD, listener, unix.EPOLLIN); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 128)
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_WAIT, uintptr(lp.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), ^uintptr(0), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return fmt.Errorf("epoll_wait: %w", errno)
		}
		lp.answers.refresh(time.Now())
		for _, e := range events[:n] {
			if fd := int(e.Fd); fd != listener {
				lp.ready(fd)
			} else if err := lp.accept(listener); err != nil {
				return err
			}
		}
	}
}

func (lp *loop) watch(op, fd int, events uint32) error {
	if err := unix.EpollCtl(lp.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (lp *loop) accept(listener int) error {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.EINTR, unix.ECONNABORTED:
			continue
		default:
			return fmt.Errorf("accept: %w", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
		lp.conns[fd] = &conn{}
		if err := lp.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
}

// ready goes on with a connection that can be read, or written if something
// is left to send.
func (lp *loop) ready(fd int) {
	c := lp.conns[fd]
	if c == nil {
		return
	}
	err := lp.progress(fd, c)
	if err == nil || err == unix.EAGAIN {
		return
	}
	delete(lp.conns, fd)
	unix.Close(fd)
}

func (lp *loop) progress(fd int, c *conn) error {
	if len(c.out) > 0 {
		waiting := c.out
		c.out = nil
		if err := lp.send(fd, c, waiting); err != nil || len(c.out) > 0 {
			return err
		}
		if err := lp.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLIN); err != nil {
			return err
		}
		rest := c.rest
		c.rest = nil
		return lp.consume(fd, c, rest)
	}
	n, err := call(syscall.SYS_READ, fd, lp.buf)
	if err != nil {
		return err
	}
	if n == 0 {
		return net.ErrClosed
	}
	return lp.consume(fd, c, lp.buf[:n])
}

// consume answers the requests in what was read.
func (lp *loop) consume(fd int, c *conn, data []byte) error {
	if len(c.head) > 0 {
		data = append(c.head, data...)
		c.head = nil
	}
	for len(data) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(data))
			c.skip -= n
			data = data[n:]
			if c.skip > 0 {
				return nil
			}
			if err := lp.send(fd, c, lp.answers.small); err != nil {
				return err
			}
			continue
		}
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			if len(data) > maxHead {
				return errors.New("head too long")
			}
			c.head = bytes.Clone(data)
			return nil
		}
		head := data[:end+2]
		data = data[end+4:]
		answer := lp.answers.to(head)
		if head[0] == 'P' {
			var err error
			if c.skip, err = length(head); err != nil {
				return err
			}
			if c.skip > 0 {
				continue
			}
		}
		if err := lp.send(fd, c, answer); err != nil {
			return err
		}
		if len(c.out) > 0 {
			c.rest = bytes.Clone(data)
			return nil
		}
	}
	return nil
}

// length is the length of a request's body. Only one that is told beforehand
// is understood.
func length(head []byte) (int, error) {
	n := -1
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(name) != len("content-length") || !bytes.EqualFold(name, []byte("content-length")) {
			continue
		}
		n = 0
		for _, digit := range bytes.TrimSpace(value) {
			if digit < '0' || digit > '9' || n > 1<<30 {
				return 0, errors.New("bad Content-Length")
			}
			n = 10*n + int(digit-'0')
		}
	}
	if n < 0 {
		return 0, errors.New("a body without Content-Length")
	}
	return n, nil
}

// send sends what the socket takes; the rest when it takes more.
func (lp *loop) send(fd int, c *conn, b []byte) error {
	for len(b) > 0 {
		n, err := call(syscall.SYS_WRITE, fd, b)
		if err == unix.EAGAIN {
			c.out = b
			return lp.watch(unix.EPOLL_CTL_MOD, fd, unix.EPOLLOUT)
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

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

// answers are made anew each second, with the date. One that is being sent is
// not changed.
type answers struct {
	second          int64
	small, mid, big []byte
}

func (a *answers) refresh(now time.Time) {
	if now.Unix() == a.second {
		return
	}
	a.second = now.Unix()
	date := now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	a.small, a.mid, a.big = answer(date, 100), answer(date, 10<<10), answer(date, 1<<20)
}

func answer(date string, size int) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: backend\r\nDate: %s\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nCache-Control: no-store\r\nX-Internal: backend-1\r\n\r\n", date, size)
	b := bytes.Repeat([]byte("x"), len(head)+size)
	copy(b, head)
	return b
}

// to chooses by the last segment of the path.
func (a *answers) to(head []byte) []byte {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	target, _, _ := bytes.Cut(line, []byte(" HTTP/"))
	switch {
	case bytes.HasSuffix(target, []byte("/10k")):
		return a.mid
	case bytes.HasSuffix(target, []byte("/1m")):
		return a.big
	}
	return a.small
}
