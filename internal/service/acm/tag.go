package acm

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/acm"
)

const maxTags = 50

// readTags checks tags and makes a map of them, nil if there are none.
func readTags(list []*api.Tag) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	tags := make(map[string]string, len(list))
	for _, t := range list {
		key := *t.Key
		if _, twice := tags[key]; twice || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, wire.Errorf(400, "InvalidTagException", "Tag keys must be unique and cannot begin with aws:, unlike %s.", key)
		}
		tags[key] = wire.Val(t.Value)
	}
	return tags, checkTagCount(tags)
}

func checkTagCount(tags map[string]string) error {
	if len(tags) > maxTags {
		return wire.Errorf(400, "TooManyTagsException", "A certificate can have at most %d tags.", maxTags)
	}
	return nil
}

// AddTagsToCertificate adds tags, or replaces their values.
func (s *Service) AddTagsToCertificate(ctx context.Context, in *api.AddTagsToCertificateInput) (*api.AddTagsToCertificateOutput, error) {
	added, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &api.AddTagsToCertificateOutput{}, s.changeTags(ctx, *in.CertificateArn, func(m *resource.Meta) error {
		m.AddTags(added)
		return checkTagCount(m.Tags)
	})
}

// RemoveTagsFromCertificate removes tags; one that is given with a value only
// if it has that value.
func (s *Service) RemoveTagsFromCertificate(ctx context.Context, in *api.RemoveTagsFromCertificateInput) (*api.RemoveTagsFromCertificateOutput, error) {
	return &api.RemoveTagsFromCertificateOutput{}, s.changeTags(ctx, *in.CertificateArn, func(m *resource.Meta) error {
		for _, t := range in.Tags {
			if t.Value == nil || m.Tags[*t.Key] == *t.Value {
				delete(m.Tags, *t.Key)
			}
		}
		return nil
	})
}

func (s *Service) changeTags(ctx context.Context, arn string, change func(*resource.Meta) error) error {
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		c, err := scopeOf(ctx).find(tx, arn)
		if err != nil {
			return err
		}
		if err := change(&c.Meta); err != nil {
			return err
		}
		store.Certificates.Put(tx, c)
		return nil
	})
	return err
}

// ListTagsForCertificate lists the tags of a certificate, sorted by key.
func (s *Service) ListTagsForCertificate(ctx context.Context, in *api.ListTagsForCertificateInput) (*api.ListTagsForCertificateOutput, error) {
	c, err := scopeOf(ctx).find(s.db.View(), *in.CertificateArn)
	if err != nil {
		return nil, err
	}
	out := &api.ListTagsForCertificateOutput{Tags: []*api.Tag{}}
	for _, key := range slices.Sorted(maps.Keys(c.Tags)) {
		out.Tags = append(out.Tags, &api.Tag{Key: wire.Ptr(key), Value: wire.Ptr(c.Tags[key])})
	}
	return out, nil
}
