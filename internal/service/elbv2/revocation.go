package elbv2

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/truststore"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// maxRevocations is AWS's quota of the revocation lists of a trust store.
const maxRevocations = 30

// AddTrustStoreRevocations adds revocation lists in objects to a trust store.
func (s *Service) AddTrustStoreRevocations(ctx context.Context, in *api.AddTrustStoreRevocationsInput) (*api.AddTrustStoreRevocationsOutput, error) {
	if len(in.RevocationContents) == 0 {
		return nil, invalid("A revocation content must be specified")
	}
	if _, err := scopeOf(ctx).findTrustStore(s.db.View(), wire.Val(in.TrustStoreArn)); err != nil {
		return nil, err
	}
	added, err := s.revocations(in.RevocationContents)
	if err != nil {
		return nil, err
	}
	out := &api.AddTrustStoreRevocationsOutput{}
	_, err = s.changeTrustStore(ctx, in.TrustStoreArn, func(t *resource.TrustStore) error {
		out.TrustStoreRevocations = nil
		certificates, err := truststore.ParseBundle([]byte(t.Bundle))
		if err != nil {
			return err
		}
		for _, r := range added {
			list, err := truststore.ParseRevocationList(r.Content, certificates)
			if err != nil {
				return badRevocation(err)
			}
			t.LastRevocation++
			r.ID, r.Entries = t.LastRevocation, len(list.RevokedCertificateEntries)
			t.Revocations = append(t.Revocations, r)
			out.TrustStoreRevocations = append(out.TrustStoreRevocations, &api.TrustStoreRevocation{
				TrustStoreArn: wire.Ptr(t.ARN), RevocationId: wire.Ptr(r.ID), RevocationType: wire.Ptr("CRL"), NumberOfRevokedEntries: wire.Ptr(int64(r.Entries)),
			})
		}
		return checkRevocations(t.Revocations)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// revocations reads revocation lists, and no more of them than a trust store may
// have. Objects are not read in a transaction, which would hold up all others.
func (s *Service) revocations(contents []*api.RevocationContent) (lists []resource.Revocation, err error) {
	for _, c := range contents {
		content, err := s.revocationContent(c)
		if err != nil {
			return nil, err
		}
		lists = append(lists, resource.Revocation{Content: content})
		if err := checkRevocations(lists); err != nil {
			return nil, err
		}
	}
	return lists, nil
}

// revocationContent reads a revocation list.
func (s *Service) revocationContent(c *api.RevocationContent) ([]byte, error) {
	b, err := s.options.object(wire.Val(c.S3Bucket), wire.Val(c.S3Key), truststore.MaxRevocationList)
	var known *wire.Error
	switch {
	case errors.As(err, &known):
		return nil, err
	case errors.Is(err, errNoObject) || err == nil && wire.Val(c.S3ObjectVersion) != "":
		return nil, wire.Errorf(400, "RevocationContentNotFound", "The revocation file '%s' of the bucket '%s' does not exist", wire.Val(c.S3Key), wire.Val(c.S3Bucket))
	case err != nil:
		return nil, badRevocation(err)
	}
	return b, nil
}

func badRevocation(err error) error {
	return wire.Errorf(400, "InvalidRevocationContent", "The revocation file is not valid: %s", err)
}

// checkRevocations bounds the lists of a trust store, which go to nodes with
// their configuration.
func checkRevocations(lists []resource.Revocation) error {
	size := 0
	for _, r := range lists {
		size += len(r.Content)
	}
	switch {
	case len(lists) > maxRevocations:
		return wire.Errorf(400, "TooManyTrustStoreRevocationEntries", "A trust store can have at most %d revocation files", maxRevocations)
	case size > truststore.MaxRevocationList:
		return wire.Errorf(400, "TooManyTrustStoreRevocationEntries", "The revocation files of a trust store can have at most %d bytes in Isthmus", truststore.MaxRevocationList)
	}
	return nil
}

func noRevocation(id int64) error {
	return wire.Errorf(400, "RevocationIdNotFound", "The revocation ID '%d' does not exist", id)
}

// RemoveTrustStoreRevocations removes revocation lists from a trust store.
func (s *Service) RemoveTrustStoreRevocations(ctx context.Context, in *api.RemoveTrustStoreRevocationsInput) (*api.RemoveTrustStoreRevocationsOutput, error) {
	_, err := s.changeTrustStore(ctx, in.TrustStoreArn, func(t *resource.TrustStore) error {
		for _, id := range in.RevocationIds {
			i := slices.IndexFunc(t.Revocations, func(r resource.Revocation) bool { return r.ID == id })
			if i < 0 {
				return noRevocation(id)
			}
			t.Revocations = slices.Delete(t.Revocations, i, i+1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.RemoveTrustStoreRevocationsOutput{}, nil
}

// DescribeTrustStoreRevocations lists the revocation lists of a trust store, or
// those with the given IDs.
func (s *Service) DescribeTrustStoreRevocations(ctx context.Context, in *api.DescribeTrustStoreRevocationsInput) (*api.DescribeTrustStoreRevocationsOutput, error) {
	t, err := scopeOf(ctx).findTrustStore(s.db.View(), wire.Val(in.TrustStoreArn))
	if err != nil {
		return nil, err
	}
	var found []resource.Revocation
	for _, r := range t.Revocations {
		if len(in.RevocationIds) == 0 || slices.Contains(in.RevocationIds, r.ID) {
			found = append(found, r)
		}
	}
	for _, id := range in.RevocationIds {
		if !slices.ContainsFunc(found, func(r resource.Revocation) bool { return r.ID == id }) {
			return nil, noRevocation(id)
		}
	}
	shown, next, err := page(found, func(r resource.Revocation) string { return fmt.Sprintf("%020d", r.ID) }, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeTrustStoreRevocationsOutput{NextMarker: next, TrustStoreRevocations: showAll(shown, func(r resource.Revocation) *api.DescribeTrustStoreRevocation {
		return &api.DescribeTrustStoreRevocation{
			TrustStoreArn: wire.Ptr(t.ARN), RevocationId: wire.Ptr(r.ID), RevocationType: wire.Ptr("CRL"), NumberOfRevokedEntries: wire.Ptr(int64(r.Entries)),
		}
	})}, nil
}

// GetTrustStoreRevocationContent tells where a revocation list can be read.
func (s *Service) GetTrustStoreRevocationContent(ctx context.Context, in *api.GetTrustStoreRevocationContentInput) (*api.GetTrustStoreRevocationContentOutput, error) {
	t, err := scopeOf(ctx).findTrustStore(s.db.View(), wire.Val(in.TrustStoreArn))
	if err != nil {
		return nil, err
	}
	id := wire.Val(in.RevocationId)
	if !slices.ContainsFunc(t.Revocations, func(r resource.Revocation) bool { return r.ID == id }) {
		return nil, noRevocation(id)
	}
	return &api.GetTrustStoreRevocationContentOutput{Location: wire.Ptr(s.location(t.ARN, strconv.FormatInt(id, 10)))}, nil
}
