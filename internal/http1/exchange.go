package http1

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// exchange is one request and its response on a client's connection.
type exchange struct {
	cc      *clientConn
	request *Request
	ctx     context.Context
	stop    func() bool // the context's hold on the connection; nil if it has none
	interim int
	sender  sync.WaitGroup // sends the rest of the request's body

	mu   sync.Mutex
	sent bool  // the request is whole
	err  error // why its body could not be read

	body  *bodyReader
	keep  bool // the connection may serve another request
	over  atomic.Bool
	close sync.Once
}

// end takes the connection out of the context's hold, and tells whether it was
// still free of it.
func (x *exchange) end() bool { return x.stop == nil || x.stop() }

// send writes a request: with as much of its body as is there at once, the rest
// beside the response.
func (x *exchange) send(r *Request) error {
	pooled := outputs.Get().(*[]byte)
	b := append((*pooled)[:0], r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendFields(b, r.Header)
	switch {
	case r.Replay != nil:
		b = appendLength(b, int64(len(r.Replay)))
	case r.Body != nil && r.Length >= 0:
		b = appendLength(b, r.Length)
	case r.Body != nil:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH":
		b = appendLength(b, 0)
	}
	if r.Switch {
		b = append(b, "Connection: Upgrade\r\n"...)
	}
	b = append(b, "\r\n"...)
	if r.Body == nil {
		b = append(b, r.Replay...)
		_, err := x.cc.conn.Write(b)
		outputs.Put(pooled)
		x.sent = true
		return err
	}
	if _, err := x.cc.conn.Write(b); err != nil {
		outputs.Put(pooled)
		return err
	}
	x.sender.Go(func() {
		readErr, writeErr := x.sendBody(r, (*pooled)[:outputSize])
		outputs.Put(pooled)
		x.mu.Lock()
		x.sent, x.err = readErr == nil && writeErr == nil, readErr
		x.mu.Unlock()
		if readErr != nil {
			// The server waits for what does not come.
			x.cc.conn.Close()
		}
	})
	return nil
}

// failure is why the request's body could not be read.
func (x *exchange) failure() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

func (x *exchange) sendBody(r *Request, buf []byte) (readErr, writeErr error) {
	before, after, chunked := 0, 0, r.Length < 0
	if chunked {
		before, after = chunkHeader, len("\r\n"+lastChunk)
	}
	var sent int64
	for {
		n, readErr := r.Body.Read(buf[before : len(buf)-after])
		out := buf[:0]
		if n > 0 {
			out = buf[:before+n]
			if chunked {
				putChunkHeader(buf, n)
				out = append(out, "\r\n"...)
			}
		}
		if readErr == io.EOF && chunked {
			out = append(out, lastChunk...)
		}
		if sent += int64(n); !chunked && sent > r.Length {
			return errLonger, nil
		}
		if len(out) > 0 {
			if _, err := x.cc.conn.Write(out); err != nil {
				return nil, err
			}
		}
		switch {
		case readErr == io.EOF && !chunked && sent < r.Length:
			return io.ErrUnexpectedEOF, nil
		case readErr == io.EOF:
			return nil, nil
		case readErr != nil:
			return readErr, nil
		}
	}
}

// receive makes the response's body, behind which the connection is kept.
func (x *exchange) receive(r *Response, f framing) {
	if x.keep = !f.close && r.Status != 101; r.Status == 101 && x.request.Switch {
		r.Tunnel = &tunnel{exchange: x}
		return
	}
	switch f.kind {
	case bodyNone:
		r.Length = f.length // that of HEAD
		x.finish(true)
	case bodyFixed:
		r.Length = f.length
	default:
		r.Length = -1
	}
	if f.kind != bodyNone {
		x.body = newBodyReader(x.cc.in, f)
		r.Body = (*responseBody)(x)
	}
}

// finish ends the exchange: the connection is kept or closed.
func (x *exchange) finish(whole bool) {
	x.close.Do(func() {
		x.over.Store(true)
		free := x.end()
		x.mu.Lock()
		sent := x.sent
		x.mu.Unlock()
		if whole && free && sent && x.keep {
			x.cc.client.keep(x.cc)
			return
		}
		x.cc.conn.Close()
		x.cc.in.r = x.cc.in.w
		x.cc.in.release()
	})
}

// responseBody is the body of a response, as its receiver sees it.
type responseBody exchange

func (b *responseBody) Read(p []byte) (int, error) {
	x := (*exchange)(b)
	if x.over.Load() {
		return 0, x.body.err
	}
	n, err := x.body.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF && x.ctx.Err() != nil {
		err = context.Cause(x.ctx)
		x.body.err = err
	}
	x.finish(err == io.EOF)
	return n, err
}

// Buffered is how many bytes can be read without waiting.
func (b *responseBody) Buffered() int {
	if (*exchange)(b).over.Load() {
		return 0
	}
	return b.body.buffered()
}

// Close ends the exchange. What was not read is not waited for.
func (b *responseBody) Close() error {
	x := (*exchange)(b)
	if !x.over.Load() {
		x.body.err = net.ErrClosed
		x.finish(false)
	}
	return nil
}
