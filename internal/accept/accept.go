// Package accept takes connections from listeners, through faults that pass.
package accept

import (
	"errors"
	"log/slog"
	"net"
	"time"
)

// pause is the wait after a connection could not be accepted.
const pause = 100 * time.Millisecond

// Next accepts a connection. Only the listener's end is an error: what else
// accept(2) fails with concerns a client that has left again, or passes when the
// process or the machine has descriptors or memory again. It is logged.
func Next(l net.Listener, log *slog.Logger) (net.Conn, error) {
	for {
		c, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return c, err
		}
		log.Error("connection not accepted", "address", l.Addr(), "error", err)
		time.Sleep(pause)
	}
}
