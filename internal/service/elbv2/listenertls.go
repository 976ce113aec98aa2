package elbv2

import (
	"context"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/sslpolicy"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// security is what a request says of a listener's TLS.
type security struct {
	policy       *string
	certificates []*api.Certificate
	alpn         []string
	mutual       *api.MutualAuthenticationAttributes
}

// isHTTP tells the protocols of Application Load Balancers.
func isHTTP(protocol string) bool { return protocol == "HTTP" || protocol == "HTTPS" }

// sameTLS says whether two listeners would be the same if made now.
func sameTLS(a, b *resource.ListenerTLS) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Policy == b.Policy && a.Certificate == b.Certificate && a.ClientCertificates == b.ClientCertificates &&
		a.TrustStore == b.TrustStore && a.IgnoreExpiry == b.IgnoreExpiry && a.AdvertiseAuthorities == b.AdvertiseAuthorities
}

// secure sets the TLS of a listener whose protocol is set: that which it has,
// changed by a request.
func (s scope) secure(r store.Reader, l *resource.Listener, in security) error {
	if l.Protocol != "HTTPS" {
		l.TLS = nil
		return checkSecurity(in.policy, in.certificates, in.alpn, in.mutual)
	}
	if len(in.alpn) > 0 && !slices.Equal(in.alpn, []string{"None"}) {
		return unsupported("An ALPN policy cannot be specified for listeners with protocol 'HTTPS'")
	}
	if l.TLS == nil {
		l.TLS = &resource.ListenerTLS{Policy: sslpolicy.Default, ClientCertificates: "off"}
	}
	switch {
	case len(in.certificates) > 1:
		return invalid("Up to '1' certificate ARNs can be specified, but '%d' were specified", len(in.certificates))
	case len(in.certificates) == 1:
		l.TLS.Certificate = wire.Val(in.certificates[0].CertificateArn)
	}
	if l.TLS.Certificate == "" {
		return invalid("A certificate must be specified for HTTPS listeners")
	}
	if err := s.checkCertificate(r, l.TLS.Certificate); err != nil {
		return err
	}
	if name := wire.Val(in.policy); name != "" {
		if err := checkPolicy(name); err != nil {
			return err
		}
		l.TLS.Policy = name
	}
	return s.verifyClients(r, l.TLS, in.mutual)
}

// verifyClients sets what becomes of clients' certificates, if a request says it.
func (s scope) verifyClients(r store.Reader, t *resource.ListenerTLS, m *api.MutualAuthenticationAttributes) error {
	if m == nil {
		return nil
	}
	mode, arn := wire.Val(m.Mode), wire.Val(m.TrustStoreArn)
	switch {
	case mode != "off" && mode != "passthrough" && mode != "verify":
		return invalid("The mutual authentication mode '%s' must be one of 'off, passthrough, verify'", mode)
	case mode != "verify" && (arn != "" || m.IgnoreClientCertificateExpiry != nil || m.AdvertiseTrustStoreCaNames != nil):
		return invalid("A trust store, the expiry of client certificates and the advertising of CA names can only be specified for the mutual authentication mode 'verify'")
	case mode == "verify" && arn == "":
		return invalid("A trust store ARN must be specified for the mutual authentication mode 'verify'")
	}
	if mode == "verify" {
		if _, err := s.findTrustStore(r, arn); err != nil {
			return err
		}
	}
	t.ClientCertificates, t.TrustStore = mode, arn
	t.IgnoreExpiry, t.AdvertiseAuthorities = wire.Val(m.IgnoreClientCertificateExpiry), wire.Val(m.AdvertiseTrustStoreCaNames) == "on"
	return nil
}

func checkPolicy(name string) error {
	if strings.Contains(name, "-FIPS-") {
		return unsupported("SSL policy '%s' is not supported by Isthmus, whose cryptographic module is not validated by FIPS 140-3", name)
	}
	if _, ok := sslpolicy.Find(name); !ok {
		return wire.Errorf(400, "SSLPolicyNotFound", "SSL policy '%s' not found", name)
	}
	return nil
}

// showSecurity shows the TLS of a listener.
func showSecurity(l *resource.Listener, out *api.Listener) {
	if l.TLS == nil {
		return
	}
	out.SslPolicy = &l.TLS.Policy
	out.Certificates = []*api.Certificate{{CertificateArn: &l.TLS.Certificate}}
	out.MutualAuthentication = &api.MutualAuthenticationAttributes{Mode: &l.TLS.ClientCertificates}
	if l.TLS.ClientCertificates == "verify" {
		advertise := "off"
		if l.TLS.AdvertiseAuthorities {
			advertise = "on"
		}
		m := out.MutualAuthentication
		m.TrustStoreArn, m.IgnoreClientCertificateExpiry, m.AdvertiseTrustStoreCaNames = &l.TLS.TrustStore, &l.TLS.IgnoreExpiry, &advertise
		m.TrustStoreAssociationStatus = wire.Ptr("active")
	}
}

// DescribeSSLPolicies lists the security policies, or those with the given
// names.
func (s *Service) DescribeSSLPolicies(_ context.Context, in *api.DescribeSSLPoliciesInput) (*api.DescribeSSLPoliciesOutput, error) {
	if kind := wire.Val(in.LoadBalancerType); kind != "" && kind != resource.ApplicationLoadBalancer {
		// Only Application Load Balancers have listeners with TLS here.
		return &api.DescribeSSLPoliciesOutput{SslPolicies: []*api.SslPolicy{}}, nil
	}
	all := slices.Clone(sslpolicy.All)
	if len(in.Names) > 0 {
		all = nil
		for _, name := range in.Names {
			p, ok := sslpolicy.Find(name)
			if !ok {
				return nil, wire.Errorf(400, "SSLPolicyNotFound", "SSL policy '%s' not found", name)
			}
			all = append(all, p)
		}
	}
	name := func(p sslpolicy.Policy) string { return p.Name }
	all = sortUnique(all, name)
	shown, next, err := page(all, name, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeSSLPoliciesOutput{SslPolicies: showAll(shown, showPolicy), NextMarker: next}, nil
}

func showPolicy(p sslpolicy.Policy) *api.SslPolicy {
	out := &api.SslPolicy{Name: wire.Ptr(p.Name), SslProtocols: p.Protocols, SupportedLoadBalancerTypes: []string{resource.ApplicationLoadBalancer}}
	for i, c := range p.Ciphers {
		out.Ciphers = append(out.Ciphers, &api.Cipher{Name: wire.Ptr(c), Priority: wire.Ptr(int64(i + 1))})
	}
	return out
}
