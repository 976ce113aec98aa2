package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
)

// Connections that the proxy closes are opened again, so many a second.
const reopened = 500

// flooder keeps connections open.
type flooder struct {
	flags
	to           string // the proxy's address
	hello        []byte // of TLS, for waves
	reopen       *rate.Limiter
	open, closed atomic.Int64
}

// kind is what a flood does with each of its connections.
type kind struct {
	buffer int // of what is received, in bytes; 0 is the system's
	begin  func(*flags, net.Conn) error
	// step goes on after every; without it the connection is silent.
	every time.Duration
	step  func(net.Conn) error
	// wave has all connections do their step at the same time, at each multiple of it.
	wave time.Duration
}

func (f *flooder) count() contest.Connections {
	return contest.Connections{Open: f.open.Load(), Closed: f.closed.Load()}
}

func say(text string) func(*flags, net.Conn) error {
	return func(_ *flags, c net.Conn) error {
		_, err := io.WriteString(c, text)
		return err
	}
}

var kinds = map[string]kind{
	"silent": {begin: say("")},
	"heads":  {begin: say("GET / HTTP/1.1\r\nX: "), every: 3 * time.Second, step: func(c net.Conn) error { return say("x")(nil, c) }},
	"idle": {begin: func(f *flags, c net.Conn) error {
		defer c.SetDeadline(time.Time{})
		return f.ask(c, bufio.NewReader(c))
	}},
	// As slow as they may be: a proxy that asks for 1 KB a second bears them.
	"bodies": {begin: func(f *flags, c net.Conn) error {
		return say(f.request("POST", f.path, "Content-Length: 1000000\r\n\r\n"))(f, c)
	}, every: time.Second, step: func(c net.Conn) error { return say(strings.Repeat("x", 1100))(nil, c) }},
	"readers": {buffer: 4 << 10, begin: func(f *flags, c net.Conn) error {
		return say(f.request("GET", f.large, "\r\n"))(f, c)
	}, every: time.Second, step: func(c net.Conn) error { _, err := c.Read(make([]byte, 1100)); return err }},
	"hellos": {begin: say(""), wave: 100 * time.Millisecond},
}

// greet has the proxy begin TLS's handshake, and leaves: no client does less for
// more of a server's time.
func (f *flooder) greet(c net.Conn) error {
	if _, err := c.Write(f.hello); err != nil {
		return err
	}
	record := make([]byte, 5)
	if _, err := io.ReadFull(c, record); err != nil {
		return err
	}
	if record[0] != handshakeRecord {
		fmt.Fprintf(os.Stderr, "flood: TLS's hello is answered with %x\n", record)
		os.Exit(1)
	}
	return errGreeted
}

// handshakeRecord is the type of TLS's records that carry a handshake (RFC 8446,
// section 5.1).
const handshakeRecord = 22

var errGreeted = errors.New("greeted")

// clientHello is the record with which a client of TLS begins.
func clientHello(name string) ([]byte, error) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go tls.Client(client, &tls.Config{
		ServerName: name, NextProtos: []string{"http/1.1"},
		CurvePreferences: []tls.CurveID{tls.X25519}, // which all servers have
	}).Handshake()
	record := make([]byte, 5)
	if _, err := io.ReadFull(server, record); err != nil {
		return nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint16(record[3:]))
	_, err := io.ReadFull(server, rest)
	return append(record, rest...), err
}

// start opens all connections, and keeps them busy until the context ends.
func (f *flooder) start(ctx context.Context, k kind) error {
	var g errgroup.Group
	g.SetLimit(64)
	for range f.connections {
		g.Go(func() error {
			c, err := f.begin(ctx, k)
			if err != nil {
				return fmt.Errorf("after %d connections: %w", f.open.Load(), err)
			}
			go f.keep(ctx, k, c)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	<-time.After(settle)
	return nil
}

func (f *flooder) begin(ctx context.Context, k kind) (net.Conn, error) {
	c, err := dial(ctx, f.to, k.buffer)
	if err != nil {
		return nil, err
	}
	if err := k.begin(&f.flags, c); err != nil {
		c.Close()
		return nil, err
	}
	f.open.Add(1)
	return c, nil
}

// settle is how long a flood lasts before anything is timed.
const settle = 2 * time.Second

// keep goes on with a connection, and with another one whenever the proxy has
// closed it.
func (f *flooder) keep(ctx context.Context, k kind, c net.Conn) {
	for ctx.Err() == nil {
		for c != nil {
			if err := k.next(c); err != nil {
				c.Close()
				f.open.Add(-1)
				f.closed.Add(1)
				c = nil
			}
		}
		if f.reopen.Wait(ctx) == nil {
			c, _ = f.begin(ctx, k)
		}
	}
}

// next waits for the next step, and does it. It fails if the proxy has closed
// the connection.
func (k *kind) next(c net.Conn) error {
	// Connections that were opened together are not heard of together.
	every := k.every/2 + rand.N(k.every+1)
	if k.wave > 0 {
		<-time.After(time.Until(time.Now().Truncate(k.wave).Add(k.wave)))
		return k.step(c)
	}
	if k.buffer > 0 {
		<-time.After(every)
		return k.step(c)
	}
	if k.every > 0 {
		c.SetReadDeadline(time.Now().Add(every))
	}
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return k.step(c)
	}
	if err == nil {
		return errors.New("answered")
	}
	return err
}
