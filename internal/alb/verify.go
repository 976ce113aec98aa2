package alb

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/truststore"
)

// verifier verifies the clients of a listener. Configurations share it, as long
// as they say the same of it.
type verifier struct {
	*truststore.Verifier
	config *config.VerifyClients
}

// compileVerifier is nil for a listener that verifies no clients. before is the
// listener that was at the port, or nil.
func compileVerifier(c *config.TLS, before *listener) (*verifier, error) {
	if c == nil || c.Verify == nil {
		return nil, nil
	}
	if before != nil && before.verifier != nil && reflect.DeepEqual(before.verifier.config, c.Verify) {
		return before.verifier, nil
	}
	v, err := truststore.New([]byte(c.Verify.Bundle), c.Verify.Revocations, c.Verify.IgnoreExpiry)
	if err != nil {
		return nil, fmt.Errorf("read trust store %s: %w", c.Verify.TrustStore, err)
	}
	return &verifier{v, c.Verify}, nil
}

// verifyClients has clients show certificates that a trust store vouches for. They
// are verified here, and again when a session is resumed: crypto/tls would tell
// all clients the authorities by which it verifies.
func verifyClients(out *tls.Config, v *verifier) {
	out.ClientAuth = tls.RequireAnyClientCert
	if v.config.Advertise {
		out.ClientCAs = v.Authorities()
	}
	out.VerifyConnection = func(s tls.ConnectionState) error {
		if f := v.Verify(s.PeerCertificates, time.Now()); f != nil {
			return &clientRefused{f, s.PeerCertificates}
		}
		return nil
	}
}

// connection is what is remembered of a client's connection.
type connection struct {
	arrived  time.Time
	verified atomic.Pointer[verifier] // that found the client good last
}

// verifyAgain refuses a request on a connection that is older than what its
// listener verifies clients by, if its client is not good by that: it may have
// been asked for no certificate then, or for any. The client may try a new
// connection (RFC 9110, section 15.5.20).
func (x *exchange) verifyAgain() *message.Response {
	v := x.listener.verifier
	c, ok := x.request.Connection.(*connection)
	if v == nil || ok && c.verified.Load() == v {
		return nil
	}
	var shown []*x509.Certificate
	if x.request.TLS != nil {
		shown = x.request.TLS.PeerCertificates
	}
	if f := v.Verify(shown, time.Now()); f != nil {
		x.action = ""
		r := x.fail(421, "client: is not verified any more: "+f.Error())
		r.Header.Set("Connection", "close")
		return r
	}
	if ok {
		c.verified.Store(v)
	}
	return nil
}

// clientRefused is the end of a handshake by what the client has shown.
type clientRefused struct {
	*truststore.Failure
	shown []*x509.Certificate
}

// logHandshake tells of handshakes that failed at a listener that verifies
// clients. The names are those of the fields of AWS's connection logs; what
// strangers have written into certificates is cut.
func (b *Balancer) logHandshake(port uint16, client netip.AddrPort, err error) {
	l := b.current.Load().listeners[port]
	if l == nil || l.config.TLS == nil || l.config.TLS.Verify == nil {
		return
	}
	status, cause := "Failed:UnmappedConnectionError", err.Error()
	var refused *clientRefused
	if errors.As(err, &refused) {
		status, cause = "Failed:"+refused.Code, refused.Cause
	}
	line := b.options.Access.Line(time.Now(), slog.LevelInfo, "connection")
	line.Text("client", client.String())
	line.Int("listener_port", int64(port))
	line.Text("tls_verify_status", status)
	if refused != nil && len(refused.shown) > 0 {
		leaf := refused.shown[0]
		line.Text("leaf_client_cert_subject", cut(distinguishedName(leaf.RawSubject)))
		line.Text("leaf_client_cert_validity", truststore.Validity(leaf))
		line.Text("leaf_client_cert_serial_number", cut(serialNumber(leaf)))
	}
	line.Text("error", cut("tls: "+cause))
	line.End()
}
