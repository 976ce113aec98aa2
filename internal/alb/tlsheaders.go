package alb

import (
	"encoding/pem"
	"net/url"
	"strings"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/sslpolicy"
)

// mutualPrefix is what the names of the fields begin with that tell of client
// certificates, if they have no others.
const mutualPrefix = config.ClientCert

// addTLS tells a target what was negotiated with the client, and what
// certificate it has shown.
func addTLS(h *message.Header, r *message.Request, a *config.Attributes, t *config.TLS) {
	if r.TLS == nil {
		return
	}
	if a.TLSHeaders {
		h.Set(t.FieldName(config.TLSVersion), sslpolicy.Version(r.TLS.Version))
		h.Set(t.FieldName(config.TLSCipherSuite), sslpolicy.Cipher(r.TLS.CipherSuite))
	}
	if t == nil || !t.ClientCertificates {
		return
	}
	// Targets decide by these: what a client writes there is dropped.
	h.DeleteFunc(func(name string) bool {
		return len(name) >= len(mutualPrefix) && strings.EqualFold(name[:len(mutualPrefix)], mutualPrefix)
	})
	for own, name := range t.FieldNames {
		if strings.HasPrefix(own, mutualPrefix) {
			h.Del(name)
		}
	}
	if len(r.TLS.PeerCertificates) == 0 {
		return
	}
	var chain strings.Builder
	for _, c := range r.TLS.PeerCertificates {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	h.Set(t.FieldName(config.ClientCert), urlEncode(chain.String()))
}

// urlEncode escapes all but what AWS calls safe: +, = and /.
func urlEncode(s string) string {
	return strings.NewReplacer("+", "%20", "%2B", "+", "%3D", "=", "%2F", "/").Replace(url.QueryEscape(s))
}
