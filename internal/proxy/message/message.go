// Package message holds the requests and responses that a proxy's chain
// works on, whichever protocol they came by; adapters convert at the edges.
package message

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/http2"
)

// Request is one parsed request of a client. It is valid until the response has
// been sent and its Done been called.
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
	Client netip.AddrPort // the peer of the connection; SetClient changes it
	// ClientText is Client as a text, made once for a connection; "" if nobody did.
	ClientText string
	Server     netip.AddrPort // the address the client connected to
	Secure     bool           // whether the connection is TLS
	// TLS is what was negotiated; nil without TLS.
	TLS *tls.ConnectionState
	// Connection is what the server's options remember of the connection.
	Connection any
}

// Faults of the client while its request's body is read.
var (
	ErrClientSlow = http1.ErrSlow
	ErrClientGone = http1.ErrGone
)

// Trailing is a body of HTTP/2, behind which fields may follow.
type Trailing = http2.Trailing

// Whole takes all that is left of a body if it is there; see http1.Whole.
func Whole(body io.Reader) (whole []byte, release func()) {
	if b, ok := body.(http1.Whole); ok {
		return b.Whole()
	}
	return nil, nil
}

// Trailer are the fields behind a body; nil if it has none.
func Trailer(body io.Reader) http.Header { return http2.Trailer(body) }

// IsGRPC tells whether the request is a call of gRPC, which only HTTP/2 carries.
func (r *Request) IsGRPC() bool {
	const mediaType = "application/grpc"
	if r.Proto != "HTTP/2.0" {
		return false
	}
	value := r.Header.Get("Content-Type")
	if len(value) < len(mediaType) || !strings.EqualFold(value[:len(mediaType)], mediaType) {
		return false
	}
	rest := value[len(mediaType):]
	return rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == ' '
}

// SetClient puts another client in the place of the connection's peer.
func (r *Request) SetClient(client netip.AddrPort) { r.Client, r.ClientText = client, "" }

// ClientPort is Client as a text: address and port.
func (r *Request) ClientPort() string {
	if r.ClientText == "" {
		return r.Client.String()
	}
	return r.ClientText
}

// ClientAddress is Client's address as a text.
func (r *Request) ClientAddress() string {
	s := r.ClientPort()
	port := strings.LastIndexByte(s, ':')
	if s[0] == '[' {
		return s[1 : port-1]
	}
	return s[:max(port, 0)]
}

// LineSize is the length of the request line in bytes, without its line end.
func (r *Request) LineSize() int {
	n := len(r.Method) + len(" ") + len(r.Path) + len(" ") + len(r.Proto)
	if r.Query != "" {
		n += len("?") + len(r.Query)
	}
	return n
}

// What the engine's messages are made of serves every protocol: HTTP/2 adapts
// to it.
type (
	Field    = http1.Field
	Header   = http1.Header
	Response = http1.Response
)

// Handler answers requests. It never returns nil.
type Handler func(context.Context, *Request) *Response
