package http1

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// tunnel answers with status 101 and carries bytes both ways until either side
// ends, or nothing is sent for as long as the stall timeout.
func (c *serverConn) tunnel(r *Response) (int64, error) {
	defer r.Tunnel.Close()
	if !c.state.CompareAndSwap(connActive, connTunnel) || c.server.isClosing() && c.server.dismissed.Load() {
		return 0, net.ErrClosed
	}
	c.pace = Pace{}
	b := append([]byte(nil), "HTTP/1.1 101 Switching Protocols\r\n"...)
	b = appendFields(b, r.Header)
	b = append(b, "Connection: Upgrade\r\n\r\n"...)
	if err := c.write(b); err != nil {
		return 0, err
	}
	c.conn.SetDeadline(time.Time{})
	// Both sides live by the same clock: traffic in one direction keeps the
	// other. Its end wakes both copies.
	patience := c.server.options.StallTimeout
	clock := time.AfterFunc(patience, func() {
		c.socket.Close()
		r.Tunnel.Close()
	})
	defer clock.Stop()
	var down atomic.Int64
	ends := make(chan error, 2)
	go func() {
		ends <- pump(r.Tunnel, c.in.read, clock, patience, nil)
		r.Tunnel.Close()
	}()
	go func() {
		ends <- pump(&c.conn, r.Tunnel.Read, clock, patience, &down)
		c.socket.Close()
	}()
	err := <-ends
	<-ends
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return down.Load(), err
}

// pump copies until the source ends, and counts what it sends if that is asked
// for.
func pump(to io.Writer, read func([]byte) (int, error), clock *time.Timer, patience time.Duration, sent *atomic.Int64) error {
	pooled := outputs.Get().(*[]byte)
	defer outputs.Put(pooled)
	buf := (*pooled)[:outputSize]
	for {
		got, err := read(buf)
		if got > 0 {
			clock.Reset(patience)
			if _, err := to.Write(buf[:got]); err != nil {
				return err
			}
			if sent != nil {
				sent.Add(int64(got))
			}
		}
		if err != nil {
			return err
		}
	}
}
