package alb

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/sslpolicy"
	"github.com/isthmus-net/isthmus/internal/truststore"
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
	if t == nil || !t.ClientCertificates && t.Verify == nil {
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
	leaf := r.TLS.PeerCertificates[0]
	if t.Verify == nil {
		h.Set(t.FieldName(config.ClientCert), urlEncode(encode(r.TLS.PeerCertificates...)))
		return
	}
	h.Set(t.FieldName(config.ClientCertSerialNumber), serialNumber(leaf))
	h.Set(t.FieldName(config.ClientCertIssuer), distinguishedName(leaf.RawIssuer))
	h.Set(t.FieldName(config.ClientCertSubject), distinguishedName(leaf.RawSubject))
	h.Set(t.FieldName(config.ClientCertValidity), truststore.Validity(leaf))
	h.Set(t.FieldName(config.ClientCertLeaf), urlEncode(encode(leaf)))
}

// encode makes PEM of certificates.
func encode(all ...*x509.Certificate) string {
	var text strings.Builder
	for _, c := range all {
		pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return text.String()
}

// serialNumber is hexadecimal, by whole bytes.
func serialNumber(c *x509.Certificate) string {
	return fmt.Sprintf("%X", c.SerialNumber.Bytes())
}

// distinguishedName is the text of a name (RFC 2253). What no header field can
// hold is escaped as the RFC lets it.
func distinguishedName(raw []byte) string {
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &name); err != nil {
		return ""
	}
	var b strings.Builder
	text := name.String()
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f {
			fmt.Fprintf(&b, `\%02X`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// urlEncode escapes all but what AWS calls safe: +, = and /.
func urlEncode(s string) string {
	return strings.NewReplacer("+", "%20", "%2B", "+", "%3D", "=", "%2F", "/").Replace(url.QueryEscape(s))
}
