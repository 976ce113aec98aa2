// Package acm is the part of the Certificate Manager API that a load balancer's
// certificates need: importing them, and requesting them of the local
// authority, which issues at once whatever it is asked for (there is nobody of
// whom the ownership of a domain could be asked). A requested certificate is
// renewed by the control process. Private authorities, exporting and settings
// of an account are refused.
package acm

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/acm"
)

// Service implements the API on a store.
type Service struct {
	db *store.DB
}

var _ api.Server = (*Service)(nil)

// New returns the service.
func New(db *store.DB) *Service { return &Service{db: db} }

// Partly says what of the supported operations is refused, or has no effect.
var Partly = map[string]string{
	"RequestCertificate": "issued at once by the local authority (`isthmus ca --acm`), no private authorities, no export",
	"ListCertificates":   "no filter by key usage",
}

// scope is the account and the region of a request: what it can see.
type scope struct {
	account, region string
}

func scopeOf(ctx context.Context) scope {
	c := wire.CallerFrom(ctx)
	return scope{c.Account, c.Region}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// invalid is AWS's error for a parameter that is malformed or missing.
func invalid(format string, args ...any) error {
	return wire.Errorf(400, "ValidationException", format, args...)
}

func invalidParameter(format string, args ...any) error {
	return wire.Errorf(400, "InvalidParameterException", format, args...)
}

// maxCertificates is AWS's default quota.
const maxCertificates = 2500

// prefix is what the ARNs of the scope's certificates begin with.
func (sc scope) prefix() string {
	return "arn:aws:acm:" + sc.region + ":" + sc.account + ":certificate/"
}

func (sc scope) newARN() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return sc.prefix() + fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var arnForm = regexp.MustCompile(`^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[A-Za-z0-9-]+$`)

// find finds a certificate of the scope.
func (sc scope) find(r store.Reader, arn string) (*resource.Certificate, error) {
	if !arnForm.MatchString(arn) {
		return nil, wire.Errorf(400, "InvalidArnException", "Invalid Arn: %s", arn)
	}
	if c, ok := store.Certificates.Get(r, arn); ok && vpc.Owned(c.Meta, sc.account, sc.region) {
		return c, nil
	}
	return nil, wire.Errorf(400, "ResourceNotFoundException", "Could not find certificate %s.", arn)
}

// usersOf are the ARNs of the load balancers that show a certificate.
func usersOf(r store.Reader, arn string) []string {
	users := []string{}
	for l := range store.Listeners.Scan(r) {
		for _, c := range l.TLS.All() {
			if c == arn && (len(users) == 0 || users[len(users)-1] != l.LoadBalancer) {
				users = append(users, l.LoadBalancer)
			}
		}
	}
	return users
}

// put stores a certificate, a new one within the quota.
func (sc scope) put(tx *store.Tx, c *resource.Certificate) error {
	if c.ARN == "" {
		n := 0
		for range store.Certificates.ScanPrefix(tx, sc.prefix()) {
			n++
		}
		if n >= maxCertificates {
			return wire.Errorf(400, "LimitExceededException", "Error: you have reached your limit of %d certificates", maxCertificates)
		}
		c.ARN = sc.newARN()
	}
	store.Certificates.Put(tx, c)
	return nil
}

// DeleteCertificate removes a certificate that no load balancer shows.
func (s *Service) DeleteCertificate(ctx context.Context, in *api.DeleteCertificateInput) (*api.DeleteCertificateOutput, error) {
	sc := scopeOf(ctx)
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		c, err := sc.find(tx, *in.CertificateArn)
		if err != nil {
			return err
		}
		if len(usersOf(tx, c.ARN)) > 0 {
			return wire.Errorf(400, "ResourceInUseException", "Certificate %s in account %s is in use.", c.ARN, sc.account)
		}
		store.Certificates.Delete(tx, c.ARN)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteCertificateOutput{}, nil
}
