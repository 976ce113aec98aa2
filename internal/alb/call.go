package alb

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// callBody is the body of the response to a gRPC call. If the target breaks off,
// the call ends with the status that its client would see without a balancer: a
// reset would be one that says nothing, since net/http's server has one code for
// all.
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

// Trailer are the fields behind the body.
func (b *callBody) Trailer() http.Header {
	if b.status != "" {
		return http.Header{"Grpc-Status": {b.status}, "Grpc-Message": {"the target broke off"}}
	}
	return message.Trailer(b.ReadCloser)
}

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
