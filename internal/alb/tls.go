package alb

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
	"github.com/isthmus-net/isthmus/internal/sslpolicy"
)

// TLS is the configuration for the clients of a port: the listener's that was
// applied last. Its tickets outlive the listener's configuration, and are good
// at this node for a day or a few (crypto/tls renews their keys).
func (b *Balancer) TLS(port uint16) *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if l := b.current.Load().listeners[port]; l != nil && l.tls != nil {
			return l.tls, nil
		}
		return nil, errors.New("the listener was deleted")
	}}
}

// compileTLS makes the TLS configuration of a listener; v is nil if it verifies no
// clients.
func compileTLS(c *config.TLS, a *config.Attributes, v *verifier) (*tls.Config, error) {
	if c == nil {
		return nil, nil
	}
	policy, ok := sslpolicy.Find(c.Policy)
	if !ok {
		return nil, fmt.Errorf("there is no security policy %q", c.Policy)
	}
	if len(c.Certificates) == 0 {
		return nil, errors.New("there is no certificate")
	}
	var all certificates
	for _, in := range c.Certificates {
		pair, err := tls.X509KeyPair([]byte(in.Chain), []byte(in.Key))
		if err != nil {
			return nil, fmt.Errorf("read certificate %s: %w", in.ARN, err)
		}
		all = append(all, &pair)
	}
	out := &tls.Config{NextProtos: []string{server.H2, "http/1.1"}, GetCertificate: all.choose}
	if a.HTTP1Only {
		out.NextProtos = out.NextProtos[1:]
	}
	if c.ClientCertificates {
		out.ClientAuth = tls.RequestClientCert
	}
	if v != nil {
		verifyClients(out, v)
	}
	policy.Apply(out)
	return out, nil
}

// certificates are those of a listener; the first is the default one.
type certificates []*tls.Certificate

// choose picks the best certificate that holds for the name that the client
// asks for and that the client can use: one with the very name before one with
// a wildcard, one that has not ended, ECDSA before RSA, the longest key, the one
// that ends last ("SSL certificates for your Application Load Balancer" in the
// user guide). There being none, it is the default one.
func (list certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	now := time.Now()
	var fit []*tls.Certificate
	for _, c := range list {
		if name != "" && holds(c, name) > 0 && hello.SupportsCertificate(c) == nil {
			fit = append(fit, c)
		}
	}
	if len(fit) == 0 {
		return list[0], nil
	}
	return slices.MaxFunc(fit, func(a, b *tls.Certificate) int {
		return cmp.Or(cmp.Compare(holds(a, name), holds(b, name)), compareBool(now.Before(a.Leaf.NotAfter), now.Before(b.Leaf.NotAfter)),
			compareKeys(a, b), a.Leaf.NotAfter.Compare(b.Leaf.NotAfter))
	}), nil
}

// holds tells how well a certificate holds for a name: 2 by the very name, 1 by
// a wildcard, 0 not at all.
func holds(c *tls.Certificate, name string) int {
	best := 0
	for _, n := range c.Leaf.DNSNames {
		if strings.EqualFold(n, name) {
			return 2
		}
		if rest, ok := strings.CutPrefix(n, "*."); ok {
			if _, below, ok := strings.Cut(name, "."); ok && strings.EqualFold(rest, below) {
				best = 1
			}
		}
	}
	if best == 0 && len(c.Leaf.DNSNames) == 0 && strings.EqualFold(c.Leaf.Subject.CommonName, name) {
		return 2
	}
	return best
}

func compareKeys(a, b *tls.Certificate) int {
	kindA, bitsA := keyOf(a)
	kindB, bitsB := keyOf(b)
	return cmp.Or(cmp.Compare(kindA, kindB), cmp.Compare(bitsA, bitsB))
}

func keyOf(c *tls.Certificate) (kind, bits int) {
	switch k := c.Leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return 1, k.Curve.Params().BitSize
	case *rsa.PublicKey:
		return 0, k.N.BitLen()
	}
	return 0, 0
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
