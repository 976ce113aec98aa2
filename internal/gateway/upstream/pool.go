// Package upstream is the client side of the gateway: connections to backends
// through VPC links and to the internet, and exchanges on them.
package upstream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/gateway/message"
)

// Pool keeps connections that were opened by one way under one set of rules.
// When either changes, the pool is retired and another takes its place, so
// that no request travels on a connection that could not be opened any more.
type Pool struct {
	upstream  config.Upstream
	skip      bool
	transport *http.Transport
	requests  atomic.Uint64
	dials     atomic.Uint64
	retired   atomic.Bool
}

// Options are what all pools of a gateway have in common.
type Options struct {
	Dialing
	// RootCAs are the authorities that backends' certificates are checked
	// against; nil means the system's.
	RootCAs *x509.CertPool
	// IdleTimeout is how long an unused connection is kept; default 55 s,
	// shorter than the 60 s that many backends allow.
	IdleTimeout time.Duration
	// AnyCertificate takes whatever certificate a backend presents.
	AnyCertificate bool
	// AllowPrivate lets integrations without a VPC link reach addresses that
	// are not on the public internet.
	AllowPrivate bool
}

func (o *Options) setDefaults() {
	o.Dialing.setDefaults()
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 55 * time.Second
	}
}

// NewPool makes a pool for the way through a VPC link. With skip, backends'
// certificates need no trusted issuer.
func NewPool(u config.Upstream, skip bool, o Options) *Pool {
	o.setDefaults()
	p := &Pool{upstream: u, skip: skip}
	p.transport = newTransport(o, skip)
	p.transport.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		return o.dial(ctx, paths(&p.upstream, laneOf(address)+p.dials.Add(1)*uint64(len(u.Destinations))))
	}
	return p
}

// lane is the destination whose turn it is. The transport knows it as a port,
// since it keeps connections to different ports apart: so requests spread over
// the destinations, not only connections.
func (p *Pool) lane() string {
	n := uint64(max(1, len(p.upstream.Destinations)))
	return strconv.FormatUint(1+p.requests.Add(1)%n, 10)
}

func laneOf(address string) uint64 {
	n, _ := strconv.ParseUint(address[strings.LastIndexByte(address, ':')+1:], 10, 64)
	return n - 1
}

// NewInternetPool makes a pool for backends that are reached by name.
func NewInternetPool(skip bool, o Options) *Pool {
	o.setDefaults()
	p := &Pool{skip: skip, transport: newTransport(o, skip)}
	p.transport.DialContext = internetDialer(o.AllowPrivate).DialContext
	return p
}

func newTransport(o Options, skip bool) *http.Transport {
	return &http.Transport{
		TLSClientConfig:        tlsConfig(o, skip),
		TLSHandshakeTimeout:    10 * time.Second,
		DisableCompression:     true, // bodies pass as they are
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        o.IdleTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
	}
}

// Serves tells whether the pool is for this upstream as it is now.
func (p *Pool) Serves(u *config.Upstream, skip bool) bool {
	return p.skip == skip && reflect.DeepEqual(&p.upstream, u)
}

// Retire closes idle connections now and the others when their exchange ends.
func (p *Pool) Retire() {
	p.retired.Store(true)
	p.transport.CloseIdleConnections()
}

// Idle connections of a retired pool may come back from exchanges that were
// under way, or began at the moment of the change.
func (p *Pool) finished() {
	if p.retired.Load() {
		p.transport.CloseIdleConnections()
	}
}

// Request is what is sent to a backend.
type Request struct {
	Method string
	// Secure asks for TLS; ServerName is then sent and verified.
	Secure     bool
	ServerName string
	// Address is where a backend on the internet is; through a link it is
	// ignored.
	Address string // host:port
	Path    string // escaped, sent as it is
	Query   string
	Host    string
	Header  message.Header
	// Body is nil for none. Replay holds the whole body if it is small, so
	// that the request can be sent again when a kept connection turns out to
	// be closed.
	Body   io.Reader
	Length int64
	Replay []byte
	// Switch allows the backend to take the connection over for another
	// protocol (status 101), with the response's Tunnel as the way to it.
	Switch bool
}

// Do sends a request and returns when the header of the answer is there. An
// error is an *Error. The caller closes the response's body.
func (p *Pool) Do(ctx context.Context, r *Request) (*message.Response, *Error) {
	if p.upstream.Cause != "" {
		return nil, &Error{Unavailable, cmp.Or(p.upstream.Layer, "vpc-link"), p.upstream.Cause}
	}
	outer := ctx
	ctx, a := withAttempt(ctx)
	request, err := r.convert(ctx, p.lane())
	if err != nil {
		return nil, &Error{Unavailable, "configuration", err.Error()}
	}
	response, err := p.transport.RoundTrip(request)
	if err != nil {
		p.finished()
		return nil, classify(outer, err, a)
	}
	tunnel, switched := response.Body.(io.ReadWriteCloser)
	if response.StatusCode < 200 && !(switched && r.Switch) {
		response.Body.Close()
		p.finished()
		return nil, &Error{Protocol, "backend", "it answered with status " + strconv.Itoa(response.StatusCode)}
	}
	answer := &message.Response{
		Status: response.StatusCode,
		Header: make(message.Header, 0, len(response.Header)+8),
		Body:   &body{response.Body, p},
		Length: response.ContentLength,
	}
	for name, values := range response.Header {
		for _, value := range values {
			answer.Header.Add(name, value)
		}
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		answer.Body, answer.Tunnel = nil, tunnel
	}
	return answer, nil
}

// body tells the pool when an exchange is over.
type body struct {
	io.ReadCloser
	pool *Pool
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.pool.finished()
	return err
}

// convert makes the transport's form of the request, in which nothing is
// added to the header but the framing of the body.
func (r *Request) convert(ctx context.Context, lane string) (*http.Request, error) {
	u := &url.URL{Scheme: "http", Host: "link:" + lane, RawQuery: r.Query}
	if r.Address != "" {
		u.Host = r.Address
	}
	if r.Secure {
		u.Scheme = "https"
		// The transport takes the server's name from the address, and keeps
		// connections with different names apart.
		if r.Address == "" {
			u.Host = net.JoinHostPort(strings.Trim(r.ServerName, "[]"), lane)
		}
	}
	if strings.HasPrefix(r.Path, "//") {
		// An opaque target would be read as an authority.
		path, err := url.PathUnescape(r.Path)
		if err != nil {
			return nil, err
		}
		u.Path, u.RawPath = path, r.Path
	} else {
		u.Opaque = r.Path
	}
	request := (&http.Request{
		Method: r.Method, URL: u, Host: r.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(r.Header)+1),
	}).WithContext(ctx)
	request.Header["User-Agent"] = nil // nothing of the library's own
	for _, f := range r.Header {
		name := f.Name
		if strings.EqualFold(name, "User-Agent") {
			name = "User-Agent"
		}
		request.Header[name] = append(request.Header[name], f.Value)
	}
	switch {
	case r.Replay != nil:
		request.ContentLength = int64(len(r.Replay))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Replay)), nil }
		request.Body, _ = request.GetBody()
	case r.Body != nil:
		request.Body = io.NopCloser(r.Body)
		request.ContentLength = r.Length
	}
	return request, nil
}
