package directconnect

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/directconnect"
)

const maxTags = 50

// readTags checks tags and makes a map of them, nil if there are none.
func readTags(list []*api.Tag) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	tags := make(map[string]string, len(list))
	for _, t := range list {
		key, value := wire.Val(t.Key), wire.Val(t.Value)
		if _, twice := tags[key]; twice {
			return nil, wire.Errorf(400, "DuplicateTagKeysException", "A tag key was specified more than once.")
		}
		if key == "" || len(key) > 128 || len(value) > 256 || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, invalid("Tag %s is not valid: keys have 1 to 128 characters and do not begin with aws:, values have at most 256.", key)
		}
		tags[key] = value
	}
	return tags, checkTagCount(tags)
}

func checkTagCount(tags map[string]string) error {
	if len(tags) > maxTags {
		return wire.Errorf(400, "TooManyTagsException", "You have reached the limit on the number of tags that can be assigned: %d.", maxTags)
	}
	return nil
}

// showTags are tags as on the wire, sorted by key.
func showTags(tags map[string]string) []*api.Tag {
	list := []*api.Tag{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, &api.Tag{Key: wire.Ptr(k), Value: wire.Ptr(tags[k])})
	}
	return list
}

// taggable finds what an ARN names. It returns its description and a function
// that stores it.
func (sc scope) taggable(r store.Reader, arn string) (*resource.Meta, func(*store.Tx), error) {
	kind, id, _ := strings.Cut(arn[strings.LastIndexByte(arn, ':')+1:], "/")
	switch kind {
	case "dxcon":
		if c, err := sc.findConnection(r, id); err == nil && c.ARN() == arn {
			return &c.Meta, func(tx *store.Tx) { store.DXConnections.Put(tx, c) }, nil
		}
	case "dxvif":
		if v, err := sc.findInterface(r, id); err == nil && v.ARN() == arn {
			return &v.Meta, func(tx *store.Tx) { store.VirtualInterfaces.Put(tx, v) }, nil
		}
	}
	return nil, nil, invalid("Could not find resource with ARN %s", arn)
}

// TagResource adds tags, or replaces their values.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	added, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &api.TagResourceOutput{}, s.changeTags(ctx, *in.ResourceArn, func(m *resource.Meta) error {
		m.AddTags(added)
		return checkTagCount(m.Tags)
	})
}

// UntagResource removes tags, those that exist.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	return &api.UntagResourceOutput{}, s.changeTags(ctx, *in.ResourceArn, func(m *resource.Meta) error {
		for _, key := range in.TagKeys {
			delete(m.Tags, key)
		}
		return nil
	})
}

func (s *Service) changeTags(ctx context.Context, arn string, change func(*resource.Meta) error) error {
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		meta, put, err := scopeOf(ctx).taggable(tx, arn)
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

// DescribeTags lists the tags of resources.
func (s *Service) DescribeTags(ctx context.Context, in *api.DescribeTagsInput) (*api.DescribeTagsOutput, error) {
	out := &api.DescribeTagsOutput{ResourceTags: []*api.ResourceTag{}}
	for _, arn := range in.ResourceArns {
		meta, _, err := scopeOf(ctx).taggable(s.db.View(), arn)
		if err != nil {
			return nil, err
		}
		out.ResourceTags = append(out.ResourceTags, &api.ResourceTag{ResourceArn: wire.Ptr(arn), Tags: showTags(meta.Tags)})
	}
	return out, nil
}
