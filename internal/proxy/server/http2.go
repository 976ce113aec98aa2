package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// H2 is the name of HTTP/2 in TLS's handshake, for tls.Config.NextProtos.
const H2 = "h2"

// Limits of an HTTP/2 connection. The number of streams is that of Application
// Load Balancers, that of fields the HTTP/1.1 engine's. What a client has sent,
// and nobody has read yet, is bounded for each stream and for the connection.
const (
	maxStreams       = 128
	maxFields        = 256
	maxFrame         = 16 << 10
	streamBuffer     = 128 << 10
	connectionBuffer = 1 << 20
)

// http2Server serves the connections that speak HTTP/2, by net/http's
// implementation, which bounds control frames, resets and continuations.
type http2Server struct {
	handler message.Handler
	options Options
}

func newHTTP2(h message.Handler, o Options) *http2Server {
	return &http2Server{handler: h, options: o.WithDefaults()}
}

// serve serves one connection until it ends. Once stopping is closed, the
// client is told to send no more requests (GOAWAY), and those that have come
// are answered.
func (s *http2Server) serve(_ context.Context, c *http1.Conn, stopping <-chan struct{}) {
	l := &oneConn{conn: c.Conn, accept: make(chan net.Conn, 1), ended: make(chan struct{}), stopping: stopping}
	l.accept <- gather(c.Conn, s.options.StallTimeout)
	// Encryption is the connection's own: to net/http it has none.
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	h := &http.Server{
		Protocols:         &protocols,
		ReadHeaderTimeout: s.options.HeaderTimeout, // for the preface
		Handler:           &http2Handler{server: s, conn: c},
		MaxHeaderBytes:    s.options.MaxHeader,
		IdleTimeout:       s.options.IdleTimeout,
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				close(l.ended)
			}
		},
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame,
			MaxReceiveBufferPerConnection: connectionBuffer, MaxReceiveBufferPerStream: streamBuffer,
		},
	}
	h.Serve(l)
	select {
	case <-l.ended:
	case <-stopping:
		h.Shutdown(context.Background()) // the connection's end ends it, if need be by force
		<-l.ended
	}
}

// oneConn is a listener of one connection, whose end is its own.
type oneConn struct {
	conn     net.Conn
	accept   chan net.Conn
	ended    chan struct{}
	stopping <-chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	default:
	}
	select {
	case <-l.ended:
	case <-l.stopping:
	}
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// http2Handler answers the requests of a connection.
type http2Handler struct {
	server *http2Server
	conn   *http1.Conn
}

func (h *http2Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.conn.Begin()
	defer h.conn.End()
	o := &h.server.options
	x := &http2Stream{w: w, control: http.NewResponseController(w), options: o}
	defer x.end()
	m, refused := h.convert(r)
	if refused != nil {
		o.Log.Debug("request refused", "client", r.RemoteAddr, "reason", refused.Reason)
		answer := o.Refuse(refused)
		x.send(r.Method, &message.Response{Status: answer.Status, Header: answer.Header, Body: answer.Body, Length: answer.Length})
		return
	}
	x.call = m.IsGRPC()
	if r.ContentLength != 0 {
		m.Body = newHTTP2Body(x, r)
	}
	response := h.server.handler(r.Context(), m)
	if response.Tunnel != nil {
		response.Tunnel.Close()
	}
	sent, err := x.send(r.Method, response)
	if response.Body != nil {
		response.Body.Close()
	}
	if response.Done != nil {
		response.Done(sent, err)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // resets the stream
	}
}

// convert makes the chain's request. Names are in lower case, as on the wire;
// which order fields of different names had is not known.
func (h *http2Handler) convert(r *http.Request) (*message.Request, *http1.Refusal) {
	m := &message.Request{
		Method: r.Method, Proto: r.Proto, Length: r.ContentLength,
		Client: h.conn.Client, Server: h.conn.Server,
		Secure: h.conn.TLS != nil, TLS: h.conn.TLS, Connection: h.conn.Value.(*connection).value,
		Header: make(message.Header, 0, len(r.Header)+8),
	}
	line := &http1.Request{Method: r.Method, Target: r.RequestURI, Host: r.Host}
	if refused := line.Check(); refused != nil {
		return nil, refused
	}
	_, m.Path, m.Query = line.Origin()
	if m.Path == "*" {
		m.Path = "/*"
	}
	m.Host = r.Host
	for name, values := range r.Header {
		if name == "Host" {
			if !slices.Equal(values, []string{r.Host}) {
				return nil, &http1.Refusal{Status: 400, Reason: "a Host field other than the authority"}
			}
			continue
		}
		name = strings.ToLower(name)
		for _, v := range values {
			m.Header = append(m.Header, message.Field{Name: name, Value: strings.Trim(v, " \t")})
		}
	}
	if len(m.Header)+len(r.Trailer) > maxFields {
		return nil, &http1.Refusal{Status: 431, Reason: fmt.Sprintf("more than %d header fields", maxFields)}
	}
	for name := range r.Trailer {
		if !http1.Token(name) {
			return nil, &http1.Refusal{Status: 400, Reason: "a Trailer field with what is no name"}
		}
	}
	slices.SortStableFunc(m.Header, func(a, b message.Field) int { return strings.Compare(a.Name, b.Name) })
	return m, nil
}

// http2Stream is one request's stream. Its timers end it; afterwards they may
// not touch it.
type http2Stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	options *Options
	call    bool         // of gRPC, in which either side may be silent while the other is not
	moved   atomic.Int64 // when either side last sent something, in Unix nanoseconds; of calls

	mu    sync.Mutex
	ended bool
}

// patience is how long the client may be waited for.
func (x *http2Stream) patience(p *http1.Pace) time.Duration {
	if x.call {
		return x.options.StallTimeout
	}
	return p.Patience(x.options)
}

func (x *http2Stream) move() {
	if x.call {
		x.moved.Store(time.Now().UnixNano())
	}
}

func (x *http2Stream) end() {
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
}

// expire has writing end now.
func (x *http2Stream) expire() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		x.control.SetWriteDeadline(time.Unix(1, 0))
	}
}

// http2Body is a request's body, which a client may not send too slowly. A call
// of gRPC may last as it will, as long as either side sends something in time.
type http2Body struct {
	stream  *http2Stream
	request *http.Request
	pace    http1.Pace
	timer   *time.Timer
	waiting bool // for the client; guarded by the stream's lock
}

func newHTTP2Body(x *http2Stream, r *http.Request) *http2Body {
	b := &http2Body{stream: x, request: r}
	b.timer = time.AfterFunc(time.Hour, b.stalled)
	b.timer.Stop()
	return b
}

func (b *http2Body) Read(p []byte) (int, error) {
	b.stream.move()
	before := time.Now()
	b.wait(b.stream.patience(&b.pace))
	n, err := b.request.Body.Read(p)
	b.waited()
	b.pace.Move(n, time.Since(before))
	return n, http2Fault(err)
}

// Trailer are the fields that the client announced behind the body.
func (b *http2Body) Trailer() http.Header { return b.request.Trailer }

// wait begins to wait for the client, for so long.
func (b *http2Body) wait(d time.Duration) {
	b.stream.mu.Lock()
	defer b.stream.mu.Unlock()
	b.waiting = true
	b.timer.Reset(d)
}

func (b *http2Body) waited() {
	b.stream.mu.Lock()
	defer b.stream.mu.Unlock()
	b.waiting = false
	b.timer.Stop()
}

// stalled is called by the timer, which may be late: what it was for may have
// come meanwhile, and the next piece not be asked for yet.
func (b *http2Body) stalled() {
	x := b.stream
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended || !b.waiting {
		return
	}
	if x.call {
		quiet := time.Since(time.Unix(0, x.moved.Load()))
		if left := x.options.StallTimeout - quiet; left > 0 {
			b.timer.Reset(left)
			return
		}
	}
	x.control.SetReadDeadline(time.Unix(1, 0))
}
