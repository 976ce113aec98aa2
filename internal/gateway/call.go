package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

var errTooLarge = errors.New("the body is larger than the gateway's limit")

// call sends a request with the client's body to the backend. The backend may
// be silent for the integration's timeout; that does not run while the client
// is waited for.
func (x *exchange) call(ctx context.Context, in *integration, out *upstream.Request) (*message.Response, *message.Response) {
	limit := x.gateway.options.MaxPayload
	x.incoming = requestBody{source: out.Body, left: limit}
	if out.Body != nil {
		out.Body = &x.incoming
	}
	if err := out.Hold(); err != nil {
		return nil, x.failBody(err)
	}
	out.Timeout = in.timeout
	x.integrated, x.integrationStarted = true, x.start.Add(time.Since(x.start))
	x.beginIntegrationSpan(out)
	response, failed := in.pool.Do(ctx, out)
	x.integrationLatency = time.Since(x.integrationStarted)
	if failed != nil {
		if err := x.incoming.failure(); err != nil {
			return nil, x.failBody(err)
		}
		return nil, x.failUpstream(failed)
	}
	x.integrationStatus = response.Status
	if x.stage.log != nil {
		x.endpointIDs = [2]string{endpointID(response.Header), response.Header.Get("x-amz-id-2")}
	}
	if out.Method == "HEAD" && x.request.Method != "HEAD" {
		// The length is of a body that the client asked for and the backend was not.
		response.Length = 0
		response.Header.Del("Content-Length")
	}
	if response.Length > limit {
		response.Body.Close()
		return nil, x.fail(internalError, fmt.Sprintf("backend: a response of %d bytes is larger than the gateway's limit", response.Length))
	}
	x.sending = responseBody{source: response.Body, left: limit}
	response.Body = &x.sending
	return response, nil
}

// failBody answers when the client's body could not be read.
func (x *exchange) failBody(err error) *message.Response {
	switch {
	case errors.Is(err, errTooLarge):
		return x.fail(requestTooLarge, "request: the body is too large")
	case errors.Is(err, message.ErrClientSlow):
		return x.fail(requestTimeout, "client: "+err.Error())
	}
	return x.fail(badRequest, "client: closed the connection before the request was whole")
}

// requestBody passes the client's body on, up to a size.
type requestBody struct {
	source io.Reader
	left   int64

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
	if b.left -= int64(n); b.left < 0 {
		err = errTooLarge
		n = 0
	}
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
	b.left -= int64(len(whole))
	return whole, release
}

// failure is the client's fault, if there was one.
func (b *requestBody) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// responseBody passes the backend's body on, up to a size.
type responseBody struct {
	source io.ReadCloser
	left   int64
}

func (b *responseBody) Read(p []byte) (int, error) {
	return b.took(b.source.Read(p))
}

// ReadPipe reads without copying; see http1.Piped.
func (b *responseBody) ReadPipe(p *http1.Pipe) (int, error) {
	return b.took(http1.ReadPipe(b.source, p))
}

func (b *responseBody) took(n int, err error) (int, error) {
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("backend: the response is larger than the gateway's limit")
	}
	if err != nil && err != io.EOF && err != errors.ErrUnsupported {
		err = fmt.Errorf("backend: the response broke off: %w", err)
	}
	return n, err
}

// Buffered is how many bytes can be read without waiting; see http1.Buffered.
func (b *responseBody) Buffered() int {
	if source, ok := b.source.(http1.Buffered); ok {
		return source.Buffered()
	}
	return 1
}

func (b *responseBody) Close() error { return b.source.Close() }

// setLength writes the length of a response into its header.
func setLength(r *message.Response) {
	r.Header.Set("Content-Length", strconv.FormatInt(r.Length, 10))
}
