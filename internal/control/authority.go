package control

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// How long the gateway's certificate holds, and how long before its end it is
// replaced. It holds no longer than clients accept (398 days).
const (
	leafLife    = 90 * 24 * time.Hour
	leafRenewal = 30 * 24 * time.Hour
)

// privateDomains are the domains under which private APIs are called.
func privateDomains(region string) []string {
	return []string{"execute-api." + region + ".amazonaws.com", "execute-api." + region + ".vpce.amazonaws.com"}
}

// ensureAuthority returns the region's authority for a use, and makes it the
// first time.
func ensureAuthority(ctx context.Context, db *store.DB, region string, use resource.AuthorityUse, now time.Time) (*authority.Authority, error) {
	var domains []string
	if use == resource.PrivateAPIs {
		domains = privateDomains(region)
	}
	var row *resource.Authority
	_, err := db.Update(ctx, func(tx *store.Tx) (err error) {
		var ok bool
		if row, ok = store.Authorities.Get(tx, resource.AuthorityKey(region, use)); ok {
			return nil
		}
		if row, err = authority.New(region, use, domains, now); err != nil {
			return err
		}
		store.Authorities.Put(tx, row)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	return authority.Open(row)
}

// gatewayCertificate issues the gateway's certificate, and keeps the one that it
// issued last.
type gatewayCertificate struct {
	*authority.Authority
	region string
	leaf   leaf
}

// leaf is the gateway's certificate.
type leaf struct {
	certificate, key string // PEM
	expires          time.Time
}

// issue returns the gateway's certificate and key, new ones when those that it
// has end soon.
func (a *gatewayCertificate) issue(now time.Time) (leaf, error) {
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
		NotBefore: now.Add(-authority.ClockSkew), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, d := range privateDomains(a.region) {
		template.DNSNames = append(template.DNSNames, d, "*."+d)
	}
	certificate, err := a.Sign(template, key.Public())
	if err != nil {
		return fail(err)
	}
	private, err := authority.EncodeKey(key)
	if err != nil {
		return fail(err)
	}
	a.leaf = leaf{certificate, private, template.NotAfter}
	return a.leaf, nil
}
