package http1

import (
	"errors"
	"io"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pipe is a pipe(2) through which a body is moved from socket to socket without
// being copied: splice(2) passes on references to the memory that it came in.
type Pipe struct {
	r, w int
	held int // bytes that are in it

	most       int64 // that are to be read into it
	err        error
	onReadable func(fd uintptr) bool // the callback of a socket's RawConn
}

// Piped is what a body may implement that comes from a socket.
// ReadPipe reads into an empty pipe as Read does into memory. It reads nothing,
// and fails with errors.ErrUnsupported, if the next bytes have to be read by Read.
type Piped interface{ ReadPipe(*Pipe) (int, error) }

// ReadPipe reads from what may be Piped.
func ReadPipe(from io.Reader, p *Pipe) (int, error) {
	if piped, ok := from.(Piped); ok {
		return piped.ReadPipe(p)
	}
	return 0, errors.ErrUnsupported
}

const (
	// pipeSize is how much is moved with one call at most, in bytes. Each page's
	// worth of it is room for one reference, however many bytes that is to: a
	// page on a network, eight of them from a neighbour's socket.
	pipeSize = 256 << 10
	// leastPiped is what has to be left of a body for a pipe to be worth its calls.
	leastPiped = 64 << 10
	// maxPipes bounds descriptors, and what clients that take nothing have the
	// kernel hold. Unprivileged users may have twice as many
	// (/proc/sys/fs/pipe-user-pages-soft). Further bodies are copied.
	maxPipes = 128
)

var pipes = struct {
	idle chan *Pipe // has room for all
	open atomic.Int32
}{idle: make(chan *Pipe, maxPipes)}

// takePipe returns an empty pipe; nil if there is none to be had.
func takePipe() *Pipe {
	select {
	case p := <-pipes.idle:
		return p
	default:
	}
	if pipes.open.Add(1) <= maxPipes {
		if p := newPipe(); p != nil {
			return p
		}
	}
	pipes.open.Add(-1)
	return nil
}

// newPipe fails by returning nil: bodies can be copied.
func newPipe() *Pipe {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil
	}
	p := &Pipe{r: ends[0], w: ends[1]}
	p.onReadable = p.fill
	if size, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize); err != nil || size < pipeSize {
		p.close()
		return nil
	}
	return p
}

func (p *Pipe) close() {
	syscall.Close(p.r)
	syscall.Close(p.w)
}

// put gives the pipe back. One that is not empty is closed.
func (p *Pipe) put() {
	if p.held > 0 {
		p.close()
		pipes.open.Add(-1)
		return
	}
	pipes.idle <- p
}

// fill moves what is there, but not more than is wanted, from a socket into the
// pipe, which is empty. At the end it fails with io.EOF.
func (p *Pipe) fill(fd uintptr) bool {
	p.held, p.err = splice(int(fd), p.w, int(min(p.most, pipeSize)))
	if p.err == nil && p.held == 0 {
		p.err = io.EOF
	}
	return p.err != errAgain
}

// drain moves as much as there is room for into a socket.
func (p *Pipe) drain(fd uintptr) (sent int, err error) {
	for p.held > 0 {
		n, err := splice(p.r, int(fd), p.held)
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return sent, err
		}
		p.held -= n
		sent += n
	}
	return sent, nil
}

// splice is as readNow and writeNow are: nothing of it blocks.
func splice(from, to, most int) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			return 0, errno
		}
		return int(n), nil
	}
}

// readPipe reads what is there, at most so many bytes, into a pipe. It fails with
// errors.ErrUnsupported if something is in the buffer, or the connection is no
// socket.
func (in *input) readPipe(p *Pipe, most int64) (int, error) {
	if in.raw == nil || in.tls != nil || in.buffered() > 0 {
		return 0, errors.ErrUnsupported
	}
	in.release()
	if in.readable != nil {
		if err := in.readable(); err != nil {
			return 0, err
		}
	}
	p.most = most
	if err := in.raw.Read(p.onReadable); err != nil {
		return 0, err
	}
	return p.held, p.err
}
