package http1

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A server that has all the connections it may have closes some that wait for
// their clients when a new one comes, so that nobody is kept out by clients that
// connect and are silent, or send their heads byte by byte. Requests under way
// are left alone: if there is nothing else, new connections wait.

// Connections are closed by the batch, since looking for them takes time: a
// batch is one of batchOf of all. Those closed are given time to end, but may be
// no more than one of leavingOf while others take their places.
const (
	batchOf   = 32
	leavingOf = 8
)

// crowdPause is how long a new connection waits for room before that is looked
// for again, unless another connection ends.
const crowdPause = 50 * time.Millisecond

// crowdTold is how often a crowd is logged.
const crowdTold = 10 * time.Second

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
// client may have sent a request.
func (s *Server) take(c *serverConn) (taken, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aborted {
		return false, true
	}
	limit := s.options.MaxConnections
	if len(s.conns)-s.leaving >= limit && s.leaving <= limit/leavingOf {
		s.makeRoom(max(1, limit/batchOf))
	}
	if len(s.conns)-s.leaving >= limit {
		return false, false
	}
	s.conns[c] = struct{}{}
	return true, false
}

// makeRoom closes up to n connections that wait for their clients, with the lock
// held. It takes of those clients that have most connections, and the longest
// silent ones first.
func (s *Server) makeRoom(n int) {
	now := clock()
	of := map[netip.Addr]int{} // connections of each client
	var waiting []waitingConn
	for c := range s.conns {
		if c.leaving {
			continue
		}
		client := c.conn.Client.Addr()
		of[client]++
		if c.waits(c.state.Load()) {
			waiting = append(waiting, waitingConn{c, client, c.since(), 0})
		}
	}
	closed := 0
	for _, w := range choose(waiting, of, n) {
		if w.conn.giveWay() {
			w.conn.leaving = true
			closed++
		}
	}
	s.leaving += closed
	if s.told == 0 || now-s.told >= int64(crowdTold) {
		s.told = now
		client, count := most(of)
		s.options.Log.Warn("connection limit reached: connections that wait for requests give way to new ones",
			"connections", len(s.conns), "waiting", len(waiting), "most", count, "of", client)
	}
}

// waitingConn is a connection that may be closed.
type waitingConn struct {
	conn   *serverConn
	client netip.Addr
	since  int64 // when it was heard of last, by clock
	rank   int   // how many connections its client has left if those silent for longer are closed
}

// choose chooses up to n connections to close. of is how many each client has,
// busy ones included.
func choose(waiting []waitingConn, of map[netip.Addr]int, n int) []waitingConn {
	slices.SortFunc(waiting, func(a, b waitingConn) int { return cmp.Compare(a.since, b.since) })
	for i := range waiting {
		w := &waiting[i]
		w.rank = of[w.client]
		of[w.client]--
	}
	slices.SortStableFunc(waiting, func(a, b waitingConn) int { return cmp.Compare(b.rank, a.rank) })
	return waiting[:min(n, len(waiting))]
}

func most(of map[netip.Addr]int) (client netip.Addr, count int) {
	for c, n := range of {
		if n > count {
			client, count = c, n
		}
	}
	return client, count
}

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

// since is when the connection's last request began, or else when it was
// accepted.
func (c *serverConn) since() int64 {
	return max(c.accepted, c.conn.last.Load(), -c.watch.since.Load())
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
