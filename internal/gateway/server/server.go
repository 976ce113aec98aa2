// Package server is the gateway's side towards clients: it turns the requests
// of Go's HTTP server into the gateway's own, guards against slow clients, and
// streams responses.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/message"
)

// Options are a server's limits. Zero values mean the defaults.
type Options struct {
	HeaderTimeout  time.Duration // for a request's line and header; default 10 s
	IdleTimeout    time.Duration // of a kept connection between requests; default 60 s
	StallTimeout   time.Duration // for the next piece of a body, either way; default 30 s
	MinRate        int64         // of a request's body in bytes a second, over all; default 1024
	MaxConnections int           // accepted at a time; default 10,000
	// MaxHeader is where the library gives up, with an answer of its own, on
	// a request's line and header; default 32 KiB. The chain answers above its
	// own limit, which is lower.
	MaxHeader int
	// Connect, if set, makes what each request of a connection finds as its
	// Connection. It is called when the connection was accepted.
	Connect func(client, server netip.AddrPort) any
	Log     *slog.Logger
}

func (o *Options) setDefaults() {
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = 10 * time.Second
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 60 * time.Second
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = 30 * time.Second
	}
	if o.MinRate == 0 {
		o.MinRate = 1024
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 10_000
	}
	if o.MaxHeader == 0 {
		o.MaxHeader = 32 << 10
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Server serves a handler on listeners.
type Server struct {
	handler message.Handler
	options Options
	http    http.Server

	mu      sync.Mutex
	ended   bool                  // no more tunnels
	tunnels map[net.Conn]struct{} // connections that are no more the library's
}

// New makes a server.
func New(h message.Handler, o Options) *Server {
	o.setDefaults()
	s := &Server{handler: h, options: o}
	s.http = http.Server{
		Handler:                      s,
		ReadHeaderTimeout:            o.HeaderTimeout,
		IdleTimeout:                  o.IdleTimeout,
		MaxHeaderBytes:               o.MaxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	if o.Connect != nil {
		s.http.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, o.Connect(addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())))
		}
	}
	return s
}

// connectionKey is the key of what Connect returned in a request's context.
type connectionKey struct{}

func addrPort(a net.Addr) netip.AddrPort {
	at, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// Serve accepts connections until Shutdown, and then returns nil.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, nil) }

// ServeTLS is Serve over TLS. HTTP/2 is not offered.
func (s *Server) ServeTLS(l net.Listener, c *tls.Config) error { return s.serve(l, c) }

func (s *Server) serve(l net.Listener, c *tls.Config) error {
	l = newLimited(l, s.options.MaxConnections, s.options.Log)
	if c != nil {
		l = tls.NewListener(l, c)
	}
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown stops accepting, lets requests under way end, and closes what is
// left when the context ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.endTunnels()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	return err
}

// ServeHTTP is called by the library for each request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	// The deadline of the answer before still holds; this also covers what the
	// library writes by itself.
	control.SetWriteDeadline(time.Now().Add(s.options.StallTimeout))
	request := convert(r)
	var incoming *body
	if r.ContentLength != 0 {
		// The answer may begin before the request's body has ended.
		control.EnableFullDuplex()
		incoming = &body{reader: r.Body, control: control, options: &s.options, start: time.Now()}
		request.Body, request.Length = incoming, r.ContentLength
	}
	response := s.handler(r.Context(), request)
	if incoming != nil && !incoming.ended.Load() {
		// The library could take the rest of the body for a request.
		w.Header()["Connection"] = []string{"close"}
	}
	if response.Tunnel != nil {
		s.tunnel(w, response)
		return
	}
	sent, err := s.write(w, control, r.Method, response)
	if response.Body != nil {
		response.Body.Close()
	}
	if response.Done != nil {
		response.Done(sent, err)
	}
	if incoming != nil {
		incoming.close(err == nil)
	}
	if err != nil {
		// What was sent is not whole: the client must not take it for that.
		panic(http.ErrAbortHandler)
	}
}

// convert makes the gateway's request. The target is taken as it was sent,
// since the parsed form does not keep every spelling.
func convert(r *http.Request) *message.Request {
	m := &message.Request{
		Method: r.Method, Proto: r.Proto, Host: r.Host, Secure: r.TLS != nil,
		Header: make(message.Header, 0, len(r.Header)),
	}
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") {
		if _, rest, ok := strings.Cut(target, "://"); ok {
			if i := strings.IndexAny(rest, "/?"); i >= 0 {
				target = rest[i:]
			} else {
				target = ""
			}
		}
	}
	target, _, _ = strings.Cut(target, "#")
	m.Path, m.Query, _ = strings.Cut(target, "?")
	if !strings.HasPrefix(m.Path, "/") {
		m.Path = "/" + m.Path
	}
	for name, values := range r.Header {
		for _, value := range values {
			m.Header.Add(name, value)
		}
	}
	m.Client, _ = netip.ParseAddrPort(r.RemoteAddr)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		m.Server, _ = netip.ParseAddrPort(local.String())
	}
	m.Connection = r.Context().Value(connectionKey{})
	return m
}

// canonical are the fields that the library looks for by their usual spelling.
var canonical = map[string]string{
	"content-length": "Content-Length", "content-type": "Content-Type", "date": "Date",
	"connection": "Connection", "transfer-encoding": "Transfer-Encoding", "trailer": "Trailer",
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// write sends a response. Data is passed on as it comes.
func (s *Server) write(w http.ResponseWriter, control *http.ResponseController, method string, r *message.Response) (sent int64, err error) {
	control.SetWriteDeadline(time.Now().Add(s.options.StallTimeout))
	header := w.Header()
	header["Content-Type"] = nil // not to be guessed
	for _, f := range r.Header {
		name := f.Name
		if usual, ok := canonical[strings.ToLower(name)]; ok {
			name = usual
		}
		header[name] = append(header[name], f.Value)
	}
	w.WriteHeader(r.Status)
	if r.Body == nil || method == http.MethodHead || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified {
		return 0, nil
	}
	if r.Length < 0 {
		// The first piece of a stream may be long in coming.
		if err := control.Flush(); err != nil {
			return 0, errors.Join(message.ErrClientGone, err)
		}
	}
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	for {
		n, readErr := r.Body.Read(*pooled)
		if n > 0 {
			control.SetWriteDeadline(time.Now().Add(s.options.StallTimeout))
			written, err := w.Write((*pooled)[:n])
			sent += int64(written)
			if err != nil {
				return sent, errors.Join(message.ErrClientGone, err)
			}
			if sent != r.Length { // the end is flushed by itself
				if err := control.Flush(); err != nil {
					return sent, errors.Join(message.ErrClientGone, err)
				}
			}
		}
		if readErr == io.EOF {
			if r.Length >= 0 && sent != r.Length {
				return sent, io.ErrUnexpectedEOF
			}
			return sent, nil
		}
		if readErr != nil {
			return sent, readErr
		}
	}
}
