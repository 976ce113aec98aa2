package elbv2

import (
	"github.com/isthmus-net/isthmus/internal/alb/rule"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// maxRewrite bounds an expression of a transform, and its replacement.
const maxRewrite = 1024

// readTransforms reads the transforms of a rule: at most one of each type.
func readTransforms(list []*api.RuleTransform) (host, url *resource.Rewrite, err error) {
	for _, in := range list {
		config, to := (*api.UrlRewriteConfig)(in.HostHeaderRewriteConfig), &host
		other := in.UrlRewriteConfig
		if wire.Val(in.Type) == api.TransformTypeEnumUrlRewrite {
			config, other, to = other, config, &url
		}
		switch {
		case *to != nil:
			return nil, nil, invalid("A rule can have only one transform of the type '%s'", *in.Type)
		case other != nil:
			return nil, nil, invalid("A transform of the type '%s' can only have the configuration of this type", *in.Type)
		case config == nil || len(config.Rewrites) != 1:
			return nil, nil, invalid("A transform of the type '%s' must have exactly one rewrite", *in.Type)
		}
		r := resource.Rewrite{Regex: wire.Val(config.Rewrites[0].Regex), Replace: wire.Val(config.Rewrites[0].Replace)}
		if r.Regex == "" || len(r.Regex) > maxRewrite || len(r.Replace) > maxRewrite {
			return nil, nil, invalid("The regular expression and the replacement of a transform can have at most %d characters", maxRewrite)
		}
		if err := rule.CheckRewrite(r.Regex, r.Replace); err != nil {
			return nil, nil, invalid("The rewrite of '%s' to '%s' is not valid: %v", r.Regex, r.Replace, err)
		}
		*to = &r
	}
	return host, url, nil
}

func showTransforms(r *resource.ListenerRule) []*api.RuleTransform {
	out := []*api.RuleTransform{}
	rewrites := func(r *resource.Rewrite) []*api.RewriteConfig {
		return []*api.RewriteConfig{{Regex: &r.Regex, Replace: &r.Replace}}
	}
	if r.HostRewrite != nil {
		out = append(out, &api.RuleTransform{
			Type: wire.Ptr(api.TransformTypeEnumHostHeaderRewrite), HostHeaderRewriteConfig: &api.HostHeaderRewriteConfig{Rewrites: rewrites(r.HostRewrite)},
		})
	}
	if r.URLRewrite != nil {
		out = append(out, &api.RuleTransform{
			Type: wire.Ptr(api.TransformTypeEnumUrlRewrite), UrlRewriteConfig: &api.UrlRewriteConfig{Rewrites: rewrites(r.URLRewrite)},
		})
	}
	return out
}
