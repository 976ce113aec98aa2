package apigateway

import (
	"context"
	"maps"
	"regexp"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// TagResource adds tags to an API, a stage or a VPC link.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	if err := CheckTags(in.Tags); err != nil {
		return nil, err
	}
	err := s.changeTags(ctx, wire.Val(in.ResourceArn), func(tags map[string]string) error {
		maps.Copy(tags, in.Tags)
		return CheckTags(tags)
	})
	return &api.TagResourceOutput{}, err
}

// UntagResource removes tags.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	err := s.changeTags(ctx, wire.Val(in.ResourceArn), func(tags map[string]string) error {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
		return nil
	})
	return &api.UntagResourceOutput{}, err
}

// GetTags shows the tags of a resource.
func (s *Service) GetTags(ctx context.Context, in *api.GetTagsInput) (*api.GetTagsOutput, error) {
	out := &api.GetTagsOutput{Tags: map[string]string{}}
	m, _, err := tagged(ctx, s.db.View(), wire.Val(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	maps.Copy(out.Tags, m.Tags)
	return out, nil
}

func (s *Service) changeTags(ctx context.Context, arn string, change func(map[string]string) error) error {
	return s.update(ctx, func(tx *store.Tx) error {
		m, put, err := tagged(ctx, tx, arn)
		if err != nil {
			return err
		}
		if m.Tags == nil {
			m.Tags = map[string]string{}
		}
		if err := change(m.Tags); err != nil {
			return err
		}
		put(tx)
		return nil
	})
}

var taggable = regexp.MustCompile(`^arn:[^:]+:apigateway:([^:]*):[^:]*:/(restapis|vpclinks)/([^/]+)(?:/stages/([^/]+))?$`)

// tagged finds what an ARN names: the part of the row that holds the tags, and
// how to write the row back.
func tagged(ctx context.Context, r store.Reader, arn string) (*resource.Meta, func(*store.Tx), error) {
	p := taggable.FindStringSubmatch(arn)
	if p == nil || p[2] == "vpclinks" && p[4] != "" {
		return nil, nil, badRequest("Invalid ARN specified in the request")
	}
	switch {
	case p[2] == "vpclinks":
		l, err := findVPCLink(ctx, r, &p[3])
		if err != nil {
			return nil, nil, err
		}
		return &l.Meta, func(tx *store.Tx) { store.VPCLinksV1.Put(tx, l) }, nil
	case p[4] != "":
		st, err := findStage(ctx, r, &p[3], &p[4])
		if err != nil {
			return nil, nil, err
		}
		return &st.Meta, func(tx *store.Tx) { store.RestStages.Put(tx, st) }, nil
	default:
		a, err := findAPI(ctx, r, &p[3])
		if err != nil {
			return nil, nil, err
		}
		return &a.Meta, func(tx *store.Tx) { store.RestAPIs.Put(tx, a) }, nil
	}
}

// CheckTags checks the tags of a resource against API Gateway's limits.
func CheckTags(tags map[string]string) error {
	if len(tags) > 50 {
		return badRequest("The number of tags exceeds the limit of 50")
	}
	for _, k := range sortedKeys(tags) {
		switch {
		case k == "" || len(k) > 128:
			return badRequest("Tag keys must have 1 to 128 characters: %q", k)
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return badRequest("Tag keys must not start with aws:: %q", k)
		case len(tags[k]) > 256:
			return badRequest("Tag values must have at most 256 characters: %q", k)
		}
	}
	return nil
}
