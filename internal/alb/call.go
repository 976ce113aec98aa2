package alb

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// endCall has a gRPC call whose target breaks off end with the status that its
// client would see without a balancer. A reset would be one that says nothing,
// since net/http's server has one code for all.
func (x *exchange) endCall(r *message.Response) {
	body := &callBody{ReadCloser: r.Body, exchange: x}
	trailer := r.Trailer
	r.Body, r.Trailer = body, func() message.Header {
		if body.status == "" {
			return trailer()
		}
		return message.Header{{Name: "grpc-status", Value: body.status}, {Name: "grpc-message", Value: "the target broke off"}}
	}
}

// callBody is the body of a call's response.
type callBody struct {
	io.ReadCloser
	exchange *exchange
	status   string // that the call is to end with; empty for the target's own
}

func (b *callBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	x := b.exchange
	if err == nil || err == io.EOF || x.body.failure() != nil || errors.Is(err, context.Canceled) {
		return n, err // the target is not at fault
	}
	if x.cause == "" {
		x.cause = "response: " + err.Error()
	}
	timeout, limited := callTimeout(x.request.Header.Get("Grpc-Timeout"))
	b.status = strconv.Itoa(callStatus(err, limited && time.Since(x.start) >= timeout))
	return n, io.EOF
}

// Buffered is how many bytes can be read without waiting.
func (b *callBody) Buffered() int { return b.ReadCloser.(*responseBody).Buffered() }

// Statuses of gRPC ("Status codes and their use in gRPC").
const (
	callCancelled        = 1
	callDeadlineExceeded = 4
	callPermissionDenied = 7
	callExhausted        = 8
	callInternal         = 13
	callUnavailable      = 14
)

// callStatus is the status of a call that broke off ("gRPC over HTTP2",
// "Errors"): by the code of a reset, else by the loss of the connection.
func callStatus(err error, late bool) int {
	var reset upstream.Reset
	if !errors.As(err, &reset) {
		return callUnavailable
	}
	switch reset.Code {
	case 7: // REFUSED_STREAM
		return callUnavailable
	case 8: // CANCEL
		if late {
			return callDeadlineExceeded
		}
		return callCancelled
	case 11: // ENHANCE_YOUR_CALM
		return callExhausted
	case 12: // INADEQUATE_SECURITY
		return callPermissionDenied
	}
	return callInternal
}

// callTimeout reads a call's Grpc-Timeout: up to eight digits and a unit.
func callTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return 0, false
	}
	unit := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if err != nil || unit == 0 {
		return 0, false
	}
	return time.Duration(min(n, uint64(1<<63-1)/uint64(unit))) * unit, true
}
