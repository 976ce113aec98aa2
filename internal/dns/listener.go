package dns

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/isthmus-net/isthmus/internal/accept"
)

// Limits of connections: of all, and of those from one source, which is a VPC.
const (
	maxConnections    = 512
	maxConnectionsPer = 64
)

// bounded is a listener that closes what exceeds the limits.
type bounded struct {
	net.Listener
	log *slog.Logger

	mu   sync.Mutex
	open map[netip.Addr]int
	all  int
}

func newBounded(l net.Listener, log *slog.Logger) *bounded {
	return &bounded{Listener: l, log: log, open: map[netip.Addr]int{}}
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := accept.Next(b.Listener, b.log)
		if err != nil {
			return nil, err
		}
		from := addressOf(c.RemoteAddr())
		if b.take(from) {
			return &boundedConn{Conn: c, release: sync.OnceFunc(func() { b.release(from) })}, nil
		}
		c.Close()
	}
}

func (b *bounded) take(from netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= maxConnections || b.open[from] >= maxConnectionsPer {
		return false
	}
	b.all++
	b.open[from]++
	return true
}

func (b *bounded) release(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.open[from]--; b.open[from] == 0 {
		delete(b.open, from)
	}
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
