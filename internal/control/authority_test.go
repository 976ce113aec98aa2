package control

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// TestAuthority: the gateway's certificate holds for the names of private APIs
// and no others, is replaced in time, and the authority outlives the process.
func TestAuthority(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now()
	a, err := ensureAuthority(t.Context(), db, region, resource.PrivateAPIs, now)
	if err != nil {
		t.Fatal(err)
	}
	same, err := ensureAuthority(t.Context(), db, region, resource.PrivateAPIs, now)
	if err != nil || same.PEM != a.PEM {
		t.Fatalf("another authority, %v", err)
	}
	again := &gatewayCertificate{Authority: same, region: region}
	first, err := again.issue(now)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := again.issue(now.Add(leafLife - leafRenewal - time.Minute)); err != nil || same != first {
		t.Errorf("the certificate was replaced early, %v", err)
	}
	if next, err := again.issue(now.Add(leafLife - leafRenewal + time.Minute)); err != nil || next == first {
		t.Errorf("the certificate was not replaced, %v", err)
	}
	if _, err := tls.X509KeyPair([]byte(first.certificate), []byte(first.key)); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(a.PEM)) {
		t.Fatal("the authority's certificate is no PEM")
	}
	block, _ := pem.Decode([]byte(first.certificate))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"abcdefghij.execute-api.us-east-1.amazonaws.com":                                      true,
		"abcdefghij-vpce-0123456789abcdef0.execute-api.us-east-1.amazonaws.com":               true,
		"vpce-0123456789abcdef0-abcd1234-us-east-1a.execute-api.us-east-1.vpce.amazonaws.com": true,
		"abcdefghij.execute-api.eu-west-1.amazonaws.com":                                      false,
		"a.b.execute-api.us-east-1.amazonaws.com":                                             false,
		"s3.amazonaws.com": false,
	} {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What the authority signs for others is not trusted either.
	stray := *leaf
	stray.DNSNames = []string{"s3.amazonaws.com"}
	signed, err := again.Sign(&stray, leaf.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	block, _ = pem.Decode([]byte(signed))
	if stray, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	} else if _, err := stray.Verify(x509.VerifyOptions{Roots: roots, DNSName: "s3.amazonaws.com"}); err == nil {
		t.Error("the authority vouches for any name")
	}
}
