package http1

import (
	"net"
	"syscall"
)

// socket is a TCP connection of whose reads and writes Go's scheduler is not
// told, which wakes a thread each time if the process has little else to do. It
// has one reader and one writer at a time.
//
// TLS on it can be read without waiting: while a serverConn is inside the
// callback of the socket's RawConn, a read that finds nothing fails with
// errAgain, which is temporary: crypto/tls then keeps what it has of a record,
// and reads on the next time.
type socket struct {
	*net.TCPConn
	raw     syscall.RawConn
	records *records // of TLS, that are read here; nil if nobody asks for them

	held    bool // within the callback, and fd is good
	fd      uintptr
	drained bool // the last read took all that was there

	in, out                []byte // what is being read and written
	got                    int
	inErr, outErr          error
	onReadable, onWritable func(fd uintptr) bool
}

// Socket makes the same of a TCP connection with calls that cost less, for one
// reader and one writer at a time. Others stay what they are.
func Socket(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn // it has been closed
	}
	return &socket{TCPConn: tcp, raw: raw}
}

// hold is called at the callback's begin, and release when it ends.
func (s *socket) hold(fd uintptr) { s.fd, s.held, s.drained = fd, true, false }
func (s *socket) release()        { s.held = false }

func (s *socket) Read(p []byte) (int, error) {
	if s.held {
		if s.drained {
			return 0, errAgain
		}
		n, err := readNow(s.fd, p)
		s.drained = n < len(p)
		s.passed(p[:n])
		return n, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if s.onReadable == nil {
		s.onReadable = s.readable
	}
	s.in, s.got, s.inErr = p, 0, nil
	err := s.raw.Read(s.onReadable)
	if s.in = nil; err == nil {
		err = s.inErr
	}
	s.passed(p[:s.got])
	return s.got, err
}

func (s *socket) passed(b []byte) {
	if s.records != nil {
		s.records.pass(b)
	}
}

// readable is the RawConn's callback.
func (s *socket) readable(fd uintptr) bool {
	s.got, s.inErr = readNow(fd, s.in)
	return s.inErr != errAgain
}

func (s *socket) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.onWritable == nil {
		s.onWritable = s.writable
	}
	s.out, s.outErr = p, nil
	err := s.raw.Write(s.onWritable)
	n := len(p) - len(s.out)
	if s.out = nil; err == nil {
		err = s.outErr
	}
	return n, err
}

// writable is the RawConn's callback.
func (s *socket) writable(fd uintptr) bool {
	n, err := writeNow(fd, s.out)
	if s.out = s.out[n:]; err == errAgain {
		return false
	}
	s.outErr = err
	return true
}
