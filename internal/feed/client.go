package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Waits between attempts to connect, and to apply a configuration that failed.
const (
	minDelay      = 5 * time.Millisecond
	maxDialDelay  = time.Second
	maxApplyDelay = 5 * time.Second
)

// ClientOptions configure a [Client].
type ClientOptions struct {
	Path string // of the server's socket
	Role Role
	// OnConfig applies a configuration. It is called with the latest one
	// whenever the server sends it, also again after a reconnect, and never
	// twice at a time. After an error, which the server is told, it is called
	// again after a while. ctx ends only with Run.
	OnConfig func(ctx context.Context, revision int64, config json.RawMessage) error
	// Handlers answer requests of the server, by method.
	Handlers map[string]func(ctx context.Context, params json.RawMessage) (any, error)
	// Log gets connects, disconnects and failures. Nothing is logged if it is
	// nil.
	Log *slog.Logger
}

// Client is a subscriber. It is safe for concurrent use.
type Client struct {
	options ClientOptions
	offered chan offer // holds the latest configuration that is not yet tried

	mu        sync.Mutex
	peer      *peer         // nil when not connected
	connected chan struct{} // closed while peer is set
}

// offer is a configuration and the connection that it came by, which is where
// it is acknowledged.
type offer struct {
	peer     *peer
	revision int64
	config   json.RawMessage
}

// Dial returns a client. It connects when Run runs.
func Dial(options ClientOptions) *Client {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{options: options, offered: make(chan offer, 1), connected: make(chan struct{})}
}

// Run keeps the client connected, and applies what comes, until ctx ends,
// whose error it returns. It is called once.
func (c *Client) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { c.apply(ctx) })
	defer wg.Wait()
	delay, told := minDelay, ""
	for {
		begin := time.Now()
		err := c.session(ctx, &wg)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(begin) > maxDialDelay {
			delay, told = minDelay, ""
		}
		if err.Error() != told {
			c.options.Log.Warn("feed: not connected", "error", err)
			told = err.Error()
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
		delay = min(2*delay, maxDialDelay)
	}
}

// session is one connection, from its making to its end.
func (c *Client) session(ctx context.Context, tasks *sync.WaitGroup) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.options.Path)
	if err != nil {
		return fmt.Errorf("connect to control: %w", err)
	}
	p := newPeer(ctx, tasks, conn, c.options.Log, maxToClient, maxToServer)
	p.serve = func(ctx context.Context, method string, params json.RawMessage) (any, error) {
		fn := c.options.Handlers[method]
		if fn == nil {
			return nil, errors.New("unknown method")
		}
		return fn(ctx, params)
	}
	p.receive = func(m message) error {
		switch m.Kind {
		case kindUpdate:
			c.offer(offer{p, m.Revision, m.Config})
			return nil
		case kindRefused:
			return errors.New(m.Error)
		default:
			return fmt.Errorf("unexpected message %q", m.Kind)
		}
	}
	if err := p.send(ctx, message{Kind: kindHello, Role: c.options.Role}); err != nil {
		conn.Close()
		return err
	}
	c.setPeer(p)
	defer c.setPeer(nil)
	if err := p.run(); err != nil {
		return fmt.Errorf("connection to control: %w", err)
	}
	return nil
}

func (c *Client) setPeer(p *peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer = p
	if p != nil {
		close(c.connected)
	} else {
		c.connected = make(chan struct{})
	}
}

// offer leaves a configuration for apply, in the place of an older one. Only
// the one connection's reader calls it.
func (c *Client) offer(o offer) {
	select {
	case <-c.offered:
	default:
	}
	c.offered <- o
}

// apply applies configurations, the latest always, until ctx ends.
func (c *Client) apply(ctx context.Context) {
	var o offer
	var retry <-chan time.Time
	told := "" // last error
	delay := minDelay
	for {
		select {
		case o = <-c.offered:
			delay = minDelay
		case <-retry:
		case <-ctx.Done():
			return
		}
		retry = nil
		ack := message{Kind: kindAck, Revision: o.revision}
		if err := c.options.OnConfig(ctx, o.revision, o.config); err != nil {
			if ctx.Err() != nil {
				return
			}
			ack.Error = err.Error()
			if ack.Error != told {
				c.options.Log.Error("feed: configuration was not applied", "revision", o.revision, "error", err)
			}
			retry = time.After(delay)
			delay = min(2*delay, maxApplyDelay)
		}
		told = ack.Error
		// An ack that can't be sent is not missed: its connection is gone, and
		// the next one brings the configuration again.
		if err := o.peer.send(ctx, ack); err != nil {
			c.options.Log.Debug("feed: not acknowledged", "revision", o.revision, "error", err)
		}
	}
}

// Call sends a request to the server and waits for the answer, which it
// decodes into result unless that is nil. While the client is not connected it
// waits for that, no longer than ctx. The error is a [*RemoteError] if the
// server answered with one, and matches [ErrDisconnected] if the connection
// ended meanwhile.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	for {
		c.mu.Lock()
		p, connected := c.peer, c.connected
		c.mu.Unlock()
		if p != nil {
			return p.call(ctx, method, params, result)
		}
		select {
		case <-connected:
		case <-ctx.Done():
			return fmt.Errorf("call %s: not connected to control: %w", method, ctx.Err())
		}
	}
}
