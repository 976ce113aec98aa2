package control

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// TestAuthority: the gateway's certificates hold for the names of APIs and no
// others, are replaced in time, and the authority outlives the process.
func TestAuthority(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now()
	a, err := ensureAuthority(t.Context(), db, region, resource.APIs, now)
	if err != nil {
		t.Fatal(err)
	}
	same, err := ensureAuthority(t.Context(), db, region, resource.APIs, now)
	if err != nil || same.PEM != a.PEM {
		t.Fatalf("another authority, %v", err)
	}
	again := &gatewayCertificates{Authority: same, region: region}
	first, err := again.issue(now)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := again.issue(now.Add(leafLife - leafRenewal - time.Minute)); err != nil || !slices.Equal(same, first) {
		t.Errorf("the certificates were replaced early, %v", err)
	}
	if next, err := again.issue(now.Add(leafLife - leafRenewal + time.Minute)); err != nil || slices.Equal(next, first) {
		t.Errorf("the certificates were not replaced, %v", err)
	}
	roots := trusting(t, a.PEM)
	aws, local := read(t, first[0]), read(t, first[1])
	for name, by := range map[string]*x509.Certificate{
		"abcdefghij.execute-api.us-east-1.amazonaws.com":                                      aws,
		"abcdefghij-vpce-0123456789abcdef0.execute-api.us-east-1.amazonaws.com":               aws,
		"vpce-0123456789abcdef0-abcd1234-us-east-1a.execute-api.us-east-1.vpce.amazonaws.com": aws,
		"abcdefghij.execute-api.localhost":                                                    local,
		"abcdefghij.execute-api.us-east-1.localhost":                                          local,
		"abcdefghij.execute-api.eu-west-1.amazonaws.com":                                      nil,
		"a.b.execute-api.us-east-1.amazonaws.com":                                             nil,
		"s3.amazonaws.com": nil,
		"localhost":        nil,
	} {
		for _, leaf := range []*x509.Certificate{aws, local} {
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
			if (err == nil) != (leaf == by) {
				t.Errorf("%s by the certificate of %v: %v", name, leaf.DNSNames, err)
			}
		}
	}
	// What the authority signs for others is not trusted either.
	stray := *aws
	stray.DNSNames = []string{"s3.amazonaws.com"}
	signed, err := again.Sign(&stray, aws.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, config.Certificate{Chain: signed, Key: first[0].Key}).Verify(x509.VerifyOptions{Roots: roots, DNSName: "s3.amazonaws.com"}); err == nil {
		t.Error("the authority vouches for any name")
	}
}

// TestAuthorityOfBefore: an authority that was made for AWS's names alone comes
// to vouch for the others too, and who trusts its old certificate is not
// disturbed.
func TestAuthorityOfBefore(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now()
	old, err := authority.New(region, resource.APIs, apiDomains(region)[0], now.AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		store.Authorities.Put(tx, old)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	a, err := ensureAuthority(t.Context(), db, region, resource.APIs, now)
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := (&gatewayCertificates{Authority: a, region: region}).issue(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		root string
		leaf config.Certificate
		name string
		good bool
	}{
		{old.Certificate, leaves[0], "a.execute-api.us-east-1.amazonaws.com", true},
		{a.PEM, leaves[0], "a.execute-api.us-east-1.amazonaws.com", true},
		{old.Certificate, leaves[1], "a.execute-api.localhost", false},
		{a.PEM, leaves[1], "a.execute-api.localhost", true},
	} {
		_, err := read(t, tt.leaf).Verify(x509.VerifyOptions{Roots: trusting(t, tt.root), DNSName: tt.name})
		if (err == nil) != tt.good {
			t.Errorf("%s, by the old certificate: %t: %v", tt.name, tt.root == old.Certificate, err)
		}
	}
}

func trusting(t *testing.T, root string) *x509.CertPool {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(root)) {
		t.Fatal("the authority's certificate is no PEM")
	}
	return roots
}

func read(t *testing.T, c config.Certificate) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(c.Chain), []byte(c.Key))
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}
