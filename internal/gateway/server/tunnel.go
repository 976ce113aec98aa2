package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/message"
)

// tunnel answers with status 101 and carries bytes both ways until either side
// ends, or nothing is sent for as long as the stall timeout.
func (s *Server) tunnel(w http.ResponseWriter, r *message.Response) {
	defer r.Tunnel.Close()
	sent, err := s.carry(w, r)
	if r.Done != nil {
		r.Done(sent, err)
	}
}

func (s *Server) carry(w http.ResponseWriter, r *message.Response) (int64, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if !s.keep(conn) {
		return 0, net.ErrClosed
	}
	defer s.drop(conn)
	conn.SetDeadline(time.Now().Add(s.options.StallTimeout))
	if err := writeSwitch(buffered.Writer, r.Header); err != nil {
		return 0, errors.Join(message.ErrClientGone, err)
	}
	// Both sides live by the same clock: traffic in one direction keeps the
	// other. Its end wakes both copies.
	clock := time.AfterFunc(s.options.StallTimeout, func() {
		conn.Close()
		r.Tunnel.Close()
	})
	defer clock.Stop()
	conn.SetDeadline(time.Time{})
	progress := func() { clock.Reset(s.options.StallTimeout) }
	var down atomic.Int64
	ends := make(chan error, 2)
	go func() {
		_, err := pump(r.Tunnel, buffered.Reader, progress)
		r.Tunnel.Close()
		ends <- err
	}()
	go func() {
		n, err := pump(conn, r.Tunnel, progress)
		down.Store(n)
		conn.Close()
		ends <- err
	}()
	<-ends
	<-ends
	return down.Load(), nil
}

// writeSwitch writes the response's head. The fields are of a parsed message,
// so that they end no line.
func writeSwitch(w *bufio.Writer, h message.Header) error {
	io.WriteString(w, "HTTP/1.1 101 Switching Protocols\r\n")
	for _, f := range h {
		io.WriteString(w, f.Name+": "+f.Value+"\r\n")
	}
	io.WriteString(w, "\r\n")
	return w.Flush()
}

// pump copies until the source ends.
func pump(to io.Writer, from io.Reader, progress func()) (n int64, err error) {
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	for {
		read, readErr := from.Read(*pooled)
		if read > 0 {
			progress()
			written, err := to.Write((*pooled)[:read])
			n += int64(written)
			if err != nil {
				return n, err
			}
		}
		if readErr != nil {
			return n, readErr
		}
	}
}

// keep remembers a connection that the library has given away, so that
// Shutdown ends it; it refuses when that has begun.
func (s *Server) keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	if s.tunnels == nil {
		s.tunnels = map[net.Conn]struct{}{}
	}
	s.tunnels[c] = struct{}{}
	return true
}

func (s *Server) drop(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tunnels, c)
}

// endTunnels closes what was given away: another protocol's end can't be
// waited for.
func (s *Server) endTunnels() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for c := range s.tunnels {
		c.Close()
	}
}
