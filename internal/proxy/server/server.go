// Package server is a proxy's side towards clients: it puts its
// chain on the engines of HTTP/1.1 and HTTP/2.
package server

import (
	"context"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/http2"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// H2 is the name of HTTP/2 in TLS's handshake, for tls.Config.NextProtos.
const H2 = "h2"

// Options are a server's limits.
type Options = http1.Options

// Server serves a handler on listeners.
type Server = http1.Server

// New makes a server. It speaks HTTP/2 with clients that choose it in TLS's
// handshake, where the configuration offers it (H2).
func New(h message.Handler, o Options) *Server {
	spaceCollections()
	connect := o.Connect
	o.Connect = func(client, server netip.AddrPort) any {
		c := &connection{}
		if client.IsValid() {
			c.client = client.String()
		}
		if connect != nil {
			c.value = connect(client, server)
		}
		return c
	}
	o.Protocols = map[string]func(context.Context, *http1.Conn, <-chan struct{}){H2: newHTTP2(h, o).Serve}
	return http1.NewServer(func(ctx context.Context, r *http1.Request) *http1.Response {
		return h(ctx, convert(r))
	}, o)
}

// connection is a client's.
type connection struct {
	value  any    // what the server's options remember
	client string // its address and port
}

// newHTTP2 makes the server of connections that speak HTTP/2.
func newHTTP2(h message.Handler, o Options) *http2.Server {
	return http2.New(func(ctx context.Context, r *http2.Request) *http1.Response {
		m := convert(&r.Request)
		m.Proto = "HTTP/2.0"
		// A call may last as it will, as long as either side sends something.
		r.Patient = m.IsGRPC()
		return h(ctx, m)
	}, o)
}

// convert makes the chain's request, in the memory of one before.
func convert(r *http1.Request) *message.Request {
	c := r.Conn.Value.(*connection)
	m, _ := r.Memory.(*message.Request)
	if m == nil {
		m = new(message.Request)
		r.Memory = m
	}
	*m = message.Request{
		Method: r.Method, Proto: "HTTP/1.1", Header: r.Header, Body: r.Body, Length: r.Length,
		Client: r.Conn.Client, ClientText: c.client, Server: r.Conn.Server, Connection: c.value,
		Secure: r.Conn.TLS != nil, TLS: r.Conn.TLS,
	}
	if r.Minor == 0 {
		m.Proto = "HTTP/1.0"
	}
	m.Host, m.Path, m.Query = r.Origin()
	if m.Path == "*" {
		m.Path = "/*"
	}
	if r.Host != "" {
		m.Host = r.Host
	}
	if m.Host == "" {
		m.Host = m.Header.Get("Host")
	}
	m.Header.Del("Host")
	return m
}
