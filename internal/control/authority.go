package control

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"time"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// How long the gateway's certificate holds, and how long before its end it is
// replaced. It holds no longer than clients accept (398 days).
const (
	leafLife    = 90 * 24 * time.Hour
	leafRenewal = 30 * 24 * time.Hour
)

// apiDomains are the domains under which APIs are called, by the certificates
// that have them: AWS's names, and those that lead to this machine without DNS.
// They are apart, since who trusts an authority of before the second ones were
// must not be shown a certificate with both.
func apiDomains(region string) [][]string {
	return [][]string{
		{"execute-api." + region + ".amazonaws.com", "execute-api." + region + ".vpce.amazonaws.com"},
		{"execute-api.localhost", "execute-api." + region + ".localhost"},
	}
}

// ensureAuthority returns the region's authority for a use, and makes it the
// first time.
func ensureAuthority(ctx context.Context, db *store.DB, region string, use resource.AuthorityUse, now time.Time) (*authority.Authority, error) {
	var domains []string
	if use == resource.APIs {
		domains = slices.Concat(apiDomains(region)...)
	}
	var row *resource.Authority
	_, err := db.Update(ctx, func(tx *store.Tx) (err error) {
		old, ok := store.Authorities.Get(tx, resource.AuthorityKey(region, use))
		if ok {
			row, err = authority.Widen(old, domains, now)
		} else {
			row, err = authority.New(region, use, domains, now)
		}
		if err == nil && row != old {
			store.Authorities.Put(tx, row)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	return authority.Open(row)
}

// gatewayCertificates issues the gateway's certificates, and keeps those that it
// issued last.
type gatewayCertificates struct {
	*authority.Authority
	region  string
	leaves  []config.Certificate // one for each of apiDomains
	expires time.Time
}

// issue returns the gateway's certificates, new ones when those that it has end
// soon.
func (a *gatewayCertificates) issue(now time.Time) ([]config.Certificate, error) {
	if now.Before(a.expires.Add(-leafRenewal)) {
		return a.leaves, nil
	}
	var leaves []config.Certificate
	for _, domains := range apiDomains(a.region) {
		leaf, err := a.leaf(domains, now)
		if err != nil {
			return nil, fmt.Errorf("issue the gateway's certificate: %w", err)
		}
		leaves = append(leaves, leaf)
	}
	a.leaves, a.expires = leaves, now.Add(leafLife)
	return leaves, nil
}

// leaf issues a certificate for domains and the names right below them.
func (a *gatewayCertificates) leaf(domains []string, now time.Time) (c config.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "*." + domains[0]},
		NotBefore: now.Add(-authority.ClockSkew), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, d := range domains {
		template.DNSNames = append(template.DNSNames, d, "*."+d)
	}
	if c.Chain, err = a.Sign(template, key.Public()); err != nil {
		return c, err
	}
	c.Key, err = authority.EncodeKey(key)
	return c, err
}
