package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"
)

// Life is how long what is issued for Certificate Manager holds, as AWS's, and
// Renewal how long before its end it is replaced.
const (
	Life    = 395 * 24 * time.Hour
	Renewal = 60 * 24 * time.Hour
)

// Algorithms are those of keys that can be asked for, as AWS names them.
var Algorithms = []string{"RSA_2048", "EC_prime256v1", "EC_secp384r1"}

// Issued is a certificate with its key, both PEM.
type Issued struct {
	Certificate, Key string
	NotAfter         time.Time
}

// Issue makes a certificate of a server with these names.
func (a *Authority) Issue(names []string, algorithm string, now time.Time) (Issued, error) {
	key, err := generate(algorithm)
	if err != nil {
		return Issued{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: now.Add(-ClockSkew).Truncate(time.Second), NotAfter: now.Add(Life).Truncate(time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if algorithm == "RSA_2048" {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	if len(names[0]) > 64 { // the longest common name (RFC 5280, ub-common-name)
		template.Subject = pkix.Name{}
	}
	certificate, err := a.Sign(template, key.Public())
	if err != nil {
		return Issued{}, err
	}
	private, err := EncodeKey(key)
	return Issued{certificate, private, template.NotAfter}, err
}

func generate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "RSA_2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "EC_prime256v1":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EC_secp384r1":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	return nil, fmt.Errorf("generate a key: there is no algorithm %q", algorithm)
}
