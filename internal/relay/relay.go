// Package relay passes streams that come to a Unix socket on to one TCP
// address: so that a process without privileges, in a namespace of its own,
// reaches that address of the machine's network over TCP, and no other.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/internal/accept"
)

// Limits of the streams.
type Limits struct {
	Streams int           // at a time
	Timeout time.Duration // of each
	Bytes   int64         // in each direction
}

// DNS are the limits of a message of DNS over TCP.
var DNS = Limits{Streams: 64, Timeout: 5 * time.Second, Bytes: 2 + 1<<16}

// Export are the limits of batches of what is exported.
var Export = Limits{Streams: 8, Timeout: 15 * time.Second, Bytes: 16 << 20}

// Listen makes the socket, in the place of one that an earlier process left,
// for one user alone.
func Listen(path string, uid int) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("make socket of relay: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("make socket of relay: %w", err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.Chown(path, uid, -1)); err != nil {
		l.Close()
		return nil, fmt.Errorf("make socket of relay: %w", err)
	}
	return l, nil
}

// Serve passes streams on until ctx ends, and closes l. What exceeds the limits
// is closed.
func Serve(ctx context.Context, l net.Listener, to netip.AddrPort, limits Limits, log *slog.Logger) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	var streams sync.WaitGroup
	defer streams.Wait()
	slots := make(chan struct{}, limits.Streams)
	for {
		c, err := accept.Next(l, log)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept stream: %w", err)
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		streams.Go(func() {
			defer func() { <-slots }()
			if err := pass(ctx, c, to, limits); err != nil {
				log.Debug("stream not passed on", "to", to, "error", err)
			}
		})
	}
}

// pass joins a stream with a connection to an address until either ends.
func pass(ctx context.Context, near net.Conn, to netip.AddrPort, limits Limits) error {
	defer near.Close()
	ctx, cancel := context.WithTimeout(ctx, limits.Timeout)
	defer cancel()
	var d net.Dialer
	far, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	defer far.Close()
	defer context.AfterFunc(ctx, func() { near.Close(); far.Close() })()
	ended := make(chan error, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, err := io.Copy(way[1], io.LimitReader(way[0], limits.Bytes))
			ended <- err
		}()
	}
	err = <-ended
	near.Close()
	far.Close()
	<-ended
	return err
}
