package elbv2

import (
	"context"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// DescribeRules lists the rules of a listener, or those with the given ARNs. A
// listener of a Network Load Balancer has its default action and no other
// rule.
func (s *Service) DescribeRules(ctx context.Context, in *api.DescribeRulesInput) (*api.DescribeRulesOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	listener := wire.Val(in.ListenerArn)
	if (listener != "") == (len(in.RuleArns) > 0) {
		return nil, invalid("You must specify either a listener ARN or rule ARNs")
	}
	var found []*resource.Listener
	if listener != "" {
		l, err := sc.findListener(view, listener)
		if err != nil {
			return nil, err
		}
		found = append(found, l)
	}
	for _, arn := range in.RuleArns {
		l, err := sc.listenerOfRule(view, arn)
		if err != nil {
			return nil, err
		}
		found = append(found, l)
	}
	found = sortUnique(found, (*resource.Listener).Key)
	shown, next, err := page(found, (*resource.Listener).Key, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeRulesOutput{Rules: showAll(shown, showDefaultRule), NextMarker: next}, nil
}

// listenerOfRule finds the listener whose default rule an ARN names.
func (s scope) listenerOfRule(r store.Reader, arn string) (*resource.Listener, error) {
	if !strings.HasPrefix(arn, s.arn(rulePart)) {
		return nil, invalid("'%s' is not a valid listener rule ARN", arn)
	}
	end := strings.LastIndexByte(arn, '/')
	l, ok := store.Listeners.Get(r, strings.Replace(arn[:end], ":"+rulePart, ":"+listenerPart, 1))
	if !ok || defaultRule(l.ARN) != arn {
		return nil, wire.Errorf(400, "RuleNotFound", "One or more rules not found")
	}
	return l, nil
}

func showDefaultRule(l *resource.Listener) *api.Rule {
	return &api.Rule{
		RuleArn:    wire.Ptr(defaultRule(l.ARN)),
		Priority:   wire.Ptr("default"),
		Conditions: []*api.RuleCondition{},
		Actions:    showActions(l),
		IsDefault:  wire.Ptr(true),
	}
}

// DescribeListenerCertificates lists no certificates: only TLS listeners have
// any.
func (s *Service) DescribeListenerCertificates(ctx context.Context, in *api.DescribeListenerCertificatesInput) (*api.DescribeListenerCertificatesOutput, error) {
	if _, err := scopeOf(ctx).findListener(s.db.View(), wire.Val(in.ListenerArn)); err != nil {
		return nil, err
	}
	return &api.DescribeListenerCertificatesOutput{Certificates: []*api.Certificate{}}, nil
}
