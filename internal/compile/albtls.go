package compile

import (
	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// tls compiles how a listener makes connections secure.
func (a *albCompiler) tls(t *resource.ListenerTLS) *config.TLS {
	if t == nil {
		return nil
	}
	out := &config.TLS{Policy: t.Policy, ClientCertificates: t.ClientCertificates == "passthrough"}
	for _, arn := range t.All() {
		if c := a.certificates[arn]; c != nil {
			out.Certificates = append(out.Certificates, config.Certificate{ARN: arn, Chain: c.Certificate + c.Chain, Key: c.PrivateKey})
		}
	}
	return out
}
