// Package truststore reads what trust stores are made of, and verifies the
// certificates of clients by it ("Mutual authentication with TLS in Application
// Load Balancer" in the user guide).
package truststore

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// Limits of a bundle: AWS's of certificates and of their size.
const (
	MaxCertificates    = 25
	MaxCertificateSize = 16 << 10
	MaxBundle          = MaxCertificates * MaxCertificateSize
)

// ParseBundle reads the certificates (PEM) of the authorities that are trusted.
func ParseBundle(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("it has something that is no PEM block")
		}
		n := len(all) + 1
		switch {
		case block.Type != "CERTIFICATE":
			return nil, fmt.Errorf("it has a block of the type %.40q, and may have certificates only", block.Type)
		case n > MaxCertificates:
			return nil, fmt.Errorf("it has more than %d certificates", MaxCertificates)
		case len(block.Bytes) > MaxCertificateSize:
			return nil, fmt.Errorf("certificate %d has more than %d bytes", n, MaxCertificateSize)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate %d: %w", n, err)
		}
		switch {
		case c.Version != 3 || !c.BasicConstraintsValid || !c.IsCA:
			return nil, fmt.Errorf("certificate %d (%s) is not of an authority (X.509v3)", n, c.Subject)
		case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
			return nil, fmt.Errorf("certificate %d (%s) may not sign certificates", n, c.Subject)
		case !supported(c):
			return nil, fmt.Errorf("certificate %d (%s) has a key that is not supported; RSA of 2048 to 16384 bits, P-256, P-384 and P-521 are", n, c.Subject)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("it has no certificate")
	}
	return all, nil
}

// supported tells whether a certificate's key is of a kind that AWS takes.
func supported(c *x509.Certificate) bool {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048 && k.N.BitLen() <= 16384
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize >= 256
	}
	return false
}

// MaxRevocationList is how many bytes a revocation list may have here. AWS takes
// 50 MB, which no process should be sent with its configuration.
const MaxRevocationList = 1 << 20

// certificateIssuer is the extension of entries of indirect lists (RFC 5280,
// section 5.3.3).
var certificateIssuer = asn1.ObjectIdentifier{2, 5, 29, 29}

// ParseRevocationList reads a revocation list (PEM or DER) that one of the
// authorities has signed.
func ParseRevocationList(content []byte, authorities []*x509.Certificate) (*x509.RevocationList, error) {
	der := content
	if block, rest := pem.Decode(content); block != nil {
		if block.Type != "X509 CRL" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("it has other things than one revocation list, such as a block of the type %.40q", block.Type)
		}
		der = block.Bytes
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("read revocation list: %w", err)
	}
	for _, e := range list.RevokedCertificateEntries {
		if slices.ContainsFunc(e.Extensions, func(x pkix.Extension) bool { return x.Id.Equal(certificateIssuer) }) {
			return nil, fmt.Errorf("it revokes the certificate %X of another issuer, which is not supported", e.SerialNumber)
		}
	}
	for _, a := range authorities {
		if bytes.Equal(a.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(a) == nil {
			return list, nil
		}
	}
	return nil, fmt.Errorf("no authority of the trust store has signed the list of %s", list.Issuer)
}
