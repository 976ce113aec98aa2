// Package server is a proxy's side towards clients: it puts its
// chain on the HTTP/1.1 engine, and HTTP/2 beside that.
package server

import (
	"context"
	"errors"
	"net/netip"
	"strconv"

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
	o.Protocols = map[string]func(context.Context, *http1.Conn, <-chan struct{}){H2: newHTTP2(h, o).serve}
	return http1.NewServer(func(ctx context.Context, r *http1.Request) *http1.Response {
		response := h(ctx, convert(r))
		done := response.Done
		answer := &http1.Response{
			Status: response.Status, Header: response.Header, Body: response.Body, Length: response.Length,
			Tunnel: response.Tunnel,
		}
		if done != nil {
			answer.Done = func(sent int64, err error) { done(sent, fault(err)) }
		}
		return answer
	}, o)
}

// convert makes the gateway's request.
func convert(r *http1.Request) *message.Request {
	m := &message.Request{
		Method: r.Method, Proto: "HTTP/1." + strconv.Itoa(r.Minor), Header: message.Header(r.Header), Length: r.Length,
		Client: addrPort(r.Conn.RemoteAddr().String()), Server: addrPort(r.Conn.LocalAddr().String()),
		Connection: r.Conn.Value,
	}
	if r.Body != nil {
		m.Body = body{r.Body}
	}
	m.TLS, m.Secure = r.Conn.TLS, r.Conn.TLS != nil
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

func addrPort(s string) netip.AddrPort {
	at, _ := netip.ParseAddrPort(s)
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// body tells of the client's faults in the gateway's words.
type body struct {
	reader interface{ Read([]byte) (int, error) }
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.reader.Read(p)
	return n, fault(err)
}

func fault(err error) error {
	switch {
	case errors.Is(err, http1.ErrSlow):
		return errors.Join(message.ErrClientSlow, err)
	case errors.Is(err, http1.ErrGone):
		return errors.Join(message.ErrClientGone, err)
	}
	return err
}
