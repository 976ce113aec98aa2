package http1

import (
	"net"
	"syscall"
)

// secureSocket is a socket below TLS. While its connection waits inside the
// callback of its RawConn (see serverConn), a read that finds nothing fails with
// errAgain, which is temporary: crypto/tls then keeps what it has of a record,
// and reads on the next time. At other times it is a socket like others, whose
// calls Go's scheduler is not told of.
type secureSocket struct {
	*net.TCPConn
	raw syscall.RawConn

	held    bool // within the callback, and fd is good
	fd      uintptr
	drained bool // the last read took all that was there
	some    bool // something has come, which was no record of data yet

	in, out                []byte // what is being read and written
	got                    int
	inErr, outErr          error
	onReadable, onWritable func(fd uintptr) bool
}

// newSecureSocket makes one of a connection; nil if it is no socket.
func newSecureSocket(conn net.Conn) *secureSocket {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	s := &secureSocket{TCPConn: tcp, raw: raw}
	s.onReadable, s.onWritable = s.readable, s.writable
	return s
}

// hold is called at the callback's begin, and when it ends.
func (s *secureSocket) hold(fd uintptr) { s.fd, s.held, s.drained, s.some = fd, true, false, false }
func (s *secureSocket) release()        { s.held = false }

func (s *secureSocket) Read(p []byte) (int, error) {
	if s.held {
		if s.drained {
			return 0, errAgain
		}
		n, err := readNow(s.fd, p)
		s.drained, s.some = n < len(p), s.some || n > 0
		return n, err
	}
	s.in, s.got, s.inErr = p, 0, nil
	err := s.raw.Read(s.onReadable)
	if s.in = nil; err == nil {
		err = s.inErr
	}
	return s.got, err
}

// readable is the socket's callback.
func (s *secureSocket) readable(fd uintptr) bool {
	s.got, s.inErr = readNow(fd, s.in)
	return s.inErr != errAgain
}

func (s *secureSocket) Write(p []byte) (int, error) {
	s.out, s.outErr = p, nil
	err := s.raw.Write(s.onWritable)
	n := len(p) - len(s.out)
	if s.out = nil; err == nil {
		err = s.outErr
	}
	return n, err
}

// writable is the socket's callback.
func (s *secureSocket) writable(fd uintptr) bool {
	n, err := writeNow(fd, s.out)
	if s.out = s.out[n:]; err == errAgain {
		return false
	}
	s.outErr = err
	return true
}
