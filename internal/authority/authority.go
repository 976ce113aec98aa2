// Package authority makes and uses the local certificate authorities of a
// region. One vouches for the names of APIs and no others, so that who
// trusts it trusts it with nothing else. The other stands behind Certificate
// Manager: it vouches for whatever name is asked for, and is to be trusted only
// where that is wanted.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
)

// ClockSkew is how far a client's clock may be behind.
const ClockSkew = time.Hour

// years is how long an authority holds.
const years = 20

// New makes an authority for a use, as it is stored. If domains are given, it
// can vouch for them and what is below them only.
func New(region string, use resource.AuthorityUse, domains []string, now time.Time) (*resource.Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := EncodeKey(key)
	if err != nil {
		return nil, err
	}
	certificate, err := root(region, use, domains, nil, now, key)
	return &resource.Authority{Region: region, Use: use, Certificate: certificate, PrivateKey: private}, err
}

// Widen returns the authority with a new certificate for the same key if its
// own does not vouch for all domains, or else the row as it is. Who trusts the
// old certificate goes on trusting what is issued for the old domains alone.
func Widen(row *resource.Authority, domains []string, now time.Time) (*resource.Authority, error) {
	a, err := Open(row)
	if err != nil {
		return nil, err
	}
	has := a.own.PermittedDNSDomains
	if !slices.ContainsFunc(domains, func(d string) bool { return !slices.Contains(has, d) }) {
		return row, nil
	}
	wider := *row
	wider.Certificate, err = root(row.Region, row.Use, domains, a.own.SubjectKeyId, now, a.key)
	return &wider, err
}

// root makes an authority's own certificate. Without an id of its key, the key
// is given one.
func root(region string, use resource.AuthorityUse, domains []string, id []byte, now time.Time, key crypto.Signer) (string, error) {
	name := "Isthmus " + region
	if use != "" {
		name += " " + string(use)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"Isthmus"}, CommonName: name}, SubjectKeyId: id,
		NotBefore: now.Add(-ClockSkew), NotAfter: now.AddDate(years, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomainsCritical: len(domains) > 0, PermittedDNSDomains: domains,
	}
	return sign(template, template, key.Public(), key)
}

// Authority is an authority with its key.
type Authority struct {
	PEM string // its certificate
	own *x509.Certificate
	key crypto.Signer
}

// Open reads an authority as it is stored.
func Open(row *resource.Authority) (*Authority, error) {
	own, _ := pem.Decode([]byte(row.Certificate))
	key, _ := pem.Decode([]byte(row.PrivateKey))
	if own == nil || key == nil {
		return nil, errors.New("read certificate authority: no PEM")
	}
	certificate, err := x509.ParseCertificate(own.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read certificate authority: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read certificate authority's key: %w", err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read certificate authority's key: a %T can't sign", parsed)
	}
	return &Authority{PEM: row.Certificate, own: certificate, key: signer}, nil
}

// Sign makes a certificate (PEM) of a template for a public key.
func (a *Authority) Sign(template *x509.Certificate, public crypto.PublicKey) (string, error) {
	return sign(template, a.own, public, a.key)
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (string, error) {
	var err error
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return "", err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// EncodeKey makes PEM (PKCS #8) of a private key.
func EncodeKey(key crypto.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}
