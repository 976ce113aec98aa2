package http1

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A server that has all the connections it may have closes one that waits for
// its client when a new one comes, so that nobody is kept out by clients that
// connect and are silent, or send their heads byte by byte. Requests under way
// are left alone: if there is nothing else, new connections wait.

// crowdSample is among how many connections, taken at random, the one is chosen
// that gives way. Looking at all of them takes milliseconds, in which a server
// with one CPU does nothing else.
const crowdSample = 64

// crowdPause is how long a new connection waits for room before that is looked
// for again, unless another connection ends.
const crowdPause = 50 * time.Millisecond

// crowdTold is how often a crowd is logged.
const crowdTold = 10 * time.Second

// crowd is the connections of a server; the server's lock guards it.
type crowd struct {
	conns   []*serverConn
	of      map[netip.Addr]int // how many each client has
	leaving int                // how many have given way, and not ended yet
	told    int64              // when it was last logged that some had to, by clock; 0 is never
}

func (w *crowd) add(c *serverConn) {
	c.place = len(w.conns)
	w.conns = append(w.conns, c)
	w.of[c.client()]++
}

// remove takes out a connection.
func (w *crowd) remove(c *serverConn) {
	last := len(w.conns) - 1
	w.conns[c.place] = w.conns[last]
	w.conns[c.place].place = c.place
	w.conns[last] = nil
	w.conns = w.conns[:last]
	if client := c.client(); w.of[client] > 1 {
		w.of[client]--
	} else {
		delete(w.of, client)
	}
	if c.leaving {
		w.leaving--
	}
}

// staying is how many connections have not given way.
func (w *crowd) staying() int { return len(w.conns) - w.leaving }

// makeRoom closes one connection that waits for its client, and tells whether one
// was found.
func (w *crowd) makeRoom() bool {
	var worst *serverConn
	for range crowdSample {
		c := w.conns[rand.IntN(len(w.conns))]
		if !c.leaving && c.waits(c.state.Load()) && (worst == nil || w.worse(c, worst)) {
			worst = c
		}
	}
	if worst == nil || !worst.giveWay() {
		return false
	}
	worst.leaving = true
	w.leaving++
	return true
}

// worse tells whether a connection should rather give way than another: its
// client has more, or it has been silent for longer.
func (w *crowd) worse(c, than *serverConn) bool {
	if a, b := w.of[c.client()], w.of[than.client()]; a != b {
		return a > b
	}
	return c.since() < than.since()
}

// most is the client with the most connections.
func (w *crowd) most() (client netip.Addr, count int) {
	for c, n := range w.of {
		if n > count {
			client, count = c, n
		}
	}
	return client, count
}

// admit takes an accepted connection in once there is room. It fails when the
// server ends.
func (s *Server) admit(c *serverConn) bool {
	for {
		taken, ended := s.take(c)
		if taken || ended {
			return taken
		}
		select {
		case <-s.room:
		case <-time.After(crowdPause):
		case <-s.closing:
			return false
		}
	}
}

// take takes a connection in if there is or can be made room for it. One that
// was accepted while the listener was being closed is served as others are: its
// client may have sent a request. Those that have given way are given time to
// end, but may be no more than an eighth of all.
func (s *Server) take(c *serverConn) (taken, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aborted {
		return false, true
	}
	limit := s.options.MaxConnections
	if s.crowd.staying() >= limit {
		s.tellCrowd()
		if s.crowd.leaving <= limit/8 && s.crowd.makeRoom() && s.options.GaveWay != nil {
			s.options.GaveWay()
		}
	}
	if s.crowd.staying() >= limit {
		return false, false
	}
	s.crowd.add(c)
	return true, false
}

func (s *Server) tellCrowd() {
	now := clock()
	if s.crowd.told != 0 && now-s.crowd.told < int64(crowdTold) {
		return
	}
	s.crowd.told = now
	client, count := s.crowd.most()
	s.options.Log.Warn("connection limit reached: connections that wait for requests give way to new ones",
		"connections", len(s.crowd.conns), "most", count, "of", client)
}

func (c *serverConn) client() netip.Addr { return c.conn.Client.Addr() }

// waits tells whether a connection in a state waits for its client, with no
// request under way.
func (c *serverConn) waits(state int32) bool {
	switch state {
	case connNew, connHead, connIdle:
		return true
	case connOther:
		return c.conn.requests.Load() == 0
	}
	return false
}

// since is when the connection's last request ended, or of another protocol
// began, or else when the connection was accepted.
func (c *serverConn) since() int64 {
	return max(c.accepted, c.conn.last.Load(), c.rested.Load())
}

// giveWay ends the connection if it still waits for its client.
func (c *serverConn) giveWay() bool {
	if unread(c.socket) {
		return false
	}
	state := c.state.Load()
	if !c.waits(state) || !c.state.CompareAndSwap(state, connDismissed) {
		return false
	}
	c.cut()
	return true
}

// unread tells whether something has come that was not read yet (tcp(7),
// SIOCINQ).
func unread(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return n > 0
}
