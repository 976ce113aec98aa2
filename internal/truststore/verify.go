package truststore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Failure is why a client's certificate is refused. Its code is AWS's, of the
// error reason codes of connection logs.
type Failure struct{ Code, Cause string }

func (f *Failure) Error() string { return f.Code + ": " + f.Cause }

func fail(code, format string, args ...any) *Failure {
	return &Failure{code, fmt.Sprintf(format, args...)}
}

// maxDepth is AWS's limit of what is above a client's certificate.
const maxDepth = 4

// Verifier verifies certificates of clients. It is safe for concurrent use.
type Verifier struct {
	authorities  *x509.CertPool
	revoked      map[revocation]struct{}
	ignoreExpiry bool
}

// revocation is one certificate of an issuer.
type revocation struct{ issuer, serial string }

// New makes a verifier from a bundle of authorities and revocation lists. With
// ignoreExpiry, certificates of clients are good after their end, too.
func New(bundle []byte, lists [][]byte, ignoreExpiry bool) (*Verifier, error) {
	authorities, err := ParseBundle(bundle)
	if err != nil {
		return nil, fmt.Errorf("read certificates of authorities: %w", err)
	}
	v := &Verifier{authorities: x509.NewCertPool(), revoked: map[revocation]struct{}{}, ignoreExpiry: ignoreExpiry}
	for _, a := range authorities {
		v.authorities.AddCert(a)
	}
	for _, content := range lists {
		list, err := ParseRevocationList(content, authorities)
		if err != nil {
			return nil, err
		}
		for _, e := range list.RevokedCertificateEntries {
			v.revoked[revocation{string(list.RawIssuer), serial(e.SerialNumber)}] = struct{}{}
		}
	}
	return v, nil
}

func serial(n *big.Int) string { return string(n.Bytes()) }

// Authorities are those that are trusted. Each is where a chain may end, whether
// it is signed by itself or not.
func (v *Verifier) Authorities() *x509.CertPool { return v.authorities }

// Verify judges what a client has shown, its own certificate first.
func (v *Verifier) Verify(shown []*x509.Certificate, now time.Time) *Failure {
	if len(shown) == 0 {
		return fail("ClientCertRejected", "the client shows no certificate")
	}
	if len(shown)-1 > maxDepth {
		return fail("ClientCertMaxChainDepthExceeded", "the client shows %d certificates above its own; %d may be there", len(shown)-1, maxDepth)
	}
	leaf := shown[0]
	for _, c := range shown {
		if len(c.Raw) > MaxCertificateSize {
			return fail("ClientCertMaxSizeExceeded", "a certificate has %d bytes; %d are allowed", len(c.Raw), MaxCertificateSize)
		}
	}
	switch {
	case leaf.Version != 3:
		return fail("ClientCertTypeUnsupported", "the certificate is X.509v%d", leaf.Version)
	case !supported(leaf):
		return fail("ClientCertTypeUnsupported", "the certificate's key is of a kind that is not supported")
	case now.Before(leaf.NotBefore):
		return fail("ClientCertNotYetValid", "the certificate begins at %s", timestamp(leaf.NotBefore))
	case now.After(leaf.NotAfter) && !v.ignoreExpiry:
		return fail("ClientCertExpired", "the certificate ended at %s", timestamp(leaf.NotAfter))
	}
	o := x509.VerifyOptions{
		Roots: v.authorities, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if now.After(leaf.NotAfter) { // that counts for its authorities only
		lasting := *leaf
		lasting.NotAfter = now
		leaf = &lasting
	}
	for _, c := range shown[1:] {
		o.Intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(o)
	if err != nil {
		return verifyFailure(err)
	}
	var f *Failure
	for _, chain := range chains {
		if f = v.checkChain(chain); f == nil {
			return nil
		}
	}
	return f
}

// checkChain judges a chain that leads to an authority.
func (v *Verifier) checkChain(chain []*x509.Certificate) *Failure {
	if len(chain)-1 > maxDepth {
		return fail("ClientCertMaxChainDepthExceeded", "%d certificates are above the client's; %d may be there", len(chain)-1, maxDepth)
	}
	for _, c := range chain {
		if _, ok := v.revoked[revocation{string(c.RawIssuer), serial(c.SerialNumber)}]; ok {
			return fail("ClientCertCrlHit", "the certificate %X of %s is revoked", c.SerialNumber, c.Issuer)
		}
	}
	return nil
}

func verifyFailure(err error) *Failure {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	code := "ClientCertInvalid"
	switch {
	case errors.As(err, &unknown):
		code = "ClientCertUntrusted"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		code = "ClientCertExpired"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		code = "ClientCertPurposeInvalid"
	case errors.As(err, &invalid) && (invalid.Reason == x509.NotAuthorizedToSign || invalid.Reason == x509.TooManyIntermediates):
		code = "ClientCertUntrusted"
	}
	return fail(code, "%v", err)
}

// timestamp is a time in the format of AWS's logs and fields.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// Validity is the time in which a certificate is good, as targets are told.
func Validity(c *x509.Certificate) string {
	return "NotBefore=" + timestamp(c.NotBefore) + ";NotAfter=" + timestamp(c.NotAfter)
}
