// Package message holds the requests and responses that a proxy's chain
// works on. They belong to no HTTP library, so that the engine below the chain
// can be replaced; adapters convert at the edges.
package message

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
)

// Request is one parsed request of a client.
type Request struct {
	Method string
	// Path is the path as it was on the wire, still escaped, beginning with
	// "/". It is never cleaned: empty and dot segments are as they came.
	Path  string
	Query string // as on the wire, without "?"
	Proto string // "HTTP/1.1" or "HTTP/2.0"
	Host  string // the Host header or the authority of an absolute target
	// Header holds all fields but Host.
	Header Header
	// Body is nil if the request has none. It fails with an error that wraps
	// ErrClientSlow or ErrClientGone if the client is at fault.
	Body   io.Reader
	Length int64          // of Body in bytes; -1 if unknown
	Client netip.AddrPort // the peer of the connection
	Server netip.AddrPort // the address the client connected to
	Secure bool           // whether the connection is TLS
	// TLS is what was negotiated; nil without TLS.
	TLS *tls.ConnectionState
	// Connection is what the server's options remember of the connection.
	Connection any
}

// Faults of the client while its request's body is read.
var (
	ErrClientSlow = errors.New("client sends its request too slowly")
	ErrClientGone = errors.New("client closed the connection")
)

// LineSize is the length of the request line in bytes, without its line end.
func (r *Request) LineSize() int {
	n := len(r.Method) + len(" ") + len(r.Path) + len(" ") + len(r.Proto)
	if r.Query != "" {
		n += len("?") + len(r.Query)
	}
	return n
}

// Response is the answer to a request.
type Response struct {
	Status int
	Header Header
	// Body is nil if there is none. Whoever sends the response closes it.
	Body   io.ReadCloser
	Length int64 // of Body in bytes; -1 if unknown
	// Tunnel, if set with status 101, is the other end of the connection from
	// here on, in another protocol. Whoever sends the response closes it.
	Tunnel io.ReadWriteCloser
	// Done, if set, is called once after the response was sent or given up,
	// with the bytes of body that were sent.
	Done func(sent int64, err error)
}

// Handler answers requests. It never returns nil.
type Handler func(context.Context, *Request) *Response
