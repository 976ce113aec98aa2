package alb

import (
	"log/slog"
	"net"
	"sync"

	"github.com/isthmus-net/isthmus/internal/accept"
)

// socket is a listening socket whose connections go to whichever server takes
// them: so that a server can be replaced by one with other limits, while no
// client is refused.
type socket struct {
	listener net.Listener
	accepted chan net.Conn
	done     chan struct{}
}

func listen(address string, log *slog.Logger) (*socket, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &socket{listener: l, accepted: make(chan net.Conn), done: make(chan struct{})}
	go s.run(log)
	return s, nil
}

func (s *socket) run(log *slog.Logger) {
	for {
		c, err := accept.Next(s.listener, log)
		if err != nil {
			return
		}
		select {
		case s.accepted <- c:
		case <-s.done:
			c.Close()
			return
		}
	}
}

func (s *socket) close() {
	close(s.done)
	s.listener.Close()
}

// tap is a listener of one server, whose end leaves the socket open.
type tap struct {
	*socket
	closed chan struct{}
	once   sync.Once
}

func (s *socket) tap() *tap { return &tap{socket: s, closed: make(chan struct{})} }

func (t *tap) Accept() (net.Conn, error) {
	select {
	case c := <-t.accepted:
		return c, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

func (t *tap) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

func (t *tap) Addr() net.Addr { return t.listener.Addr() }
