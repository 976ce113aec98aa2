package compile

import (
	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// tls compiles how a listener makes connections secure.
func (a *albCompiler) tls(l *resource.Listener) *config.TLS {
	t := l.TLS
	if t == nil {
		return nil
	}
	out := &config.TLS{Policy: t.Policy, ClientCertificates: t.ClientCertificates == "passthrough"}
	if t.ClientCertificates == "verify" {
		out.Verify = &config.VerifyClients{TrustStore: t.TrustStore, IgnoreExpiry: t.IgnoreExpiry, Advertise: t.AdvertiseAuthorities}
		if s := a.trustStores[t.TrustStore]; s != nil {
			out.Verify.Bundle = s.Bundle
			for _, r := range s.Revocations {
				out.Verify.Revocations = append(out.Verify.Revocations, r.Content)
			}
		}
	}
	for _, f := range config.RequestFields {
		if name := l.Attributes[f.Attribute]; name != "" {
			if out.FieldNames == nil {
				out.FieldNames = map[string]string{}
			}
			out.FieldNames[f.Name] = name
		}
	}
	for _, arn := range t.All() {
		if c := a.certificates[arn]; c != nil {
			out.Certificates = append(out.Certificates, config.Certificate{ARN: arn, Chain: c.Certificate + c.Chain, Key: c.PrivateKey})
		}
	}
	return out
}
