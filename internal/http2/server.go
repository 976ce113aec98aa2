package http2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// Limits of a connection. What a client has sent, and nobody has read yet, is
// bounded for each stream and for the connection.
const (
	maxStreams       = 128 // as Application Load Balancers have it
	maxFields        = 256 // as internal/http1 has it
	streamBuffer     = 128 << 10
	connectionBuffer = 1 << 20
)

// Request is a request. Fields' names are in lower case, in the order in which
// they came, cookies in one field (RFC 9113, section 8.2.3). It is valid until
// the response has been sent and its Done been called.
//
// Its Body, if any, is Trailing.
type Request struct {
	http1.Request
	// Patient, which the handler may set, lets either side be silent for as long
	// as the other is not, at any rate of its body.
	Patient bool
}

// Handler answers requests; it never returns nil. The context ends when the
// client leaves or wants no answer any more, or the server is closed.
type Handler func(context.Context, *Request) *http1.Response

// Server serves connections.
type Server struct {
	handler Handler
	options http1.Options
}

// New makes a server. Of the options, those serve that are about requests and
// time; limits on connections are the listener's.
func New(h Handler, o http1.Options) *Server {
	return &Server{handler: h, options: o.WithDefaults()}
}

// Serve serves a connection until it ends; see http1.Options.Protocols. Once
// stopping is closed, the client is told to send no more requests (GOAWAY), and
// those that have come are answered.
func (s *Server) Serve(ctx context.Context, conn *http1.Conn, stopping <-chan struct{}) {
	c := newConn(s, conn)
	release := context.AfterFunc(ctx, func() { c.abort(context.Cause(ctx)) })
	defer release()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-stopping:
			c.announceEnd()
		case <-ended:
		}
	}()
	c.serve()
}
