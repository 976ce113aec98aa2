package servicediscovery

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

const maxTags = 50

// readTags checks tags and makes a map of them, nil if there are none.
func readTags(list []*api.Tag) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	tags := make(map[string]string, len(list))
	for _, t := range list {
		key := wire.Val(t.Key)
		if _, twice := tags[key]; twice {
			return nil, invalid("The tag key '%s' is given twice.", key)
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, invalid("Tag keys must not begin with aws:, as '%s' does.", key)
		}
		tags[key] = wire.Val(t.Value)
	}
	return tags, checkTagCount(tags, "")
}

func checkTagCount(tags map[string]string, arn string) error {
	if len(tags) <= maxTags {
		return nil
	}
	e := wire.Errorf(400, "TooManyTagsException", "A resource can have at most %d tags.", maxTags)
	if arn != "" {
		e.Fields = map[string]any{"ResourceName": arn}
	}
	return e
}

// taggable finds what an ARN names. It returns its description and a function
// that stores it.
func (sc scope) taggable(r store.Reader, arn string) (*resource.Meta, func(*store.Tx), error) {
	kind, id, _ := strings.Cut(arn[strings.LastIndexByte(arn, ':')+1:], "/")
	switch kind {
	case "namespace":
		if n, err := sc.findNamespace(r, id); err == nil && n.ARN() == arn {
			return &n.Meta, func(tx *store.Tx) { store.CloudMapNamespaces.Put(tx, n) }, nil
		}
	case "service":
		if v, err := sc.findService(r, id); err == nil && v.ARN() == arn {
			return &v.Meta, func(tx *store.Tx) { store.CloudMapServices.Put(tx, v) }, nil
		}
	}
	return nil, nil, wire.Errorf(400, "ResourceNotFoundException", "The resource %s can't be found.", arn)
}

// TagResource adds tags to a namespace or a service, or replaces their values.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	added, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &api.TagResourceOutput{}, s.changeTags(ctx, *in.ResourceARN, func(m *resource.Meta) error {
		m.AddTags(added)
		return checkTagCount(m.Tags, *in.ResourceARN)
	})
}

// UntagResource removes tags, those that exist.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	return &api.UntagResourceOutput{}, s.changeTags(ctx, *in.ResourceARN, func(m *resource.Meta) error {
		for _, key := range in.TagKeys {
			delete(m.Tags, key)
		}
		return nil
	})
}

func (s *Service) changeTags(ctx context.Context, arn string, change func(*resource.Meta) error) error {
	sc := scopeOf(ctx)
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		meta, put, err := sc.taggable(tx, arn)
		if err != nil {
			return err
		}
		if err := change(meta); err != nil {
			return err
		}
		put(tx)
		return nil
	})
	return err
}

// ListTagsForResource lists the tags of a namespace or a service.
func (s *Service) ListTagsForResource(ctx context.Context, in *api.ListTagsForResourceInput) (*api.ListTagsForResourceOutput, error) {
	meta, _, err := scopeOf(ctx).taggable(s.db.View(), *in.ResourceARN)
	if err != nil {
		return nil, err
	}
	out := &api.ListTagsForResourceOutput{Tags: []*api.Tag{}}
	for _, key := range slices.Sorted(maps.Keys(meta.Tags)) {
		out.Tags = append(out.Tags, &api.Tag{Key: wire.Ptr(key), Value: wire.Ptr(meta.Tags[key])})
	}
	return out, nil
}
