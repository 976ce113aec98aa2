package server

import (
	"log/slog"
	"net"
	"sync"
)

// limited accepts no more than a number of connections at a time. Further ones
// wait in the kernel's queue; that this happens is logged, once each time the
// limit is reached.
type limited struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
	log   *slog.Logger
}

func newLimited(l net.Listener, n int, log *slog.Logger) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, n), done: make(chan struct{}), log: log}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	default:
		l.log.Warn("connection limit reached", "connections", cap(l.slots))
		select {
		case l.slots <- struct{}{}:
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, slots: l.slots}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	once  sync.Once
	slots chan struct{}
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.slots })
	return err
}
