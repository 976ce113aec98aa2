// Package upstream is the client side of a proxy: connections to backends
// through VPC links and to the internet, and exchanges on them.
package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/way"
)

// Pool keeps connections that were opened by one way under one set of rules.
// When either changes, the pool is retired and another takes its place, so
// that no request travels on a connection that could not be opened any more.
type Pool struct {
	upstream way.Upstream
	skip     bool
	client   http1.Client
	http2    *http2Client // in the place of client
	requests atomic.Uint64
	dials    atomic.Uint64
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
	// Dialled, if set, is told of each connection that was opened, or could not
	// be: it gets the error, unless nobody waited for the connection any more.
	Dialled func(error)
}

func (o *Options) dialled(ctx context.Context, err error) {
	if o.Dialled != nil && (err == nil || ctx.Err() == nil || context.Cause(ctx) == ErrTimeout) {
		o.Dialled(err)
	}
}

func (o *Options) setDefaults() {
	o.Dialing.setDefaults()
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 55 * time.Second
	}
}

// Limits of what is kept and read.
const (
	maxIdle          = 256 // connections to one destination
	maxHead          = 64 << 10
	handshakeTimeout = 10 * time.Second
)

// NewPool makes a pool for the way through a VPC link. With skip, backends'
// certificates need no trusted issuer.
func NewPool(u way.Upstream, skip bool, o Options) *Pool {
	o.setDefaults()
	return newPool(u, skip, o, func(ctx context.Context, p *Pool, lane string) (net.Conn, error) {
		n, _ := strconv.ParseUint(lane, 10, 64)
		return o.dial(ctx, paths(&p.upstream, n+p.dials.Add(1)*uint64(len(u.Destinations))))
	})
}

// NewHTTP2Pool makes a pool for a way to one destination that speaks HTTP/2: by
// prior knowledge, or with TLS by its handshake, in which the destination's
// address is the server's name.
func NewHTTP2Pool(u way.Upstream, secure bool, o Options) *Pool {
	o.setDefaults()
	p := &Pool{upstream: u}
	p.http2 = &http2Client{secure: secure, idle: o.IdleTimeout, dial: func(ctx context.Context) (conn net.Conn, err error) {
		defer func() { o.dialled(ctx, err) }()
		conn, err = o.dial(ctx, paths(&u, p.dials.Add(1)))
		if err != nil || !secure {
			return conn, err
		}
		c := tlsConfig(o, false)
		c.NextProtos = []string{"h2"}
		conn, err = handshake(ctx, conn, c, u.Destinations[0].Address.Addr().String())
		if err == nil && conn.(*tls.Conn).ConnectionState().NegotiatedProtocol != "h2" {
			conn.Close()
			return nil, &Error{TLS, "tls", "the backend did not choose HTTP/2 in the handshake"}
		}
		return conn, err
	}}
	return p
}

// NewInternetPool makes a pool for backends that are reached by name.
func NewInternetPool(skip bool, o Options) *Pool {
	o.setDefaults()
	dialer := internetDialer(o.AllowPrivate)
	return newPool(way.Upstream{}, skip, o, func(ctx context.Context, _ *Pool, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", address)
	})
}

// newPool makes a pool whose connections dial opens to a place: a lane or an
// address.
func newPool(u way.Upstream, skip bool, o Options, dial func(ctx context.Context, p *Pool, place string) (net.Conn, error)) *Pool {
	p := &Pool{upstream: u, skip: skip}
	secure := tlsConfig(o, skip)
	p.client = http1.Client{
		IdleTimeout: o.IdleTimeout, MaxIdle: maxIdle, HeadLimit: maxHead,
		Dial: func(ctx context.Context, key string) (conn net.Conn, err error) {
			defer func() { o.dialled(ctx, err) }()
			place, name, withTLS := strings.Cut(key, " ")
			conn, err = dial(ctx, p, place)
			if err != nil || !withTLS {
				return conn, err
			}
			return handshake(ctx, conn, secure, name)
		},
	}
	return p
}

// handshake makes a connection secure; the server's name is sent and verified.
func handshake(ctx context.Context, conn net.Conn, c *tls.Config, name string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout,
		&Error{TLS, "tls", fmt.Sprintf("no handshake in %v", handshakeTimeout)})
	defer cancel()
	c = c.Clone()
	c.ServerName = name
	secure := tls.Client(http1.Socket(conn), c)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return secure, nil
}

// key names connections that may carry the request: to the destination whose
// turn it is, so that requests spread, not only connections; or to its address
// on the internet.
func (p *Pool) key(r *Request) string {
	place := r.Address
	if place == "" {
		n := uint64(max(1, len(p.upstream.Destinations)))
		place = strconv.FormatUint(p.requests.Add(1)%n, 10)
	}
	if !r.Secure {
		return place
	}
	name := r.ServerName
	if name == "" {
		name, _, _ = net.SplitHostPort(r.Address)
	}
	return place + " " + strings.Trim(name, "[]")
}

// Upstream is the way that the pool is for; zero for the internet.
func (p *Pool) Upstream() way.Upstream { return p.upstream }

// Serves tells whether the pool is for this upstream as it is now.
func (p *Pool) Serves(u *way.Upstream, skip bool) bool {
	return p.skip == skip && reflect.DeepEqual(&p.upstream, u)
}

// Retire closes idle connections now and the others when their exchange ends.
func (p *Pool) Retire() {
	if p.http2 != nil {
		p.http2.retire()
		return
	}
	p.client.Retire()
}

// Abort closes all connections now. What is under way fails with the cause, as
// does whatever would be sent.
func (p *Pool) Abort(cause *Error) {
	if p.http2 != nil {
		p.http2.abort(cause)
		return
	}
	p.client.Abort(cause)
}

// Connections is how many there are.
func (p *Pool) Connections() int {
	if p.http2 != nil {
		return p.http2.connections()
	}
	return p.client.Connections()
}

// Unused tells whether there are none, and no requests.
func (p *Pool) Unused() bool {
	return p.Connections() == 0 && (p.http2 == nil || p.http2.unused())
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
	// be closed. HTTP/2 sends what is behind a message.Trailing body, too.
	Body   io.Reader
	Length int64
	Replay []byte
	// Timeout is how long the backend may be silent; see http1.Request.
	Timeout time.Duration
	// Switch allows the backend to take the connection over for another
	// protocol (status 101), with the response's Tunnel as the way to it.
	Switch bool

	// Texts is memory for the strings of the request and its response; nil has some
	// allocated.
	Texts *http1.Texts

	release func() // gives up Replay, if not nil

	wire http1.Request // the engine's form of it
	room http1.Room
}

// Reset makes an empty request of one whose response nobody looks at any more.
// It keeps the memory.
func (r *Request) Reset() {
	clear(r.Header)
	*r = Request{Header: r.Header[:0], Texts: r.Texts, room: r.room}
}

// unusable says why no connection can be tried, if that is so.
func (p *Pool) unusable() *Error {
	if p.upstream.Cause == "" {
		return nil
	}
	return &Error{Unavailable, cmp.Or(p.upstream.Layer, "vpc-link"), p.upstream.Cause}
}

// Way is one way to open a connection.
type Way struct {
	Zone        string         `json:"zone,omitempty"`
	Source      netip.Addr     `json:"source,omitzero"` // zero: the gateway's own address
	Destination netip.AddrPort `json:"destination"`
}

// Ways are those that the next request would try if it opened a connection,
// in this order, or the error that it would meet.
func (p *Pool) Ways() ([]Way, *Error) {
	if err := p.unusable(); err != nil {
		return nil, err
	}
	n := uint64(len(p.upstream.Destinations))
	if n == 0 {
		return nil, nil
	}
	var ways []Way
	for _, w := range paths(&p.upstream, (p.requests.Load()+1)%n+(p.dials.Load()+1)*n) {
		way := Way{Source: w.source, Destination: w.destination}
		for _, d := range p.upstream.Destinations {
			if d.Address == w.destination {
				way.Zone = d.Zone
			}
		}
		ways = append(ways, way)
	}
	return ways, nil
}

// Do sends a request and returns when the header of the answer is there. An
// error is an *Error. The caller closes the response's body.
func (p *Pool) Do(ctx context.Context, r *Request) (*message.Response, *Error) {
	if err := p.unusable(); err != nil {
		return nil, err
	}
	var response *message.Response
	var err error
	if p.http2 != nil {
		response, err = p.http2.do(ctx, r)
	} else {
		response, err = p.client.Do(ctx, p.key(r), r.convert())
	}
	if err != nil {
		return nil, classify(ctx, err)
	}
	if response.Tunnel != nil {
		return response, nil
	}
	if response.Body == nil {
		response.Body = noBody{}
	}
	// HTTP/2 has any number for one, the server only those of three digits.
	if response.Status < 200 || response.Status > 999 {
		response.Body.Close()
		return nil, &Error{Protocol, "backend", "it answered with status " + strconv.Itoa(response.Status)}
	}
	return response, nil
}

// noBody is the body of a response that has none.
type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, io.EOF }
func (noBody) Close() error             { return nil }

// convert makes the engine's form of the request, in which nothing is added
// but the host and the framing of the body.
func (r *Request) convert() *http1.Request {
	target := r.Path
	if r.Query != "" {
		target = r.Texts.Join(target, "?", r.Query)
	}
	out := &r.wire
	*out = http1.Request{
		Method: r.Method, Target: target, Host: r.Host, Header: r.Header, Switch: r.Switch, Timeout: r.Timeout,
		Room: &r.room, Texts: r.Texts,
	}
	if r.Replay != nil {
		out.Replay, out.Release = r.Replay, r.release
	} else if r.Body != nil {
		out.Body, out.Length = r.Body, r.Length
	}
	return out
}
