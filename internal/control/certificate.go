package control

import (
	"context"
	"time"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// ending are the certificates that are to be issued anew.
func ending(r store.Reader, now time.Time) (all []*resource.Certificate) {
	for c := range store.Certificates.Scan(r) {
		if c.Type == resource.RequestedCertificate && now.After(c.NotAfter.Add(-authority.Renewal)) {
			all = append(all, c)
		}
	}
	return all
}

// renewCertificates issues anew what was requested of Certificate Manager and
// ends soon. Load balancers get it with their next configuration.
func (c *controller) renewCertificates(ctx context.Context, s *store.Snapshot, now time.Time) error {
	for _, old := range ending(s, now) {
		issued, err := c.certificates.Issue(old.Names, old.KeyAlgorithm, now)
		if err != nil {
			return err
		}
		if _, err := c.db.Update(ctx, func(tx *store.Tx) error {
			row, ok := store.Certificates.Get(tx, old.ARN)
			if !ok || !row.NotAfter.Equal(old.NotAfter) {
				return nil
			}
			row.Certificate, row.PrivateKey, row.NotAfter, row.Chain = issued.Certificate, issued.Key, issued.NotAfter, c.certificates.PEM
			row.Issued = now.UTC().Truncate(time.Second)
			store.Certificates.Put(tx, row)
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
