package alb

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// forward sends the request to a target and passes the answer on.
func (x *exchange) forward(ctx context.Context, f *forward) *message.Response {
	if x.pickGroup(f); x.group != nil {
		if cause := x.group.incompatible(x.request); cause != "" {
			return x.failIncompatible(cause)
		}
	}
	if x.pickTarget(); x.target == nil {
		return x.fail(503, noTarget(x.group))
	}
	a := &x.snapshot.config.Attributes
	out := &x.out
	out.Method, out.Path, out.Query, out.Secure = x.request.Method, x.routed.Path, x.routed.Query, x.group.HTTPS
	out.Host, out.Header = x.targetHost(a), x.targetHeader(out.Header, a)
	out.Body, out.Length = x.request.Body, x.request.Length
	addTLS(&out.Header, x.request, a, x.listener.config.TLS)
	x.identify(&out.Header)
	if out.Secure {
		out.ServerName = x.target.Address.Addr().String()
	}
	if x.group.Version != config.HTTP1 {
		if strings.EqualFold(x.request.Header.Get("Te"), "trailers") {
			out.Header.Set("te", "trailers") // the only value that HTTP/2 has (RFC 9113, section 8.2.2)
		}
	} else if protocol := upgrade(x.request.Header); protocol != "" && out.Body == nil {
		out.Switch = true
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", protocol)
	}
	response, failed := x.call(ctx, out, idleTimeout(a))
	if failed != nil {
		return failed
	}
	if response.Tunnel == nil {
		response.Header.RemoveHop()
	}
	x.bind(f, response)
	return response
}

// upgrade is the protocol that the client asks for, if it is one that may pass.
func upgrade(h message.Header) string {
	protocol := h.Get("Upgrade")
	if !strings.EqualFold(protocol, "websocket") {
		return ""
	}
	for _, value := range h.Values("Connection") {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return protocol
			}
		}
	}
	return ""
}

// call exchanges the request for the header of an answer. Whenever nothing
// comes from the target for as long as the idle timeout, the exchange ends.
func (x *exchange) call(ctx context.Context, out *upstream.Request, idle time.Duration) (response, failed *message.Response) {
	incoming := &x.incoming
	incoming.source, x.body = out.Body, incoming
	if out.Body != nil {
		out.Body = incoming
	}
	if len(incoming.Trailer()) == 0 { // which comes with the body's end
		if err := out.Hold(); err != nil {
			return nil, x.failBody(err)
		}
	}
	out.Timeout = idle
	t := x.target
	t.outstanding.Add(1)
	x.sentTo = time.Since(x.start)
	response, fault := t.pool.Do(ctx, out)
	x.targetTime = time.Since(x.start) - x.sentTo
	if fault != nil {
		t.outstanding.Add(-1)
		if err := incoming.failure(); err != nil {
			return nil, x.failBody(err)
		}
		return nil, x.failTarget(fault)
	}
	x.targetStatus = response.Status
	t.vitals.add(response.Status >= 500)
	if response.Tunnel != nil {
		response.Done = func(int64, error) { t.outstanding.Add(-1) }
		return response, nil
	}
	x.sending = responseBody{source: response.Body, target: t}
	response.Body = &x.sending
	if x.request.IsGRPC() {
		response.Body = &callBody{ReadCloser: response.Body, exchange: x}
	}
	return response, nil
}

// failBody answers when the client's body could not be read.
func (x *exchange) failBody(err error) *message.Response {
	if errors.Is(err, message.ErrClientSlow) {
		return x.fail(408, "client: "+err.Error())
	}
	x.gone = true
	return x.fail(400, "client: closed the connection before the request was whole")
}

// failTarget answers a failed exchange with the target: 504 where AWS would
// have waited in vain, 502 where the target is at fault.
func (x *exchange) failTarget(e *upstream.Error) *message.Response {
	x.gone = e.Layer == upstream.LayerClient
	if !x.gone {
		x.target.vitals.add(true)
	}
	switch e.Kind {
	case upstream.Timeout, upstream.Unavailable:
		return x.fail(504, e.Error())
	}
	return x.fail(502, e.Error())
}

// requestBody passes the client's body on.
type requestBody struct {
	source io.Reader
	read   atomic.Int64 // bytes

	mu  sync.Mutex
	err error
}

func (b *requestBody) Read(p []byte) (int, error) {
	return b.took(b.source.Read(p))
}

// ReadPipe reads without copying; see http1.Piped.
func (b *requestBody) ReadPipe(p *http1.Pipe) (int, error) {
	return b.took(http1.ReadPipe(b.source, p))
}

func (b *requestBody) took(n int, err error) (int, error) {
	b.read.Add(int64(n))
	if err != nil && err != io.EOF && err != errors.ErrUnsupported {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// Whole takes the body if it is there; see http1.Whole.
func (b *requestBody) Whole() (whole []byte, release func()) {
	whole, release = message.Whole(b.source)
	b.read.Add(int64(len(whole)))
	return whole, release
}

// Trailer are the fields behind the body.
func (b *requestBody) Trailer() http.Header { return message.Trailer(b.source) }

// failure is the client's fault, if there was one.
func (b *requestBody) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// responseBody passes the target's body on.
type responseBody struct {
	source io.ReadCloser
	target *target
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.source.Read(p)
	return n, broken(err)
}

// ReadPipe reads without copying; see http1.Piped.
func (b *responseBody) ReadPipe(p *http1.Pipe) (int, error) {
	n, err := http1.ReadPipe(b.source, p)
	return n, broken(err)
}

func broken(err error) error {
	if err == nil || err == io.EOF || err == errors.ErrUnsupported {
		return err
	}
	return errors.Join(errBroken, err)
}

var errBroken = errors.New("the target broke off")

// Buffered is how many bytes can be read without waiting.
func (b *responseBody) Buffered() int {
	if source, ok := b.source.(http1.Buffered); ok {
		return source.Buffered()
	}
	return 1
}

// Trailer are the fields behind the body.
func (b *responseBody) Trailer() http.Header { return message.Trailer(b.source) }

func (b *responseBody) Close() error {
	b.target.outstanding.Add(-1)
	return b.source.Close()
}
