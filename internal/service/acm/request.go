package acm

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/acm"
)

const (
	maxNames = 10 // of a requested certificate
	// tokenLife is how long the same request with the same token asks for the
	// same certificate.
	tokenLife = time.Hour
)

// RequestCertificate has the local authority issue a certificate.
func (s *Service) RequestCertificate(ctx context.Context, in *api.RequestCertificateInput) (*api.RequestCertificateOutput, error) {
	sc := scopeOf(ctx)
	c, err := readRequest(in)
	if err != nil {
		return nil, err
	}
	c.Meta.Account, c.Meta.Region, c.Meta.Created = sc.account, sc.region, now()
	view := s.db.View()
	if old := sc.requested(view, c); old != nil {
		return &api.RequestCertificateOutput{CertificateArn: &old.ARN}, nil
	}
	row, ok := store.Authorities.Get(view, resource.AuthorityKey(sc.region, resource.Certificates))
	if !ok {
		return nil, wire.Errorf(400, "RequestInProgressException", "The local authority is not there yet.")
	}
	issuer, err := authority.Open(row)
	if err != nil {
		return nil, err
	}
	issued, err := issuer.Issue(c.Names, c.KeyAlgorithm, c.Created)
	if err != nil {
		return nil, err
	}
	c.Certificate, c.PrivateKey, c.NotAfter, c.Issued, c.Chain = issued.Certificate, issued.Key, issued.NotAfter, c.Created, issuer.PEM
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		if old := sc.requested(tx, c); old != nil {
			c = old
			return nil
		}
		return sc.put(tx, c)
	})
	if err != nil {
		return nil, err
	}
	return &api.RequestCertificateOutput{CertificateArn: &c.ARN}, nil
}

func readRequest(in *api.RequestCertificateInput) (*resource.Certificate, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	c := &resource.Certificate{
		Meta: resource.Meta{Tags: tags}, Type: resource.RequestedCertificate, Domain: strings.ToLower(*in.DomainName),
		KeyAlgorithm: "RSA_2048", Validation: "EMAIL", Token: wire.Val(in.IdempotencyToken),
	}
	if v := wire.Val(in.KeyAlgorithm); v != "" {
		c.KeyAlgorithm = v
	}
	if v := wire.Val(in.ValidationMethod); v != "" {
		c.Validation = v
	}
	for _, name := range append([]string{c.Domain}, in.SubjectAlternativeNames...) {
		if name = strings.ToLower(name); !slices.Contains(c.Names, name) {
			c.Names = append(c.Names, name)
		}
	}
	switch {
	case wire.Val(in.CertificateAuthorityArn) != "":
		return nil, invalidParameter("Private certificate authorities are not supported by Isthmus.")
	case !slices.Contains(authority.Algorithms, c.KeyAlgorithm):
		return nil, invalidParameter("The key algorithm %s cannot be requested. Valid values are: %s.", c.KeyAlgorithm, strings.Join(authority.Algorithms, ", "))
	case c.Validation != "DNS" && c.Validation != "EMAIL":
		return nil, invalidParameter("The validation method %s is not supported by Isthmus.", c.Validation)
	case len(c.Names) > maxNames:
		return nil, wire.Errorf(400, "LimitExceededException", "Error: the maximum number of %d domain names has been exceeded.", maxNames)
	}
	for _, name := range c.Names {
		// Names of AWS are not given to anybody; private APIs have an authority
		// of their own.
		if !validName(name) || name == "amazonaws.com" || strings.HasSuffix(name, ".amazonaws.com") {
			return nil, wire.Errorf(400, "InvalidDomainValidationOptionsException", "The domain name %s cannot be requested.", name)
		}
	}
	return c, nil
}

// validName tells a host name, whose first label may be "*".
func validName(name string) bool {
	labels := strings.Split(strings.TrimPrefix(name, "*."), ".")
	if len(name) > 253 || len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if b := l[i]; !(b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '_') {
				return false
			}
		}
	}
	return true
}

// requested is the certificate that the same token asked for before.
func (sc scope) requested(r store.Reader, c *resource.Certificate) *resource.Certificate {
	if c.Token == "" {
		return nil
	}
	for old := range store.Certificates.ScanPrefix(r, sc.prefix()) {
		if old.Token == c.Token && slices.Equal(old.Names, c.Names) && c.Created.Sub(old.Created) < tokenLife {
			return old
		}
	}
	return nil
}
