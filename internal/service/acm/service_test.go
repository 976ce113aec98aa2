package acm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/smithy-go"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/acm"
)

const (
	account  = "111111111111"
	stranger = "222222222222"
	region   = "us-east-1"
)

// fixture is the service behind its wire format, with an authority, called by
// the SDK.
type fixture struct {
	*testing.T
	*acm.Client // of the account
	other       *acm.Client
	db          *store.DB
	url         string
	authority   *authority.Authority
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	server := httptest.NewServer(wire.NewHandler(wire.Options{Log: slog.New(slog.DiscardHandler)}, wire.Service{API: api.API, Server: New(db)}))
	t.Cleanup(server.Close)
	as := func(account string) *acm.Client {
		return acm.New(acm.Options{
			Region: region, BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(account, "x", ""),
		})
	}
	f := &fixture{T: t, Client: as(account), other: as(stranger), db: db, url: server.URL}
	row, err := authority.New(region, resource.Certificates, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if f.authority, err = authority.Open(row); err != nil {
		t.Fatal(err)
	}
	f.update(func(tx *store.Tx) error {
		store.Authorities.Put(tx, row)
		return nil
	})
	return f
}

func (f *fixture) update(change func(tx *store.Tx) error) {
	f.Helper()
	if _, err := f.db.Update(f.Context(), change); err != nil {
		f.Fatal(err)
	}
}

// fails checks an error's code and a part of its message.
func (f *fixture) fails(err error, code, text string) {
	f.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), text) {
		f.Errorf("error %v, want %s: … %s …", err, code, text)
	}
}

func (f *fixture) request(change ...func(*acm.RequestCertificateInput)) (string, error) {
	in := &acm.RequestCertificateInput{DomainName: aws.String("Shop.example"), ValidationMethod: types.ValidationMethodDns}
	for _, c := range change {
		c(in)
	}
	out, err := f.RequestCertificate(f.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.CertificateArn, nil
}

func TestRequest(t *testing.T) {
	f := newFixture(t)
	arn, err := f.request(func(in *acm.RequestCertificateInput) {
		in.SubjectAlternativeNames, in.IdempotencyToken = []string{"*.shop.example", "shop.example"}, aws.String("once")
		in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.request(func(in *acm.RequestCertificateInput) {
		in.SubjectAlternativeNames, in.IdempotencyToken = []string{"*.shop.example"}, aws.String("once")
	})
	if err != nil || again != arn {
		t.Errorf("the same token made %s, %v", again, err)
	}
	d, err := f.DescribeCertificate(t.Context(), &acm.DescribeCertificateInput{CertificateArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	c := d.Certificate
	if c.Status != types.CertificateStatusIssued || c.Type != types.CertificateTypeAmazonIssued || *c.DomainName != "shop.example" ||
		!slices.Equal(c.SubjectAlternativeNames, []string{"shop.example", "*.shop.example"}) || c.IssuedAt == nil || c.RenewalEligibility != "ELIGIBLE" ||
		len(c.InUseBy) != 0 || *c.SignatureAlgorithm != "SHA256WITHECDSA" || len(c.ExtendedKeyUsages) != 1 || c.NotAfter.Before(time.Now().Add(394*24*time.Hour)) {
		t.Errorf("described as %+v", c)
	}
	first, second := c.DomainValidationOptions[0], c.DomainValidationOptions[1]
	if first.ValidationStatus != types.DomainStatusSuccess || first.ResourceRecord == nil || *first.ResourceRecord.Name != *second.ResourceRecord.Name ||
		!strings.HasSuffix(*first.ResourceRecord.Name, ".shop.example.") {
		t.Errorf("validated by %+v and %+v", first, second)
	}
	got, err := f.GetCertificate(t.Context(), &acm.GetCertificateInput{CertificateArn: &arn})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(*got.Certificate))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(f.authority.PEM))
	for name, want := range map[string]bool{"shop.example": true, "www.shop.example": true, "a.b.shop.example": false, "other.example": false} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(*got.Certificate+*got.CertificateChain, "PRIVATE") || *got.CertificateChain+"\n" != f.authority.PEM {
		t.Errorf("the chain is %s", *got.CertificateChain)
	}
	row, _ := store.Certificates.Get(f.db.View(), arn)
	if _, err := tls.X509KeyPair([]byte(row.Certificate), []byte(row.PrivateKey)); err != nil {
		t.Error(err)
	}
	list, err := f.ListCertificates(t.Context(), &acm.ListCertificatesInput{})
	if err != nil || len(list.CertificateSummaryList) != 1 || *list.CertificateSummaryList[0].CertificateArn != arn {
		t.Errorf("listed %+v, %v", list, err)
	}
	_, err = f.other.DescribeCertificate(t.Context(), &acm.DescribeCertificateInput{CertificateArn: &arn})
	f.fails(err, "ResourceNotFoundException", arn)
	_, err = f.other.DeleteCertificate(t.Context(), &acm.DeleteCertificateInput{CertificateArn: &arn})
	f.fails(err, "ResourceNotFoundException", arn)
}

func TestRequestRefuses(t *testing.T) {
	f := newFixture(t)
	type input = acm.RequestCertificateInput
	for name, c := range map[string]struct {
		change     func(*input)
		code, text string
	}{
		"private authority": {func(in *input) {
			in.CertificateAuthorityArn = aws.String("arn:aws:acm-pca:us-east-1:111111111111:certificate-authority/12345678-1234-1234-1234-123456789012")
		}, "InvalidParameterException", "Private"},
		"an algorithm": {func(in *input) { in.KeyAlgorithm = types.KeyAlgorithmRsa1024 }, "InvalidParameterException", "RSA_1024"},
		"AWS's name":   {func(in *input) { in.SubjectAlternativeNames = []string{"s3.amazonaws.com"} }, "InvalidDomainValidationOptionsException", "s3.amazonaws.com"},
		"one label":    {func(in *input) { in.DomainName = aws.String("com") }, "ValidationException", ""},
		"eleven names": {func(in *input) {
			for _, c := range "abcdefghij" {
				in.SubjectAlternativeNames = append(in.SubjectAlternativeNames, string(c)+".example")
			}
		}, "LimitExceededException", "10"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.request(c.change)
			if name == "one label" { // the model's pattern may refuse it first
				if err == nil {
					t.Error("it was issued")
				}
				return
			}
			f.fails(err, c.code, c.text)
		})
	}
	for range store.Certificates.Scan(f.db.View()) {
		t.Error("a refused request left a certificate")
	}
}

// pair makes a certificate that another one has signed, or it itself.
func pair(t *testing.T, name string, parent *tls.Certificate, change ...func(*x509.Certificate)) (certificate, key []byte, made tls.Certificate) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IsCA: parent == nil, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	for _, c := range change {
		c(template)
	}
	signer, by := any(k), template
	if parent != nil {
		signer, by = parent.PrivateKey, parent.Leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, k.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k, Leaf: leaf}
}

func TestImport(t *testing.T) {
	f := newFixture(t)
	root, _, signer := pair(t, "root.example", nil)
	certificate, key, _ := pair(t, "shop.example", &signer)
	in := &acm.ImportCertificateInput{Certificate: certificate, PrivateKey: key, CertificateChain: root, Tags: []types.Tag{{Key: aws.String("a")}}}
	out, err := f.ImportCertificate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.DescribeCertificate(t.Context(), &acm.DescribeCertificateInput{CertificateArn: out.CertificateArn})
	if err != nil || d.Certificate.Type != types.CertificateTypeImported || d.Certificate.ImportedAt == nil || *d.Certificate.DomainName != "shop.example" ||
		*d.Certificate.Issuer != "root.example" || *d.Certificate.Serial != "07" || d.Certificate.RenewalEligibility != "INELIGIBLE" {
		t.Errorf("described as %+v, %v", d.Certificate, err)
	}
	// Once more in its place, without tags, which stay.
	renewed, renewedKey, _ := pair(t, "shop.example", &signer)
	_, err = f.ImportCertificate(t.Context(), &acm.ImportCertificateInput{CertificateArn: out.CertificateArn, Certificate: renewed, PrivateKey: renewedKey, Tags: in.Tags})
	f.fails(err, "ValidationException", "re-import")
	if _, err := f.ImportCertificate(t.Context(), &acm.ImportCertificateInput{CertificateArn: out.CertificateArn, Certificate: renewed, PrivateKey: renewedKey}); err != nil {
		t.Fatal(err)
	}
	got, err := f.GetCertificate(t.Context(), &acm.GetCertificateInput{CertificateArn: out.CertificateArn})
	if err != nil || *got.Certificate+"\n" != string(renewed) || got.CertificateChain != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	tags, err := f.ListTagsForCertificate(t.Context(), &acm.ListTagsForCertificateInput{CertificateArn: out.CertificateArn})
	if err != nil || len(tags.Tags) != 1 {
		t.Errorf("tags %+v, %v", tags, err)
	}
	// It is listed only if its kind of key is asked for.
	if l, err := f.ListCertificates(t.Context(), &acm.ListCertificatesInput{}); err != nil || len(l.CertificateSummaryList) != 0 {
		t.Errorf("listed %+v, %v", l, err)
	}
	l, err := f.ListCertificates(t.Context(), &acm.ListCertificatesInput{Includes: &types.Filters{KeyTypes: []types.KeyAlgorithm{types.KeyAlgorithmEcPrime256v1}}})
	if err != nil || len(l.CertificateSummaryList) != 1 {
		t.Errorf("listed %+v, %v", l, err)
	}
	f.update(func(tx *store.Tx) error {
		store.Listeners.Put(tx, &resource.Listener{ARN: "l", LoadBalancer: "arn:lb", TLS: &resource.ListenerTLS{Certificate: *out.CertificateArn}})
		return nil
	})
	_, err = f.DeleteCertificate(t.Context(), &acm.DeleteCertificateInput{CertificateArn: out.CertificateArn})
	f.fails(err, "ResourceInUseException", "in use")
	f.update(func(tx *store.Tx) error {
		store.Listeners.Delete(tx, "l")
		return nil
	})
	if _, err := f.DeleteCertificate(t.Context(), &acm.DeleteCertificateInput{CertificateArn: out.CertificateArn}); err != nil {
		t.Error(err)
	}
}

func TestImportRefuses(t *testing.T) {
	f := newFixture(t)
	root, _, signer := pair(t, "root.example", nil)
	certificate, key, _ := pair(t, "shop.example", &signer)
	stranger, otherKey, _ := pair(t, "other.example", nil)
	ended, endedKey, _ := pair(t, "shop.example", &signer, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	block, _ := pem.Decode(key)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes})
	for name, c := range map[string]struct {
		certificate, key, chain []byte
		text                    string
	}{
		"no PEM":                 {[]byte("x"), key, nil, "PEM format"},
		"two certificates":       {append(slices.Clone(certificate), root...), key, nil, "more than one"},
		"a stranger's key":       {certificate, otherKey, nil, "does not match"},
		"a stranger's root":      {certificate, key, stranger, "index within the chain of the invalid certificate is: 0"},
		"a chain no PEM":         {certificate, key, []byte("x"), "chain"},
		"an encrypted key":       {certificate, encrypted, nil, "encrypted"},
		"a certificate as a key": {certificate, certificate, nil, "not supported"},
		"ended":                  {ended, endedKey, nil, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.ImportCertificate(t.Context(), &acm.ImportCertificateInput{Certificate: c.certificate, PrivateKey: c.key, CertificateChain: c.chain})
			f.fails(err, "ValidationException", c.text)
			if err != nil && strings.Contains(err.Error(), "BEGIN") {
				t.Error("the error holds what was sent")
			}
		})
	}
}

// TestCLI requests and tags a certificate with the real aws CLI.
func TestCLI(t *testing.T) {
	program, err := exec.LookPath("aws")
	if err != nil {
		t.Fatal("the aws CLI is not installed; scripts/install-dependencies run installs it")
	}
	f := newFixture(t)
	home := t.TempDir()
	run := func(query, command string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"acm", "--endpoint-url", f.url, "--output", "text", "--query", query}, strings.Fields(command)...)...)
		cmd.Env = append(os.Environ(), "HOME="+home, "AWS_CONFIG_FILE="+filepath.Join(home, "none"),
			"AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(home, "none"), "AWS_PAGER=", "AWS_ACCESS_KEY_ID="+account,
			"AWS_SECRET_ACCESS_KEY=x", "AWS_DEFAULT_REGION="+region, "AWS_REGION="+region, "AWS_MAX_ATTEMPTS=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("aws acm %s: %v: %s", command, err, out)
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	arn := run("CertificateArn", "request-certificate --domain-name shop.example --validation-method DNS --key-algorithm EC_prime256v1")
	run("@", "add-tags-to-certificate --certificate-arn "+arn+" --tags Key=a,Value=1 Key=b,Value=2")
	run("@", "remove-tags-from-certificate --certificate-arn "+arn+" --tags Key=a Key=b,Value=3")
	for query, want := range map[string][2]string{
		"Tags[].[Key,Value]": {"list-tags-for-certificate --certificate-arn " + arn, "b 2"},
		"Certificate.[Status,Type,DomainName,KeyAlgorithm]":  {"describe-certificate --certificate-arn " + arn, "ISSUED AMAZON_ISSUED shop.example EC_prime256v1"},
		"CertificateSummaryList[].[DomainName,Status,InUse]": {"list-certificates --includes keyTypes=EC_prime256v1", "shop.example ISSUED False"},
	} {
		if got := run(query, want[0]); got != want[1] {
			t.Errorf("aws acm %s: %q, want %q", want[0], got, want[1])
		}
	}
	run("@", "delete-certificate --certificate-arn "+arn)
}
