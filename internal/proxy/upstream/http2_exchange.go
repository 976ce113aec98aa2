package upstream

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// maxSends bounds how often a request is sent that backends did nothing with.
const maxSends = 3

// do sends a request and returns when the header of the answer is there. It is
// sent again only if the backend did nothing with it, or it may be (RFC 9110,
// section 9.2.2).
func (c *http2Client) do(ctx context.Context, r *Request) (*message.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	x := &http2Exchange{client: c, ctx: ctx, cancel: cancel, timeout: r.Timeout}
	c.begin(x)
	x.begin()
	// net/http may still be sending when this returns.
	if r.Replay = bytes.Clone(r.Replay); r.release != nil {
		r.release()
	}
	request, kept := x.convert(r, c.secure)
	for sends := 1; ; sends++ {
		response, lost, err := c.send(x, request)
		if err == nil {
			kept.settle()
			x.waiting.Store(false)
			return x.receive(response, kept != nil), nil
		}
		if ctx.Err() == nil && (unprocessed(err) && sends < maxSends || lost && repeatable(r) && sends == 1) {
			if next := again(request, r, kept); next != nil {
				request = next
				continue
			}
		}
		x.end(context.Canceled)
		if cause := context.Cause(ctx); cause != context.Canceled {
			err = cause
		}
		return nil, err
	}
}

// send sends a request once. lost tells, with an error, that its connection
// ended.
func (c *http2Client) send(x *http2Exchange, request *http.Request) (_ *http.Response, lost bool, _ error) {
	conn, err := c.take(x.ctx)
	if err != nil {
		return nil, false, err
	}
	x.conn.Store(conn)
	response, err := conn.RoundTrip(request)
	return response, err != nil && conn.Err() != nil, err
}

// repeatable tells whether a request may be carried out twice.
func repeatable(r *Request) bool {
	return r.Body == nil && http1.Idempotent(r.Method)
}

// again is a request with its body anew; nil if that is not there any more. The
// one before may still be looked at by whoever sent it.
func again(request *http.Request, r *Request, kept *keptBody) *http.Request {
	next := *request
	switch {
	case len(r.Replay) > 0:
		next.Body = io.NopCloser(bytes.NewReader(r.Replay))
	case kept != nil:
		body, ok := kept.open()
		if !ok {
			return nil
		}
		next.Body, next.Trailer = body, body.trailer
	}
	return &next
}

// http2Exchange is one request and its response. Its clock ends it when the
// backend was silent for the request's timeout: nobody waits for the client
// meanwhile, neither for its body nor for its taking the response.
type http2Exchange struct {
	client  *http2Client
	ctx     context.Context
	cancel  context.CancelCauseFunc
	conn    atomic.Pointer[http2Conn]
	timeout time.Duration // 0: none
	clock   *time.Timer
	last    atomic.Int64 // when something moved, in nanoseconds since began
	began   time.Time
	waiting atomic.Bool // for the response, or a piece of it
	asking  atomic.Bool // for a piece of the request's body
	watch   func() bool // nil, or ends the watch of the context
}

func (x *http2Exchange) begin() {
	x.began = time.Now()
	x.waiting.Store(true)
	if x.timeout > 0 {
		x.clock = time.AfterFunc(time.Hour, x.look) // which sees itself set
		x.clock.Reset(x.timeout)
	}
}

func (x *http2Exchange) moved() { x.last.Store(int64(time.Since(x.began))) }

func (x *http2Exchange) look() {
	if x.ctx.Err() != nil {
		return // nor is the clock to go on
	}
	left := x.timeout - (time.Since(x.began) - time.Duration(x.last.Load()))
	if !x.waiting.Load() || x.asking.Load() {
		left = x.timeout
	}
	if left <= 0 {
		// A connection whose other end is gone without a word must not take the
		// requests to come; others that wait on it are left their time. The first
		// half of the time is for what concerned the request itself.
		if conn := x.conn.Load(); conn != nil && conn.wire.silent() >= x.timeout/2 {
			conn.spent.Store(true)
		}
		x.cancel(ErrTimeout)
		return
	}
	x.clock.Reset(left)
}

func (x *http2Exchange) end(cause error) {
	if x.clock != nil {
		x.clock.Stop()
	}
	if x.watch != nil {
		x.watch()
	}
	x.client.forget(x)
	x.cancel(cause)
}

// convert makes net/http's form of the request, in which nothing is added but
// the length of the body. Its strings are copies: net/http may still look at them
// when the request has ended. What is kept of a body that is streamed is nil if
// there is none.
func (x *http2Exchange) convert(r *Request, secure bool) (*http.Request, *keptBody) {
	var texts http1.Texts
	own := func(s string) string { return texts.Join(s) }
	h := make(http.Header, len(r.Header)+1)
	for _, f := range r.Header {
		if _, ok := h[f.Name]; !ok {
			f.Name = own(f.Name)
		}
		h[f.Name] = append(h[f.Name], own(f.Value))
	}
	if !r.Header.Has("User-Agent") {
		h["User-Agent"] = []string{""} // none
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	// An opaque URL is sent as it is, but for a path that begins with two
	// slashes, of which the scheme and host before it are taken off.
	host := own(r.Host)
	target := &url.URL{Scheme: scheme, Host: host, Opaque: own(r.Path), RawQuery: own(r.Query)}
	if strings.HasPrefix(r.Path, "//") {
		target.Opaque = "//" + host + r.Path
	}
	out := &http.Request{Method: own(r.Method), URL: target, Host: host, Header: h}
	var kept *keptBody
	switch {
	case len(r.Replay) > 0:
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(r.Replay)), int64(len(r.Replay))
	case r.Body != nil:
		kept = newKeptBody(r.Body, x)
		body, _ := kept.open()
		out.Body, out.Trailer, out.ContentLength = body, body.trailer, r.Length
	}
	return out.WithContext(x.ctx), kept
}

// receive makes the chain's response. While the request's body is streamed,
// net/http waits for that and does not look at the context.
func (x *http2Exchange) receive(r *http.Response, streamed bool) *message.Response {
	if streamed {
		x.watch = context.AfterFunc(x.ctx, func() { r.Body.Close() })
	}
	return &message.Response{
		Status: r.StatusCode, Header: chainHeader(r.Header), Length: r.ContentLength,
		Body: &http2Body{x, r, r.ContentLength == 0},
	}
}

// chainHeader sorts the fields by name, since their order is not known.
func chainHeader(h http.Header) message.Header {
	out := make(message.Header, 0, len(h)+8)
	for name, values := range h {
		for _, v := range values {
			out = append(out, message.Field{Name: name, Value: v})
		}
	}
	slices.SortStableFunc(out, func(a, b message.Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// http2Body is the body of a response.
type http2Body struct {
	x        *http2Exchange
	response *http.Response
	empty    bool
}

func (b *http2Body) Read(p []byte) (int, error) {
	b.x.moved()
	b.x.waiting.Store(true)
	n, err := b.response.Body.Read(p)
	b.x.moved()
	b.x.waiting.Store(false)
	if err != nil && err != io.EOF {
		if cause := context.Cause(b.x.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Buffered is how many bytes can be read without waiting, as far as is known:
// none, so that what there is is passed on at once. The end of an empty body is
// not waited for: a header with the status of a gRPC call must be the last one.
func (b *http2Body) Buffered() int {
	if b.empty {
		return 1
	}
	return 0
}

// Trailer are the fields behind the body.
func (b *http2Body) Trailer() http.Header { return b.response.Trailer }

// Close ends the exchange. What was not read is not waited for: the stream is
// reset.
func (b *http2Body) Close() error {
	b.x.end(context.Canceled)
	return b.response.Body.Close()
}
