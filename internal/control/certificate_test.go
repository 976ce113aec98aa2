package control

import (
	"slices"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// TestRenewal: what was requested is issued anew before it ends, under the same
// ARN; what was imported is not.
func TestRenewal(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now()
	issuer, err := ensureAuthority(t.Context(), db, region, resource.Certificates, now)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		for _, kind := range []string{resource.RequestedCertificate, resource.ImportedCertificate} {
			issued, err := issuer.Issue([]string{"shop.example"}, "EC_prime256v1", now)
			if err != nil {
				return err
			}
			store.Certificates.Put(tx, &resource.Certificate{
				ARN: kind, Type: kind, Names: []string{"shop.example"}, KeyAlgorithm: "EC_prime256v1",
				Certificate: issued.Certificate, PrivateKey: issued.Key, NotAfter: issued.NotAfter,
			})
			made[kind] = issued.Certificate
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c := &controller{db: db, region: region, certificates: issuer}
	for _, step := range []struct {
		at      time.Time
		renewed []string
	}{
		{now.Add(authority.Life - authority.Renewal - time.Hour), nil},
		{now.Add(authority.Life - authority.Renewal + time.Hour), []string{resource.RequestedCertificate}},
	} {
		if err := c.renewCertificates(t.Context(), db.View(), step.at); err != nil {
			t.Fatal(err)
		}
		var renewed []string
		for row := range store.Certificates.Scan(db.View()) {
			if row.Certificate != made[row.ARN] {
				renewed = append(renewed, row.ARN)
				if !row.NotAfter.After(step.at.Add(authority.Life - time.Hour)) {
					t.Errorf("it ends at %v", row.NotAfter)
				}
			}
		}
		if !slices.Equal(renewed, step.renewed) {
			t.Errorf("renewed %v, want %v", renewed, step.renewed)
		}
	}
}
