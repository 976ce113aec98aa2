package idp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// Options say how a node reaches identity providers.
type Options struct {
	// Dial opens a connection to one of the addresses.
	Dial func(ctx context.Context, addresses []netip.AddrPort) (net.Conn, error)
	// Resolver answers names: that of the VPC.
	Resolver netip.AddrPort
	// Authorities (PEM) are believed besides the system's.
	Authorities string
	// Log is told of keys that can't be had, or not be used; it may be nil.
	Log *slog.Logger
}

// Client asks identity providers. No connection is kept, so that each question is
// under the rules of its time. It is safe for concurrent use.
type Client struct {
	http      http.Client
	log       *slog.Logger
	refreshes refreshes
}

// timeout is AWS's for an answer of a provider ("Error reason codes" in the user
// guide).
const timeout = 5 * time.Second

// NewClient makes a client.
func NewClient(o Options) *Client {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AppendCertsFromPEM([]byte(o.Authorities))
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{log: o.Log, http: http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				addresses, err := lookUp(ctx, o.Resolver, address)
				if err != nil {
					return nil, err
				}
				return dial(ctx, o, addresses)
			},
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// dial opens a connection, which lasts no longer than the question for which it
// is: http.Transport goes on to open connections for which nobody waits any more.
func dial(ctx context.Context, o Options, addresses []netip.AddrPort) (net.Conn, error) {
	ends := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(ctx, ends)
	defer cancel()
	conn, err := o.Dial(ctx, addresses)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(ends); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// errTooLarge is an answer beyond the limit.
var errTooLarge = errors.New("the answer is too large")

// ask sends a request and reads the answer's body, up to a limit of bytes. The
// error is errTooLarge, or says "layer: cause"; timedOut tells that no answer
// came in time, or could not come.
func (c *Client) ask(r *http.Request, limit int64) (status int, body []byte, timedOut bool, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	response, err := c.http.Do(r.WithContext(ctx))
	if err != nil {
		return 0, nil, unreachable(err), cause(ctx, err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return 0, nil, unreachable(err), cause(ctx, err)
	case int64(len(body)) > limit:
		return response.StatusCode, nil, false, errTooLarge
	}
	return response.StatusCode, body, false, nil
}

// unreachable tells a provider that can't be asked from one that answers badly.
func unreachable(err error) bool {
	var known *upstream.Error
	var plain net.Error
	return errors.As(err, &known) && known.Kind != upstream.TLS || errors.As(err, &plain) && plain.Timeout()
}

func cause(ctx context.Context, err error) error {
	var known *upstream.Error
	if errors.As(err, &known) {
		return known
	}
	if ctx.Err() != nil {
		return fmt.Errorf("timeout: no answer in %v", timeout)
	}
	var invalid *tls.CertificateVerificationError
	if errors.As(err, &invalid) {
		return fmt.Errorf("tls: %w", invalid)
	}
	return fmt.Errorf("identity-provider: %w", err)
}
