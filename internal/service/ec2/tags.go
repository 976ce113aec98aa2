package ec2

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

const maxTags = 50

// tagsFor returns the tags that a request gives to what it creates, which is of
// type typ.
func tagsFor(typ string, specs []*ec2.TagSpecification) (map[string]string, error) {
	var given []*ec2.Tag
	for _, s := range specs {
		if t := wire.Val(s.ResourceType); t != typ {
			return nil, invalidValue("'%s' is not a valid taggable resource type for this operation.", t)
		}
		if len(s.Tags) == 0 {
			return nil, invalidValue("Tag specification must have at least one tag")
		}
		given = append(given, s.Tags...)
	}
	return addTags(nil, given)
}

// addTags returns old with the given tags added.
func addTags(old map[string]string, given []*ec2.Tag) (map[string]string, error) {
	if len(given) == 0 {
		return old, nil
	}
	tags := maps.Clone(old)
	if tags == nil {
		tags = make(map[string]string, len(given))
	}
	seen := make(map[string]bool, len(given))
	for _, t := range given {
		key, value := wire.Val(t.Key), wire.Val(t.Value)
		switch {
		case key == "":
			return nil, invalidValue("Tag key cannot be null or empty.")
		case len(key) > 128:
			return nil, invalidValue("Tag key exceeds the maximum length of 128 characters")
		case len(value) > 256:
			return nil, invalidValue("Tag value exceeds the maximum length of 256 characters")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return nil, invalidValue("Tag keys starting with 'aws:' are reserved for internal use")
		case seen[key]:
			return nil, invalidValue("Duplicate tag key '%s' specified.", key)
		}
		seen[key] = true
		tags[key] = value
	}
	if len(tags) > maxTags {
		return nil, wire.Errorf(400, "TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	return tags, nil
}

// tagList is tags as on the wire, sorted by key.
func tagList(tags map[string]string) []*ec2.Tag {
	list := make([]*ec2.Tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, &ec2.Tag{Key: wire.Ptr(k), Value: wire.Ptr(tags[k])})
	}
	return list
}

// taggable is a kind of resource whose tags can be changed.
type taggable struct {
	kind
	// edit changes the caller's resource with this id.
	edit func(tx *store.Tx, c caller, id string, change func(*resource.Meta) error) error
	// scan calls f with all of the caller's resources.
	scan func(r store.Reader, c caller, f func(id string, m *resource.Meta))
}

func taggableOf[T any, P row[T]](k kind, t store.Table[T]) taggable {
	return taggable{
		kind: k,
		edit: func(tx *store.Tx, c caller, id string, change func(*resource.Meta) error) error {
			v, err := find[T, P](tx, c, t, k, id)
			if err != nil {
				return err
			}
			if err := change(P(v).Metadata()); err != nil {
				return err
			}
			t.Put(tx, v)
			return nil
		},
		scan: func(r store.Reader, c caller, f func(string, *resource.Meta)) {
			for v := range t.Scan(r) {
				if m := P(v).Metadata(); c.owns(m) {
					f(P(v).Key(), m)
				}
			}
		},
	}
}

// taggables are all kinds. A prefix that begins with another comes before it.
var taggables = []taggable{
	taggableOf(kindVPC, store.VPCs),
	taggableOf(kindSubnet, store.Subnets),
	taggableOf(kindGroup, store.SecurityGroups),
	taggableOf(kindRule, store.SecurityGroupRules),
	taggableOf(kindInterface, store.NetworkInterfaces),
	taggableOf(kindRouteTable, store.RouteTables),
	taggableOf(kindInternetGateway, store.InternetGateways),
	taggableOf(kindVPNGateway, store.VPNGateways),
	taggableOf(kindInstance, store.Instances),
	taggableOf(kindService, store.EndpointServices),
	taggableOf(kindEndpoint, store.VPCEndpoints),
}

// retag changes the tags of the resources with these ids.
func (s *Service) retag(ctx context.Context, dryRun *bool, ids []string, change func(*resource.Meta) error) error {
	return s.update(ctx, dryRun, func(tx *store.Tx, c caller) error {
		for _, id := range sortedUnique(ids) {
			i := slices.IndexFunc(taggables, func(t taggable) bool { return strings.HasPrefix(id, t.prefix) })
			if i < 0 {
				return wire.Errorf(400, "InvalidID", "The ID '%s' is not valid", id)
			}
			if err := taggables[i].edit(tx, c, id, change); err != nil {
				return err
			}
		}
		return nil
	})
}

// CreateTags adds tags to resources of any kind, or none at all.
func (s *Service) CreateTags(ctx context.Context, in *ec2.CreateTagsInput) (*ec2.CreateTagsOutput, error) {
	return nil, s.retag(ctx, in.DryRun, in.Resources, func(m *resource.Meta) (err error) {
		m.Tags, err = addTags(m.Tags, in.Tags)
		return err
	})
}

// DeleteTags removes tags: those with the given value, or with any if the
// value is absent; all if no tags are given.
func (s *Service) DeleteTags(ctx context.Context, in *ec2.DeleteTagsInput) (*ec2.DeleteTagsOutput, error) {
	return nil, s.retag(ctx, in.DryRun, in.Resources, func(m *resource.Meta) error {
		if len(in.Tags) == 0 {
			m.Tags = nil
		}
		for _, t := range in.Tags {
			key := wire.Val(t.Key)
			if t.Value == nil || m.Tags[key] == *t.Value {
				delete(m.Tags, key)
			}
		}
		return nil
	})
}

var tagListing = listing[*ec2.TagDescription]{
	// Pages are cut between tags, so a tag's place takes its key too.
	id: func(t *ec2.TagDescription) *string { return wire.Ptr(*t.ResourceId + " " + *t.Key) },
	fields: fields[*ec2.TagDescription]{
		"key":           func(t *ec2.TagDescription) []string { return text(t.Key) },
		"value":         func(t *ec2.TagDescription) []string { return text(t.Value) },
		"resource-id":   func(t *ec2.TagDescription) []string { return text(t.ResourceId) },
		"resource-type": func(t *ec2.TagDescription) []string { return text(t.ResourceType) },
	},
}

// DescribeTags lists tags of resources of all kinds.
func (s *Service) DescribeTags(ctx context.Context, in *ec2.DescribeTagsInput) (*ec2.DescribeTagsOutput, error) {
	c, r := callerOf(ctx), s.db.View()
	var items []*ec2.TagDescription
	for _, k := range taggables {
		k.scan(r, c, func(id string, m *resource.Meta) {
			for _, t := range tagList(m.Tags) {
				items = append(items, &ec2.TagDescription{
					Key: t.Key, Value: t.Value, ResourceId: wire.Ptr(id), ResourceType: wire.Ptr(k.typ),
				})
			}
		})
	}
	slices.SortFunc(items, func(a, b *ec2.TagDescription) int {
		return cmp.Compare(*tagListing.id(a), *tagListing.id(b))
	})
	page, next, err := tagListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeTagsOutput{Tags: page, NextToken: next}, err
}
