package truststore

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// entity is a certificate with its key.
type entity struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

func (e *entity) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Raw})
}

var serials int64

// issue makes a certificate; one without an issuer is signed by itself.
func issue(t testing.TB, issuer *entity, name string, change ...func(*x509.Certificate)) *entity {
	t.Helper()
	serials++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serials), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	for _, f := range change {
		f(template)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &entity{c, key}
}

func authority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
}

func revoke(t testing.TB, issuer *entity, revoked ...*entity) []byte {
	t.Helper()
	var entries []x509.RevocationListEntry
	for _, e := range revoked {
		entries = append(entries, x509.RevocationListEntry{SerialNumber: e.SerialNumber, RevocationTime: now})
	}
	return signList(t, issuer, entries...)
}

func signList(t testing.TB, issuer *entity, entries ...x509.RevocationListEntry) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour), RevokedCertificateEntries: entries}
	der, err := x509.CreateRevocationList(rand.Reader, list, issuer.Certificate, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestVerify(t *testing.T) {
	root := issue(t, nil, "root", authority)
	middle := issue(t, root, "middle", authority)
	anchored := issue(t, issue(t, nil, "unknown root", authority), "anchored", authority)
	ended := issue(t, root, "ended", authority, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })
	deep := []*entity{root}
	for range 5 {
		deep = append(deep, issue(t, deep[len(deep)-1], "deep", authority))
	}
	// Also from before its authority's time.
	old := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-3*time.Hour), now.Add(-2*time.Hour) }
	server := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	good, gone := issue(t, root, "good"), issue(t, root, "gone")
	goneMiddle := issue(t, root, "gone middle", authority)
	lists := [][]byte{revoke(t, root, gone, goneMiddle), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: revoke(t, anchored)})}
	bundle := append(root.pem(), anchored.pem()...)
	strict, err := New(bundle, lists, false)
	if err != nil {
		t.Fatal(err)
	}
	lax, err := New(bundle, lists, true)
	if err != nil {
		t.Fatal(err)
	}
	chain := func(all ...*entity) (certs []*x509.Certificate) {
		for _, e := range all {
			certs = append(certs, e.Certificate)
		}
		return certs
	}
	for _, c := range []struct {
		name     string
		verifier *Verifier
		shown    []*x509.Certificate
		code     string // empty: it passes
	}{
		{"good", strict, chain(good), ""},
		{"by a middle one", strict, chain(issue(t, middle, "a"), middle), ""},
		{"without the middle one", strict, chain(issue(t, middle, "a")), "ClientCertUntrusted"},
		{"by an authority that is no root", strict, chain(issue(t, anchored, "a")), ""},
		{"signed by itself", strict, chain(issue(t, nil, "a")), "ClientCertUntrusted"},
		{"by another of the same name", strict, chain(issue(t, issue(t, nil, "root", authority), "a")), "ClientCertUntrusted"},
		{"nothing", strict, nil, "ClientCertRejected"},
		{"ended", strict, chain(issue(t, root, "a", old)), "ClientCertExpired"},
		{"ended, which is ignored", lax, chain(issue(t, root, "a", old)), ""},
		{"ended and unknown", lax, chain(issue(t, nil, "a", old)), "ClientCertUntrusted"},
		{"of an authority that has ended", strict, chain(issue(t, ended, "a"), ended), "ClientCertExpired"},
		{"of an authority that has ended, too", lax, chain(issue(t, ended, "a", old), ended), "ClientCertExpired"},
		{"not yet", lax, chain(issue(t, root, "a", func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) })), "ClientCertNotYetValid"},
		{"of a server", strict, chain(issue(t, root, "a", server)), "ClientCertPurposeInvalid"},
		{"revoked", strict, chain(gone), "ClientCertCrlHit"},
		{"of an authority that is revoked", strict, chain(issue(t, goneMiddle, "a"), goneMiddle), "ClientCertCrlHit"},
		{"four above it", strict, chain(issue(t, deep[3], "a"), deep[3], deep[2], deep[1]), ""},
		{"five above it", strict, chain(issue(t, deep[4], "a"), deep[4], deep[3], deep[2], deep[1]), "ClientCertMaxChainDepthExceeded"},
		{"many are shown", strict, chain(good, middle, middle, middle, middle, middle), "ClientCertMaxChainDepthExceeded"},
		{"by one that is no authority", strict, chain(issue(t, good, "a"), good), "ClientCertUntrusted"},
		{"large", strict, chain(issue(t, root, strings.Repeat("a", MaxCertificateSize))), "ClientCertMaxSizeExceeded"},
	} {
		f := c.verifier.Verify(c.shown, now)
		if c.code == "" && f != nil || c.code != "" && (f == nil || f.Code != c.code) {
			t.Errorf("%s: %v, want %q", c.name, f, c.code)
		}
	}
}

func TestParse(t *testing.T) {
	root := issue(t, nil, "root", authority)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	weakDER, err := x509.CreateCertificate(rand.Reader, template, template, weak.Public(), weak)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text, want string
	}{
		{"good", string(root.pem()), ""},
		{"with lines", "\n" + string(root.pem()) + "\n\n" + string(root.pem()), ""},
		{"nothing", " \n", "no certificate"},
		{"text", "hello", "no PEM"},
		{"text behind", string(root.pem()) + "hello", "no PEM"},
		{"a key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})), "PRIVATE KEY"},
		{"no authority", string(issue(t, root, "a").pem()), "not of an authority"},
		{"a weak key", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: weakDER})), "not supported"},
		{"many", strings.Repeat(string(root.pem()), MaxCertificates+1), "more than 25"},
		{"no DER", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "read certificate 1"},
	} {
		_, err := ParseBundle([]byte(c.text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	other := issue(t, nil, "root", authority)
	for _, c := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"good", revoke(t, root, root), ""},
		{"nothing", nil, "read revocation list"},
		{"a certificate", root.pem(), "CERTIFICATE"},
		{"of another", revoke(t, other), "no authority"},
		{"for another's certificates", signList(t, root, x509.RevocationListEntry{
			SerialNumber: big.NewInt(7), RevocationTime: now, ExtraExtensions: []pkix.Extension{{Id: certificateIssuer, Critical: true, Value: []byte{0x30, 0}}},
		}), "of another issuer"},
	} {
		_, err := ParseRevocationList(c.content, []*x509.Certificate{root.Certificate})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("revocation list, %s: %v, want %q", c.name, err, c.want)
		}
	}
}

// FuzzNew: whatever a bundle and a list are, there is a verifier or an error.
func FuzzNew(f *testing.F) {
	root := issue(f, nil, "root", authority)
	f.Add(root.pem(), revoke(f, root))
	f.Add([]byte("-----BEGIN CERTIFICATE-----"), []byte{0x30})
	f.Fuzz(func(t *testing.T, bundle, list []byte) {
		v, err := New(bundle, [][]byte{list}, false)
		if (v == nil) != (err != nil) {
			t.Errorf("%v, %v", v, err)
		}
		if err == nil && !bytes.Contains(bundle, []byte("CERTIFICATE")) {
			t.Error("a verifier of nothing")
		}
	})
}
