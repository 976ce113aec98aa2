package gateway

import (
	"crypto/x509"

	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// trust is whom backends behind VPC links are believed: besides the system's
// authorities the one that issues certificates of load balancers. It is not
// believed about the internet.
type trust struct {
	authority string // PEM
	roots     *x509.CertPool
}

// options are those of pools for VPC links.
func (t *trust) options(o upstream.Options, authority string) upstream.Options {
	if authority == "" {
		return o
	}
	if t.roots == nil || t.authority != authority {
		roots, err := o.RootCAs, error(nil)
		if roots != nil {
			roots = roots.Clone()
		} else if roots, err = x509.SystemCertPool(); err != nil {
			roots = x509.NewCertPool()
		}
		roots.AppendCertsFromPEM([]byte(authority))
		t.authority, t.roots = authority, roots
	}
	o.RootCAs = t.roots
	return o
}
