package elbv2

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// readTags checks tags and makes a map of them, nil if there are none.
func readTags(list []*api.Tag) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	tags := make(map[string]string, len(list))
	for _, t := range list {
		key := wire.Val(t.Key)
		if _, twice := tags[key]; twice {
			return nil, wire.Errorf(400, "DuplicateTagKeys", "Tag keys must be unique: '%s' is given twice", key)
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, invalid("aws: prefixed tag key names are not allowed for external use")
		}
		tags[key] = wire.Val(t.Value)
	}
	if err := checkTagCount(tags); err != nil {
		return nil, err
	}
	return tags, nil
}

func checkTagCount(tags map[string]string) error {
	if len(tags) > maxTags {
		return wire.Errorf(400, "TooManyTags", "A resource can have at most %d tags", maxTags)
	}
	return nil
}

// showTags lists tags, sorted by key.
func showTags(tags map[string]string) []*api.Tag {
	list := make([]*api.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, &api.Tag{Key: wire.Ptr(key), Value: wire.Ptr(tags[key])})
	}
	return list
}

// taggable finds what an ARN names. It returns its description and a function
// that stores it.
func (s scope) taggable(r store.Reader, arn string) (*resource.Meta, func(*store.Tx), error) {
	_, tail, _ := strings.Cut(arn, s.arn(""))
	switch kind, _, _ := strings.Cut(tail, "/"); kind {
	case "loadbalancer":
		lb, err := s.findBalancer(r, arn)
		if err != nil {
			return nil, nil, err
		}
		return &lb.Meta, func(tx *store.Tx) { store.LoadBalancers.Put(tx, lb) }, nil
	case "targetgroup":
		g, err := s.findGroup(r, arn)
		if err != nil {
			return nil, nil, err
		}
		return &g.Meta, func(tx *store.Tx) { store.TargetGroups.Put(tx, g) }, nil
	case "listener":
		l, err := s.findListener(r, arn)
		if err != nil {
			return nil, nil, err
		}
		return &l.Meta, func(tx *store.Tx) { store.Listeners.Put(tx, l) }, nil
	case "truststore":
		t, err := s.findTrustStore(r, arn)
		if err != nil {
			return nil, nil, err
		}
		return &t.Meta, func(tx *store.Tx) { store.TrustStores.Put(tx, t) }, nil
	case "listener-rule":
		rule, l, err := s.lookUpRule(r, arn)
		switch {
		case err != nil:
			return nil, nil, err
		case rule == nil: // the default rule is the listener
			return &l.Meta, func(tx *store.Tx) { store.Listeners.Put(tx, l) }, nil
		}
		return &rule.Meta, func(tx *store.Tx) { store.ListenerRules.Put(tx, rule) }, nil
	}
	return nil, nil, invalid("'%s' is not a valid ARN of a load balancer, target group, listener, rule or trust store", arn)
}

// AddTags adds tags to resources, or replaces the values of tags.
func (s *Service) AddTags(ctx context.Context, in *api.AddTagsInput) (*api.AddTagsOutput, error) {
	added, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &api.AddTagsOutput{}, s.changeTags(ctx, in.ResourceArns, func(m *resource.Meta) error {
		m.AddTags(added)
		return checkTagCount(m.Tags)
	})
}

// RemoveTags removes tags, those that exist, from resources.
func (s *Service) RemoveTags(ctx context.Context, in *api.RemoveTagsInput) (*api.RemoveTagsOutput, error) {
	return &api.RemoveTagsOutput{}, s.changeTags(ctx, in.ResourceArns, func(m *resource.Meta) error {
		for _, key := range in.TagKeys {
			delete(m.Tags, key)
		}
		return nil
	})
}

func (s *Service) changeTags(ctx context.Context, arns []string, change func(*resource.Meta) error) error {
	sc := scopeOf(ctx)
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		for _, arn := range arns {
			meta, put, err := sc.taggable(tx, arn)
			if err != nil {
				return err
			}
			if err := change(meta); err != nil {
				return err
			}
			put(tx)
		}
		return nil
	})
	return err
}

// DescribeTags lists the tags of resources.
func (s *Service) DescribeTags(ctx context.Context, in *api.DescribeTagsInput) (*api.DescribeTagsOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	out := &api.DescribeTagsOutput{TagDescriptions: []*api.TagDescription{}}
	for _, arn := range in.ResourceArns {
		meta, _, err := sc.taggable(view, arn)
		if err != nil {
			return nil, err
		}
		out.TagDescriptions = append(out.TagDescriptions, &api.TagDescription{ResourceArn: wire.Ptr(arn), Tags: showTags(meta.Tags)})
	}
	return out, nil
}
