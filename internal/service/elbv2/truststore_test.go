package elbv2

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/truststore"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// withS3 puts an authority, a revocation list of it and other files into the
// place of S3.
func (f *fixture) withS3() (dir string) {
	t := f.t
	dir = t.TempDir()
	put := func(name string, content []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"one", "two"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name),
		}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(1), NextUpdate: time.Now().Add(time.Hour), RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(5), RevocationTime: time.Now()}, {SerialNumber: big.NewInt(6), RevocationTime: time.Now()}},
		}, c, key)
		if err != nil {
			t.Fatal(err)
		}
		put("bucket/"+name+"/ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		put("bucket/"+name+"/list.crl", list)
	}
	put("bucket/text", []byte("hello"))
	put("bucket/large", make([]byte, truststore.MaxBundle+1))
	put("other/secret.pem", []byte("secret"))
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "bucket/out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../other/secret.pem", filepath.Join(dir, "bucket/aside")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "bucket/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	f.options.S3 = root
	return dir
}

// TestObjectsOutsideTransactions: objects are read while another transaction
// runs, which then need not wait for the disk either.
func TestObjectsOutsideTransactions(t *testing.T) {
	f := newRules(t)
	f.withS3()
	bucket, key, none := wire.Ptr("bucket"), wire.Ptr("one/ca.pem"), wire.Ptr("none")
	arn := must[*api.CreateTrustStoreOutput](t)(f.CreateTrustStore(f.ctx, &api.CreateTrustStoreInput{
		Name: wire.Ptr("clients"), CaCertificatesBundleS3Bucket: bucket, CaCertificatesBundleS3Key: key,
	})).TrustStores[0].TrustStoreArn
	running, release := make(chan bool), make(chan bool)
	defer close(release)
	go f.db.Update(f.ctx, func(*store.Tx) error {
		close(running)
		<-release
		return nil
	})
	<-running
	ctx, cancel := context.WithTimeout(f.ctx, 20*time.Second)
	defer cancel()
	_, err := f.ModifyTrustStore(ctx, &api.ModifyTrustStoreInput{TrustStoreArn: arn, CaCertificatesBundleS3Bucket: bucket, CaCertificatesBundleS3Key: none})
	wantError(t, err, "CaCertificatesBundleNotFound", "none")
	_, err = f.AddTrustStoreRevocations(ctx, &api.AddTrustStoreRevocationsInput{TrustStoreArn: arn, RevocationContents: []*api.RevocationContent{{S3Bucket: bucket, S3Key: none}}})
	wantError(t, err, "RevocationContentNotFound", "none")
}

func TestTrustStore(t *testing.T) {
	f := newRules(t)
	create := func(name, bucket, key string) (*api.TrustStore, error) {
		out, err := f.CreateTrustStore(f.ctx, &api.CreateTrustStoreInput{Name: &name, CaCertificatesBundleS3Bucket: &bucket, CaCertificatesBundleS3Key: &key})
		if err != nil {
			return nil, err
		}
		return out.TrustStores[0], nil
	}
	_, err := create("clients", "bucket", "one/ca.pem")
	wantError(t, err, "InvalidConfigurationRequest", "--s3-dir")
	f.withS3()
	made, err := create("clients", "bucket", "one/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	if *made.Status != "ACTIVE" || *made.NumberOfCaCertificates != 1 || *made.TotalRevokedEntries != 0 || !strings.Contains(*made.TrustStoreArn, ":truststore/clients/") {
		t.Errorf("made %+v", made)
	}
	for _, c := range []struct{ name, bucket, key, code string }{
		{"clients", "bucket", "one/ca.pem", "DuplicateTrustStoreName"},
		{"a", "bucket", "none", "CaCertificatesBundleNotFound"},
		{"a", "none", "one/ca.pem", "CaCertificatesBundleNotFound"},
		{"a", "..", "etc/hostname", "CaCertificatesBundleNotFound"},
		{"a", "bucket", "../other/secret.pem", "CaCertificatesBundleNotFound"},
		{"a", "bucket", "one/../one/ca.pem", "CaCertificatesBundleNotFound"},
		{"a", "bucket", "/etc/hostname", "CaCertificatesBundleNotFound"},
		{"a", "bucket", "out", "CaCertificatesBundleNotFound"},
		{"a", "bucket", "aside", "CaCertificatesBundleNotFound"},
		{"a", "bucket", "pipe", "CaCertificatesBundleNotFound"},
		{"a", "bucket", "one", "CaCertificatesBundleNotFound"},
		{"a", "bucket", "", "CaCertificatesBundleNotFound"},
		{"a", "bucket", "text", "InvalidCaCertificatesBundle"},
		{"a", "bucket", "large", "InvalidCaCertificatesBundle"},
		{"a", "bucket", "one/list.crl", "InvalidCaCertificatesBundle"},
	} {
		_, err := create(c.name, c.bucket, c.key)
		wantError(t, err, c.code, "")
	}

	arn := made.TrustStoreArn
	add := func(key string) error {
		_, err := f.AddTrustStoreRevocations(f.ctx, &api.AddTrustStoreRevocationsInput{TrustStoreArn: arn, RevocationContents: []*api.RevocationContent{{S3Bucket: wire.Ptr("bucket"), S3Key: &key}}})
		return err
	}
	if err := add("one/list.crl"); err != nil {
		t.Fatal(err)
	}
	wantError(t, add("none"), "RevocationContentNotFound", "none")
	wantError(t, add("text"), "InvalidRevocationContent", "")
	wantError(t, add("two/list.crl"), "InvalidRevocationContent", "no authority")
	// No more are read than there may be: the last one is not there.
	many := &api.AddTrustStoreRevocationsInput{TrustStoreArn: arn}
	for i := range maxRevocations + 2 {
		key := "one/list.crl"
		if i == maxRevocations+1 {
			key = "none"
		}
		many.RevocationContents = append(many.RevocationContents, &api.RevocationContent{S3Bucket: wire.Ptr("bucket"), S3Key: &key})
	}
	_, err = f.AddTrustStoreRevocations(f.ctx, many)
	wantError(t, err, "TooManyTrustStoreRevocationEntries", "")
	shown := must[*api.DescribeTrustStoreRevocationsOutput](t)(f.DescribeTrustStoreRevocations(f.ctx, &api.DescribeTrustStoreRevocationsInput{TrustStoreArn: arn})).TrustStoreRevocations
	if len(shown) != 1 || *shown[0].RevocationId != 1 || *shown[0].NumberOfRevokedEntries != 2 || *shown[0].RevocationType != "CRL" {
		t.Errorf("revocations %+v", shown)
	}
	modify := func(key string) error {
		_, err := f.ModifyTrustStore(f.ctx, &api.ModifyTrustStoreInput{TrustStoreArn: arn, CaCertificatesBundleS3Bucket: wire.Ptr("bucket"), CaCertificatesBundleS3Key: &key})
		return err
	}
	wantError(t, modify("two/ca.pem"), "InvalidCaCertificatesBundle", "revocation '1'")

	// What they point to can be read.
	h := Locations(f.db, http.NotFoundHandler())
	read := func(location *string) string {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", *location, nil))
		b, _ := io.ReadAll(w.Result().Body)
		return string(b[:min(len(b), 20)])
	}
	if got := read(must[*api.GetTrustStoreCaCertificatesBundleOutput](t)(f.GetTrustStoreCaCertificatesBundle(f.ctx, &api.GetTrustStoreCaCertificatesBundleInput{TrustStoreArn: arn})).Location); got != "-----BEGIN CERTIFICA" {
		t.Errorf("the bundle is %q", got)
	}
	if got := read(must[*api.GetTrustStoreRevocationContentOutput](t)(f.GetTrustStoreRevocationContent(f.ctx, &api.GetTrustStoreRevocationContentInput{TrustStoreArn: arn, RevocationId: wire.Ptr(int64(1))})).Location); !strings.HasPrefix(got, "0") {
		t.Errorf("the list is %q", got)
	}

	made443 := must[*api.CreateListenerOutput](t)(f.CreateListener(f.ctx, listenerInput(f.lb.LoadBalancerArn, f.targets.TargetGroupArn, 443, overHTTPS(f.certificate(account, "1")), func(in *api.CreateListenerInput) {
		in.MutualAuthentication = &api.MutualAuthenticationAttributes{Mode: wire.Ptr("verify"), TrustStoreArn: arn, AdvertiseTrustStoreCaNames: wire.Ptr("on")}
	}))).Listeners[0]
	if m := made443.MutualAuthentication; *m.Mode != "verify" || *m.TrustStoreArn != *arn || *m.IgnoreClientCertificateExpiry || *m.AdvertiseTrustStoreCaNames != "on" {
		t.Errorf("made %+v", m)
	}
	mutual := func(m api.MutualAuthenticationAttributes) error {
		_, err := f.ModifyListener(f.ctx, &api.ModifyListenerInput{ListenerArn: made443.ListenerArn, MutualAuthentication: &m})
		return err
	}
	wantError(t, mutual(api.MutualAuthenticationAttributes{Mode: wire.Ptr("verify")}), "ValidationError", "trust store ARN")
	wantError(t, mutual(api.MutualAuthenticationAttributes{Mode: wire.Ptr("off"), TrustStoreArn: arn}), "ValidationError", "only be specified")
	wantError(t, mutual(api.MutualAuthenticationAttributes{Mode: wire.Ptr("verify"), TrustStoreArn: wire.Ptr(*arn + "0")}), "ValidationError", "not a valid trust store ARN")
	wantError(t, mutual(api.MutualAuthenticationAttributes{Mode: wire.Ptr("verify"), TrustStoreArn: wire.Ptr((*arn)[:len(*arn)-4] + "0000")}), "TrustStoreNotFound", "")
	associated := must[*api.DescribeTrustStoreAssociationsOutput](t)(f.DescribeTrustStoreAssociations(f.ctx, &api.DescribeTrustStoreAssociationsInput{TrustStoreArn: arn})).TrustStoreAssociations
	if len(associated) != 1 || *associated[0].ResourceArn != *made443.ListenerArn {
		t.Errorf("associations %v", associated)
	}
	_, err = f.DeleteTrustStore(f.ctx, &api.DeleteTrustStoreInput{TrustStoreArn: arn})
	wantError(t, err, "TrustStoreInUse", "")
	if err := mutual(api.MutualAuthenticationAttributes{Mode: wire.Ptr("off")}); err != nil {
		t.Error(err)
	}
	if _, err := f.RemoveTrustStoreRevocations(f.ctx, &api.RemoveTrustStoreRevocationsInput{TrustStoreArn: arn, RevocationIds: []int64{1}}); err != nil {
		t.Error(err)
	}
	_, err = f.RemoveTrustStoreRevocations(f.ctx, &api.RemoveTrustStoreRevocationsInput{TrustStoreArn: arn, RevocationIds: []int64{1}})
	wantError(t, err, "RevocationIdNotFound", "1")
	if err := modify("two/ca.pem"); err != nil {
		t.Error(err)
	}
	if _, err := f.DeleteTrustStore(f.ctx, &api.DeleteTrustStoreInput{TrustStoreArn: arn}); err != nil {
		t.Error(err)
	}
	_, err = f.DescribeTrustStores(f.ctx, &api.DescribeTrustStoresInput{Names: []string{"clients"}})
	wantError(t, err, "TrustStoreNotFound", "")
}
