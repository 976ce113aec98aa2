package acm

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/acm"
)

// GetCertificate tells a certificate and its chain, never its key.
func (s *Service) GetCertificate(ctx context.Context, in *api.GetCertificateInput) (*api.GetCertificateOutput, error) {
	c, err := scopeOf(ctx).find(s.db.View(), *in.CertificateArn)
	if err != nil {
		return nil, err
	}
	out := &api.GetCertificateOutput{Certificate: wire.Ptr(strings.TrimSpace(c.Certificate))}
	if c.Chain != "" {
		out.CertificateChain = wire.Ptr(strings.TrimSpace(c.Chain))
	}
	return out, nil
}

// DescribeCertificate tells of a certificate.
func (s *Service) DescribeCertificate(ctx context.Context, in *api.DescribeCertificateInput) (*api.DescribeCertificateOutput, error) {
	view := s.db.View()
	c, err := scopeOf(ctx).find(view, *in.CertificateArn)
	if err != nil {
		return nil, err
	}
	x, err := parse(c)
	if err != nil {
		return nil, err
	}
	detail := &api.CertificateDetail{
		CertificateArn: &c.ARN, DomainName: &c.Domain, SubjectAlternativeNames: names(c), Serial: wire.Ptr(serial(x)),
		Subject: wire.Ptr(x.Subject.String()), Issuer: wire.Ptr(x.Issuer.CommonName), CreatedAt: &c.Created, Status: wire.Ptr(status(c)),
		NotBefore: &x.NotBefore, NotAfter: &x.NotAfter, KeyAlgorithm: wire.Ptr(strings.ReplaceAll(c.KeyAlgorithm, "RSA_", "RSA-")),
		SignatureAlgorithm: wire.Ptr(signature(x)), InUseBy: usersOf(view, c.ARN), Type: &c.Type, RenewalEligibility: wire.Ptr(renewal(c)),
		Options: &api.CertificateOptions{CertificateTransparencyLoggingPreference: wire.Ptr("DISABLED")},
	}
	for _, u := range usages(x) {
		detail.KeyUsages = append(detail.KeyUsages, &api.KeyUsage{Name: wire.Ptr(u)})
	}
	for _, u := range x.ExtKeyUsage {
		if name, oid := extendedUsage(u); name != "" {
			detail.ExtendedKeyUsages = append(detail.ExtendedKeyUsages, &api.ExtendedKeyUsage{Name: wire.Ptr(name), OID: wire.Ptr(oid)})
		}
	}
	if c.Type == resource.ImportedCertificate {
		detail.ImportedAt = &c.Issued
		return &api.DescribeCertificateOutput{Certificate: detail}, nil
	}
	detail.IssuedAt = &c.Issued
	for _, name := range c.Names {
		detail.DomainValidationOptions = append(detail.DomainValidationOptions, validation(c, name))
	}
	return &api.DescribeCertificateOutput{Certificate: detail}, nil
}

// validation is what a domain's owner would have to do, who is not asked. The
// record is the same for the same account and domain, as AWS's.
func validation(c *resource.Certificate, name string) *api.DomainValidation {
	v := &api.DomainValidation{
		DomainName: &name, ValidationDomain: &name, ValidationStatus: wire.Ptr("SUCCESS"), ValidationMethod: &c.Validation,
	}
	if c.Validation == "DNS" {
		bare := strings.TrimPrefix(name, "*.")
		sum := sha256.Sum256([]byte(c.Account + " " + bare))
		v.ResourceRecord = &api.ResourceRecord{
			Name: wire.Ptr("_" + hex.EncodeToString(sum[:16]) + "." + bare + "."), Type: wire.Ptr("CNAME"),
			Value: wire.Ptr("_" + hex.EncodeToString(sum[16:]) + ".acm-validations.aws."),
		}
	}
	return v
}

func parse(c *resource.Certificate) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(c.Certificate))
	if block == nil {
		return nil, errors.New("read stored certificate: no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func names(c *resource.Certificate) []string {
	if len(c.Names) > 0 {
		return c.Names
	}
	return []string{c.Domain}
}

func status(c *resource.Certificate) string {
	if time.Now().After(c.NotAfter) {
		return "EXPIRED"
	}
	return "ISSUED"
}

func renewal(c *resource.Certificate) string {
	if c.Type == resource.ImportedCertificate {
		return "INELIGIBLE"
	}
	return "ELIGIBLE"
}

func serial(x *x509.Certificate) string {
	var parts []string
	for _, b := range x.SerialNumber.Bytes() {
		parts = append(parts, hex.EncodeToString([]byte{b}))
	}
	return strings.Join(parts, ":")
}

// signature is the algorithm as AWS writes it: "SHA256WITHRSA".
func signature(x *x509.Certificate) string {
	with, hash, ok := strings.Cut(x.SignatureAlgorithm.String(), "-")
	if !ok {
		return x.SignatureAlgorithm.String()
	}
	return strings.ReplaceAll(hash, "-", "") + "WITH" + with
}

func usages(x *x509.Certificate) (all []string) {
	for i, name := range []string{"DIGITAL_SIGNATURE", "NON_REPUDIATION", "KEY_ENCIPHERMENT", "DATA_ENCIPHERMENT", "KEY_AGREEMENT", "CERTIFICATE_SIGNING", "CRL_SIGNING"} {
		if x.KeyUsage&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return all
}

func extendedUsage(u x509.ExtKeyUsage) (name, oid string) {
	last := map[x509.ExtKeyUsage]struct {
		name string
		last int
	}{
		x509.ExtKeyUsageServerAuth: {"TLS_WEB_SERVER_AUTHENTICATION", 1}, x509.ExtKeyUsageClientAuth: {"TLS_WEB_CLIENT_AUTHENTICATION", 2},
		x509.ExtKeyUsageCodeSigning: {"CODE_SIGNING", 3}, x509.ExtKeyUsageEmailProtection: {"EMAIL_PROTECTION", 4},
		x509.ExtKeyUsageTimeStamping: {"TIME_STAMPING", 8}, x509.ExtKeyUsageOCSPSigning: {"OCSP_SIGNING", 9},
	}[u]
	if last.name == "" {
		return "", ""
	}
	return last.name, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, last.last}.String()
}

// defaultTypes are the keys of the certificates that are listed unless others
// are asked for.
var defaultTypes = []string{"RSA_1024", "RSA_2048"}

const defaultPage = 1000

// ListCertificates lists certificates, sorted by ARN or by when they were made.
func (s *Service) ListCertificates(ctx context.Context, in *api.ListCertificatesInput) (*api.ListCertificatesOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	types := defaultTypes
	if f := in.Includes; f != nil {
		if len(f.KeyUsage) > 0 || len(f.ExtendedKeyUsage) > 0 {
			return nil, invalid("Filters by key usage are not supported by Isthmus.")
		}
		if len(f.KeyTypes) > 0 {
			types = f.KeyTypes
		}
	}
	var found []*resource.Certificate
	for c := range store.Certificates.ScanPrefix(view, sc.prefix()) {
		if slices.Contains(types, c.KeyAlgorithm) && (len(in.CertificateStatuses) == 0 || slices.Contains(in.CertificateStatuses, status(c))) {
			found = append(found, c)
		}
	}
	key := (*resource.Certificate).Key
	if wire.Val(in.SortBy) == "CREATED_AT" {
		key = func(c *resource.Certificate) string { return c.Created.UTC().Format(time.RFC3339) + c.ARN }
	}
	slices.SortFunc(found, func(a, b *resource.Certificate) int { return strings.Compare(key(a), key(b)) })
	if wire.Val(in.SortOrder) == "DESCENDING" {
		slices.Reverse(found)
	}
	if token := wire.Val(in.NextToken); token != "" {
		last, err := base64.RawURLEncoding.DecodeString(token)
		i := slices.IndexFunc(found, func(c *resource.Certificate) bool { return c.ARN == string(last) })
		if err != nil || i < 0 {
			return nil, invalid("The next token is not valid.")
		}
		found = found[i+1:]
	}
	out := &api.ListCertificatesOutput{CertificateSummaryList: []*api.CertificateSummary{}}
	size := defaultPage
	if in.MaxItems != nil {
		size = int(*in.MaxItems)
	}
	if size < len(found) {
		found = found[:size]
		out.NextToken = wire.Ptr(base64.RawURLEncoding.EncodeToString([]byte(found[len(found)-1].ARN)))
	}
	for _, c := range found {
		summary, err := summarize(view, c)
		if err != nil {
			return nil, err
		}
		out.CertificateSummaryList = append(out.CertificateSummaryList, summary)
	}
	return out, nil
}

func summarize(r store.Reader, c *resource.Certificate) (*api.CertificateSummary, error) {
	x, err := parse(c)
	if err != nil {
		return nil, err
	}
	out := &api.CertificateSummary{
		CertificateArn: &c.ARN, DomainName: &c.Domain, SubjectAlternativeNameSummaries: names(c),
		HasAdditionalSubjectAlternativeNames: wire.Ptr(false), Status: wire.Ptr(status(c)), Type: &c.Type,
		KeyAlgorithm: wire.Ptr(strings.ReplaceAll(c.KeyAlgorithm, "RSA_", "RSA-")), KeyUsages: usages(x),
		InUse: wire.Ptr(len(usersOf(r, c.ARN)) > 0), RenewalEligibility: wire.Ptr(renewal(c)),
		NotBefore: &x.NotBefore, NotAfter: &x.NotAfter, CreatedAt: &c.Created,
	}
	for _, u := range x.ExtKeyUsage {
		if name, _ := extendedUsage(u); name != "" {
			out.ExtendedKeyUsages = append(out.ExtendedKeyUsages, name)
		}
	}
	if c.Type == resource.ImportedCertificate {
		out.ImportedAt = &c.Issued
	} else {
		out.IssuedAt = &c.Issued
	}
	return out, nil
}
