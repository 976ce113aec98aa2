package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// Kind says what sort of failure an Error is.
type Kind int

const (
	// Unavailable: there is no way to the backend; packets are dropped for a
	// known cause, or the link can't be used.
	Unavailable Kind = iota
	// Network: the backend refused or broke the connection.
	Network
	// Timeout: the time ran out.
	Timeout
	// TLS: no secure connection could be made.
	TLS
	// Protocol: the backend's answer is not HTTP.
	Protocol
)

// Error is a failed exchange with a backend, and its cause.
type Error struct {
	Kind  Kind
	Layer string // what failed: a drop reason such as "sg-ingress", or "connect", "tls", …
	Cause string
}

// Error is "layer: cause", as the access log shows it.
func (e *Error) Error() string {
	if e.Cause == "" || strings.HasPrefix(e.Cause, e.Layer+":") {
		return e.Cause
	}
	return e.Layer + ": " + e.Cause
}

// LayerClient is the layer of an exchange that its client has left.
const LayerClient = "client"

// ErrTimeout is the end of the time that a backend is given; a context may be
// cancelled by it, too.
var ErrTimeout = http1.ErrTimeout

// classify turns an error of the engine into an *Error. What is known of the
// opening of a connection goes before the bare error.
func classify(ctx context.Context, err error) *Error {
	var known *Error
	cause := context.Cause(ctx)
	if errors.As(cause, &known) {
		return known
	}
	// A client that has left also ends its dial, with an error of no interest.
	if gone := cause != nil && !errors.Is(cause, ErrTimeout); errors.As(err, &known) && (!gone || known.Kind == Unavailable) {
		return known
	} else if gone {
		return &Error{Network, LayerClient, "the client closed the connection"}
	}
	if cause != nil || errors.Is(err, ErrTimeout) {
		return &Error{Timeout, "timeout", "no answer to the request in time"}
	}
	var (
		certificate *tls.CertificateVerificationError
		hostname    x509.HostnameError
		authority   x509.UnknownAuthorityError
		invalid     x509.CertificateInvalidError
		alert       tls.AlertError
		record      tls.RecordHeaderError
		dns         *net.DNSError
		operation   *net.OpError
	)
	if text, ok := resetCause(err); ok {
		return &Error{Network, "backend", text}
	}
	switch {
	case errors.As(err, &certificate), errors.As(err, &hostname), errors.As(err, &authority),
		errors.As(err, &invalid), errors.As(err, &alert), errors.As(err, &record),
		strings.Contains(err.Error(), "TLS handshake timeout"),
		errors.As(err, &operation) && operation.Op == "remote error":
		return &Error{TLS, "tls", err.Error()}
	case errors.As(err, &dns):
		return &Error{Network, "dns", err.Error()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), strings.Contains(err.Error(), "server closed idle connection"),
		strings.HasPrefix(err.Error(), "http2: client conn"), strings.HasPrefix(err.Error(), "http2: server sent GOAWAY"):
		return &Error{Network, "backend", "the connection was closed before the response"}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &operation):
		return &Error{Network, "connection", err.Error()}
	}
	return &Error{Protocol, "backend", err.Error()}
}

// dialCause says briefly why a connection could not be opened.
func dialCause(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network is unreachable"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "the source address is not on this machine, or has no free port"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer"
	}
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Err != nil {
		return operation.Err.Error()
	}
	return err.Error()
}
