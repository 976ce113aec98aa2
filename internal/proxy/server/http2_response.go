package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// http2Fault tells of a client's faults in the chain's words.
func http2Fault(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.Join(message.ErrClientSlow, err)
	}
	return errors.Join(message.ErrClientGone, err)
}

const copySize = 32 << 10

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, copySize); return &b }}

// Errors of a response's body.
var (
	errLonger  = errors.New("a body that is longer than its length")
	errShorter = errors.New("a body that is shorter than its length")
)

// send writes a response, whose body is passed on as it comes. After an error
// the stream is to be reset.
func (x *http2Stream) send(method string, r *message.Response) (sent int64, err error) {
	bodiless := method == "HEAD" || r.Status < 200 || r.Status == 204 || r.Status == 304
	x.head(r, bodiless)
	x.w.WriteHeader(r.Status)
	if bodiless || r.Body == nil {
		return 0, nil
	}
	w := http2Writer{stream: x}
	w.timer = time.AfterFunc(time.Hour, x.expire)
	defer w.timer.Stop()
	pooled := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(pooled)
	buffered, _ := r.Body.(http1.Buffered)
	for flushed := false; ; {
		if wait := buffered != nil && buffered.Buffered() == 0 || buffered == nil && r.Length < 0; wait && !flushed {
			if err := w.flush(); err != nil {
				return sent, err
			}
			flushed = true
		}
		n, readErr := r.Body.Read(*pooled)
		if n > 0 {
			if r.Length >= 0 && sent+int64(n) > r.Length {
				return sent, errLonger
			}
			x.move()
			if err := w.write((*pooled)[:n]); err != nil {
				return sent, err
			}
			sent, flushed = sent+int64(n), false
		}
		switch {
		case readErr == io.EOF && r.Length >= 0 && sent != r.Length:
			return sent, errShorter
		case readErr == io.EOF:
			x.trail(r)
			return sent, nil
		case readErr != nil:
			return sent, readErr
		}
	}
}

// http2Writer writes a response's body, which a client may not take too slowly.
type http2Writer struct {
	stream *http2Stream
	timer  *time.Timer // runs while the client is waited for
	pace   http1.Pace
}

func (w *http2Writer) flush() error {
	return w.took(0, w.begin(), w.stream.control.Flush())
}

func (w *http2Writer) write(p []byte) error {
	before := w.begin()
	n, err := w.stream.w.Write(p)
	return w.took(n, before, err)
}

func (w *http2Writer) begin() time.Time {
	w.timer.Reset(w.stream.patience(&w.pace))
	return time.Now()
}

// took is called when the client has taken n bytes.
func (w *http2Writer) took(n int, before time.Time, err error) error {
	w.timer.Stop()
	w.pace.Move(n, time.Since(before))
	if err != nil {
		return errors.Join(message.ErrClientGone, err)
	}
	return nil
}

// trail sets the fields behind the body.
func (x *http2Stream) trail(r *message.Response) {
	for name, values := range message.Trailer(r.Body) {
		x.w.Header()[http.TrailerPrefix+name] = values
	}
}

// head writes the header: what concerns a connection of HTTP/1.1 has no place
// in it, but that the connection is to be closed.
func (x *http2Stream) head(r *message.Response, bodiless bool) {
	h := x.w.Header()
	h["Content-Type"] = nil // not to be guessed
	for _, f := range r.Header {
		switch strings.ToLower(f.Name) {
		case "connection":
			if strings.EqualFold(f.Value, "close") {
				h.Set("Connection", "close")
			}
		case "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "trailer", "content-length":
		default:
			name := http.CanonicalHeaderKey(f.Name)
			h[name] = append(h[name], f.Value)
		}
	}
	switch {
	case !bodiless && r.Body == nil:
		h.Set("Content-Length", "0")
	case !bodiless && r.Length >= 0:
		h.Set("Content-Length", strconv.FormatInt(r.Length, 10))
	case bodiless && r.Status != 204 && r.Status != 304:
		// The length that the response to a GET would have (RFC 9110,
		// section 8.6). With status 304, which may have one too, there are
		// clients that wait for the body.
		if n, err := strconv.ParseUint(r.Header.Get("Content-Length"), 10, 63); err == nil {
			h.Set("Content-Length", strconv.FormatUint(n, 10))
		}
	}
}
