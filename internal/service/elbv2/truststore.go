package elbv2

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/truststore"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// maxTrustStores is AWS's quota of an account in a region.
const maxTrustStores = 20

// CreateTrustStore makes a trust store of the certificates in an object.
func (s *Service) CreateTrustStore(ctx context.Context, in *api.CreateTrustStoreInput) (*api.CreateTrustStoreOutput, error) {
	sc := scopeOf(ctx)
	t := &resource.TrustStore{Meta: resource.Meta{Account: sc.account, Region: sc.region, Created: now()}, Name: wire.Val(in.Name)}
	var err error
	if t.Tags, err = readTags(in.Tags); err != nil {
		return nil, err
	}
	b, err := s.bundle(in.CaCertificatesBundleS3Bucket, in.CaCertificatesBundleS3Key, in.CaCertificatesBundleS3ObjectVersion)
	if err != nil {
		return nil, err
	}
	b.fill(t)
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		all := sc.trustStores(tx)
		switch {
		case slices.ContainsFunc(all, func(o *resource.TrustStore) bool { return o.Name == t.Name }):
			return wire.Errorf(400, "DuplicateTrustStoreName", "A trust store with the name '%s' already exists", t.Name)
		case len(all) >= maxTrustStores:
			return wire.Errorf(400, "TooManyTrustStores", "The maximum number of trust stores, %d, has been reached", maxTrustStores)
		}
		t.ARN = sc.arn(trustStorePart + t.Name + "/" + newID())
		store.TrustStores.Put(tx, t)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateTrustStoreOutput{TrustStores: []*api.TrustStore{showTrustStore(t)}}, nil
}

// bundle is what a trust store is made of.
type bundle struct {
	text         string
	certificates []*x509.Certificate
}

// bundle reads one. Objects are not read in a transaction, which would hold up
// all others.
func (s *Service) bundle(bucket, key, version *string) (*bundle, error) {
	b, err := s.options.object(wire.Val(bucket), wire.Val(key), truststore.MaxBundle)
	var known *wire.Error
	switch {
	case errors.As(err, &known):
		return nil, err
	case errors.Is(err, errNoObject) || err == nil && wire.Val(version) != "": // objects have no versions here
		return nil, wire.Errorf(400, "CaCertificatesBundleNotFound", "The CA certificates bundle '%s' of the bucket '%s' does not exist", wire.Val(key), wire.Val(bucket))
	case err != nil:
		return nil, badBundle(err)
	}
	certificates, err := truststore.ParseBundle(b)
	if err != nil {
		return nil, badBundle(err)
	}
	return &bundle{string(b), certificates}, nil
}

// verifies tells whether a trust store's revocation lists are of its
// authorities.
func (b *bundle) verifies(lists []resource.Revocation) error {
	for _, r := range lists {
		if _, err := truststore.ParseRevocationList(r.Content, b.certificates); err != nil {
			return wire.Errorf(400, "InvalidCaCertificatesBundle", "The revocation '%d' would not be verified any more: %s", r.ID, err)
		}
	}
	return nil
}

func (b *bundle) fill(t *resource.TrustStore) { t.Bundle, t.Certificates = b.text, len(b.certificates) }

func badBundle(err error) error {
	return wire.Errorf(400, "InvalidCaCertificatesBundle", "The CA certificates bundle is not valid: %s", err)
}

// ModifyTrustStore gives a trust store other certificates.
func (s *Service) ModifyTrustStore(ctx context.Context, in *api.ModifyTrustStoreInput) (*api.ModifyTrustStoreOutput, error) {
	if _, err := scopeOf(ctx).findTrustStore(s.db.View(), wire.Val(in.TrustStoreArn)); err != nil {
		return nil, err
	}
	b, err := s.bundle(in.CaCertificatesBundleS3Bucket, in.CaCertificatesBundleS3Key, in.CaCertificatesBundleS3ObjectVersion)
	if err != nil {
		return nil, err
	}
	t, err := s.changeTrustStore(ctx, in.TrustStoreArn, func(t *resource.TrustStore) error {
		b.fill(t)
		return b.verifies(t.Revocations)
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyTrustStoreOutput{TrustStores: []*api.TrustStore{showTrustStore(t)}}, nil
}

func (s *Service) changeTrustStore(ctx context.Context, arn *string, change func(*resource.TrustStore) error) (t *resource.TrustStore, err error) {
	_, err = s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if t, err = scopeOf(ctx).findTrustStore(tx, wire.Val(arn)); err != nil {
			return err
		}
		if err := change(t); err != nil {
			return err
		}
		store.TrustStores.Put(tx, t)
		return nil
	})
	return t, err
}

// DeleteTrustStore removes a trust store that no listener has.
func (s *Service) DeleteTrustStore(ctx context.Context, in *api.DeleteTrustStoreInput) (*api.DeleteTrustStoreOutput, error) {
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		t, err := scopeOf(ctx).findTrustStore(tx, wire.Val(in.TrustStoreArn))
		if err != nil {
			return err
		}
		if len(listenersWith(tx, t.ARN)) > 0 {
			return wire.Errorf(400, "TrustStoreInUse", "Trust store '%s' is currently in use by a listener", t.ARN)
		}
		store.TrustStores.Delete(tx, t.ARN)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteTrustStoreOutput{}, nil
}

// DescribeTrustStores lists trust stores: all, or those with the given ARNs or
// names.
func (s *Service) DescribeTrustStores(ctx context.Context, in *api.DescribeTrustStoresInput) (*api.DescribeTrustStoresOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	if len(in.TrustStoreArns) > 0 && len(in.Names) > 0 {
		return nil, invalid("Trust store ARNs and names cannot be specified at the same time")
	}
	found := sc.trustStores(view)
	if len(in.TrustStoreArns) > 0 || len(in.Names) > 0 {
		found = nil
	}
	for _, arn := range in.TrustStoreArns {
		t, err := sc.findTrustStore(view, arn)
		if err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	for _, name := range in.Names {
		i := slices.IndexFunc(sc.trustStores(view), func(t *resource.TrustStore) bool { return t.Name == name })
		if i < 0 {
			return nil, errNoTrustStore
		}
		found = append(found, sc.trustStores(view)[i])
	}
	found = sortUnique(found, (*resource.TrustStore).Key)
	shown, next, err := page(found, (*resource.TrustStore).Key, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeTrustStoresOutput{TrustStores: showAll(shown, showTrustStore), NextMarker: next}, nil
}

func showTrustStore(t *resource.TrustStore) *api.TrustStore {
	entries := 0
	for _, r := range t.Revocations {
		entries += r.Entries
	}
	return &api.TrustStore{
		Name: wire.Ptr(t.Name), TrustStoreArn: wire.Ptr(t.ARN), Status: wire.Ptr("ACTIVE"),
		NumberOfCaCertificates: wire.Ptr(int64(t.Certificates)), TotalRevokedEntries: wire.Ptr(int64(entries)),
	}
}

// DescribeTrustStoreAssociations lists the listeners that verify clients by a
// trust store.
func (s *Service) DescribeTrustStoreAssociations(ctx context.Context, in *api.DescribeTrustStoreAssociationsInput) (*api.DescribeTrustStoreAssociationsOutput, error) {
	view := s.db.View()
	t, err := scopeOf(ctx).findTrustStore(view, wire.Val(in.TrustStoreArn))
	if err != nil {
		return nil, err
	}
	arns, next, err := page(listenersWith(view, t.ARN), func(arn string) string { return arn }, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeTrustStoreAssociationsOutput{NextMarker: next, TrustStoreAssociations: showAll(arns, func(arn string) *api.TrustStoreAssociation {
		return &api.TrustStoreAssociation{ResourceArn: &arn}
	})}, nil
}

// listenersWith are the listeners (ARNs, sorted) that have a trust store.
func listenersWith(r store.Reader, trustStore string) (arns []string) {
	for l := range store.Listeners.Scan(r) {
		if l.TLS != nil && l.TLS.TrustStore == trustStore {
			arns = append(arns, l.ARN)
		}
	}
	slices.Sort(arns)
	return arns
}

// GetTrustStoreCaCertificatesBundle tells where the certificates of a trust store
// can be read.
func (s *Service) GetTrustStoreCaCertificatesBundle(ctx context.Context, in *api.GetTrustStoreCaCertificatesBundleInput) (*api.GetTrustStoreCaCertificatesBundleOutput, error) {
	t, err := scopeOf(ctx).findTrustStore(s.db.View(), wire.Val(in.TrustStoreArn))
	if err != nil {
		return nil, err
	}
	return &api.GetTrustStoreCaCertificatesBundleOutput{Location: wire.Ptr(s.location(t.ARN, bundleName))}, nil
}
