package control

import (
	"context"
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
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// How long certificates hold, and how long before its end the gateway's is
// replaced. A leaf holds no longer than clients accept (398 days).
const (
	authorityYears = 20
	leafLife       = 90 * 24 * time.Hour
	leafRenewal    = 30 * 24 * time.Hour
	// clockSkew is how far a client's clock may be behind.
	clockSkew = time.Hour
)

// privateDomains are the domains under which private APIs are called.
func privateDomains(region string) []string {
	return []string{"execute-api." + region + ".amazonaws.com", "execute-api." + region + ".vpce.amazonaws.com"}
}

// ensureAuthority returns the region's certificate authority, and makes it the
// first time.
func ensureAuthority(ctx context.Context, db *store.DB, region string, now time.Time) (*authority, error) {
	var row *resource.Authority
	_, err := db.Update(ctx, func(tx *store.Tx) (err error) {
		var ok bool
		if row, ok = store.Authorities.Get(tx, region); ok {
			return nil
		}
		if row, err = newAuthority(region, now); err != nil {
			return err
		}
		store.Authorities.Put(tx, row)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	return openAuthority(row)
}

// newAuthority makes an authority that vouches for private APIs' names only:
// who trusts it trusts it with nothing else.
func newAuthority(region string, now time.Time) (*resource.Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Isthmus"}, CommonName: "Isthmus " + region},
		NotBefore: now.Add(-clockSkew), NotAfter: now.AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: privateDomains(region),
	}
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &resource.Authority{Region: region, Certificate: certificate, PrivateKey: private}, nil
}

// authority is a certificate authority with its key, and what it issued last.
type authority struct {
	region string
	pem    string
	own    *x509.Certificate
	key    crypto.Signer
	leaf   leaf
}

// leaf is the gateway's certificate.
type leaf struct {
	certificate, key string // PEM
	expires          time.Time
}

func openAuthority(row *resource.Authority) (*authority, error) {
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
	return &authority{region: row.Region, pem: row.Certificate, own: certificate, key: signer}, nil
}

// issue returns the gateway's certificate and key, new ones when those that it
// has end soon.
func (a *authority) issue(now time.Time) (leaf, error) {
	if now.Before(a.leaf.expires.Add(-leafRenewal)) {
		return a.leaf, nil
	}
	fail := func(err error) (leaf, error) { return leaf{}, fmt.Errorf("issue the gateway's certificate: %w", err) }
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "*." + privateDomains(a.region)[0]},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, d := range privateDomains(a.region) {
		template.DNSNames = append(template.DNSNames, d, "*."+d)
	}
	certificate, err := sign(template, a.own, key.Public(), a.key)
	if err != nil {
		return fail(err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return fail(err)
	}
	a.leaf = leaf{certificate, private, template.NotAfter}
	return a.leaf, nil
}

// sign makes a certificate, as PEM.
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

func encodeKey(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}
