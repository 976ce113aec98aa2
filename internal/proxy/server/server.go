// Package server is a proxy's side towards clients: it puts its
// chain on the HTTP/1.1 engine, and HTTP/2 beside that.
package server

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// Options are a server's limits.
type Options = http1.Options

// Server serves a handler on listeners.
type Server = http1.Server

// New makes a server. It speaks HTTP/2 with clients that choose it in TLS's
// handshake, where the configuration offers it (H2).
func New(h message.Handler, o Options) *Server {
	ballast()
	o.Protocols = map[string]func(context.Context, *http1.Conn, <-chan struct{}){H2: newHTTP2(h, o).serve}
	return http1.NewServer(func(ctx context.Context, r *http1.Request) *http1.Response {
		return h(ctx, convert(r))
	}, o)
}

// convert makes the chain's request.
func convert(r *http1.Request) *message.Request {
	m := &message.Request{
		Method: r.Method, Proto: "HTTP/1.1", Header: r.Header, Body: r.Body, Length: r.Length,
		Client: r.Conn.Client, Server: r.Conn.Server, Connection: r.Conn.Value,
		Secure: r.Conn.TLS != nil, TLS: r.Conn.TLS,
	}
	if r.Minor == 0 {
		m.Proto = "HTTP/1.0"
	}
	m.Host, m.Path, m.Query = r.Origin()
	if m.Path == "*" {
		m.Path = "/*"
	}
	if m.Host == "" {
		m.Host = m.Header.Get("Host")
	}
	m.Header.Del("Host")
	return m
}
