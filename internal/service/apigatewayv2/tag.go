package apigatewayv2

import (
	"context"
	"maps"
	"regexp"

	"github.com/isthmus-net/isthmus/internal/resource"
	v1 "github.com/isthmus-net/isthmus/internal/service/apigateway"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// TagResource adds tags to an API, a stage or a VPC link.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	err := s.changeTags(ctx, wire.Val(in.ResourceArn), func(tags map[string]string) error {
		maps.Copy(tags, in.Tags)
		return v1.CheckTags(tags)
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
	m, _, err := tagged(ctx, s.db.View(), wire.Val(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	return &api.GetTagsOutput{Tags: full(m.Tags)}, nil
}

func (s *Service) changeTags(ctx context.Context, arn string, f func(map[string]string) error) error {
	return s.update(ctx, func(tx *store.Tx) error {
		m, put, err := tagged(ctx, tx, arn)
		if err != nil {
			return err
		}
		m.Tags = full(m.Tags)
		if err := f(m.Tags); err != nil {
			return err
		}
		put(tx)
		return nil
	})
}

var taggable = regexp.MustCompile(`^arn:[^:]+:apigateway:([^:]*):[^:]*:/(apis|vpclinks)/([^/]+)(?:/stages/([^/]+))?$`)

// tagged finds what an ARN names: the part of the row that holds the tags, and
// how to write the row back.
func tagged(ctx context.Context, r store.Reader, arn string) (*resource.Meta, func(*store.Tx), error) {
	p := taggable.FindStringSubmatch(arn)
	if p == nil || p[2] == "vpclinks" && p[4] != "" {
		return nil, nil, badRequest("Invalid resource ARN specified %s", arn)
	}
	if p[2] == "vpclinks" {
		l, err := findVPCLink(ctx, r, &p[3])
		if err != nil {
			return nil, nil, err
		}
		return &l.Meta, func(tx *store.Tx) { store.VPCLinksV2.Put(tx, l) }, nil
	}
	a, err := findAPI(ctx, r, &p[3])
	if err != nil {
		return nil, nil, err
	}
	if p[4] == "" {
		return &a.Meta, func(tx *store.Tx) { store.HTTPAPIs.Put(tx, a) }, nil
	}
	st, err := findStage(r, a.ID, &p[4])
	if err != nil {
		return nil, nil, err
	}
	return &st.Meta, func(tx *store.Tx) { store.HTTPStages.Put(tx, st) }, nil
}
