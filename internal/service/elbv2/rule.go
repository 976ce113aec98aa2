package elbv2

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// rules are the rules of a listener, without the default one, read-only and in
// the order of their priorities.
func rules(r store.Reader, listener string) []*resource.ListenerRule {
	list := slices.Collect(store.ListenerRules.ScanPrefix(r, rulesOf(listener)))
	slices.SortFunc(list, func(a, b *resource.ListenerRule) int { return a.Priority - b.Priority })
	return list
}

// CreateRule makes a rule of an Application Load Balancer's listener.
func (s *Service) CreateRule(ctx context.Context, in *api.CreateRuleInput) (*api.CreateRuleOutput, error) {
	sc := scopeOf(ctx)
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	rule := &resource.ListenerRule{
		Meta:     resource.Meta{Account: sc.account, Region: sc.region, Created: now(), Tags: tags},
		Listener: wire.Val(in.ListenerArn), Priority: int(wire.Val(in.Priority)),
	}
	if rule.Conditions, err = readConditions(in.Conditions); err != nil {
		return nil, err
	}
	if rule.HostRewrite, rule.URLRewrite, err = readTransforms(in.Transforms); err != nil {
		return nil, err
	}
	if rule.Actions, err = readActions(in.Actions, nil); err != nil {
		return nil, err
	}
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		l, err := sc.findListener(tx, rule.Listener)
		if err != nil {
			return err
		}
		if !isApplication(l.LoadBalancer) {
			return unsupported("Rules are supported for listeners of Application Load Balancers only")
		}
		if slices.ContainsFunc(rules(tx, l.ARN), func(o *resource.ListenerRule) bool { return o.Priority == rule.Priority }) {
			return priorityInUse(rule.Priority)
		}
		if count(store.ListenerRules.ScanPrefix(tx, rulesOf(listenersOf(l.LoadBalancer)))) >= maxRules {
			return wire.Errorf(400, "TooManyRules", "The maximum number of rules, %d, has been reached on load balancer '%s'", maxRules, l.LoadBalancer)
		}
		rule.ARN = rulesOf(l.ARN) + newID()
		return sc.putRule(tx, l, rule)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateRuleOutput{Rules: []*api.Rule{showRule(rule)}}, nil
}

func priorityInUse(priority int) error {
	return wire.Errorf(400, "PriorityInUse", "Priority '%d' is currently in use", priority)
}

// putRule checks the actions of a rule and stores it.
func (s scope) putRule(tx *store.Tx, l *resource.Listener, rule *resource.ListenerRule) error {
	lb, err := s.findBalancer(tx, l.LoadBalancer)
	if err != nil {
		return err
	}
	if err := s.checkActions(tx, lb, l.Protocol, rule.Actions); err != nil {
		return err
	}
	store.ListenerRules.Put(tx, rule)
	giveIdentityKey(tx, lb, rule.Actions)
	return checkGroupCount(tx, lb)
}

// checkGroupCount says whether a load balancer uses too many target groups.
func checkGroupCount(r store.Reader, lb *resource.LoadBalancer) error {
	if len(groupsOf(r, lb.ARN)) > maxGroupsOfBalancer {
		return wire.Errorf(400, "TooManyUniqueTargetGroupsPerLoadBalancer", "A load balancer can use at most %d target groups", maxGroupsOfBalancer)
	}
	return nil
}

// ModifyRule replaces the conditions, the actions or the transforms of a rule.
func (s *Service) ModifyRule(ctx context.Context, in *api.ModifyRuleInput) (*api.ModifyRuleOutput, error) {
	sc := scopeOf(ctx)
	switch {
	case len(in.Transforms) > 0 && wire.Val(in.ResetTransforms):
		return nil, invalid("Transforms cannot be specified and reset at the same time")
	case len(in.Conditions) == 0 && len(in.Actions) == 0 && len(in.Transforms) == 0 && !wire.Val(in.ResetTransforms):
		return nil, invalid("Either conditions or actions must be specified")
	}
	var rule *resource.ListenerRule
	_, err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		var l *resource.Listener
		if rule, l, err = sc.findRule(tx, wire.Val(in.RuleArn), "modified"); err != nil {
			return err
		}
		if len(in.Conditions) > 0 {
			if rule.Conditions, err = readConditions(in.Conditions); err != nil {
				return err
			}
		}
		if len(in.Actions) > 0 {
			if rule.Actions, err = readActions(in.Actions, rule.Actions); err != nil {
				return err
			}
		}
		if len(in.Transforms) > 0 || wire.Val(in.ResetTransforms) {
			if rule.HostRewrite, rule.URLRewrite, err = readTransforms(in.Transforms); err != nil {
				return err
			}
		}
		return sc.putRule(tx, l, rule)
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyRuleOutput{Rules: []*api.Rule{showRule(rule)}}, nil
}

// DeleteRule removes a rule.
func (s *Service) DeleteRule(ctx context.Context, in *api.DeleteRuleInput) (*api.DeleteRuleOutput, error) {
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		rule, _, err := scopeOf(ctx).findRule(tx, wire.Val(in.RuleArn), "deleted")
		if err != nil {
			return err
		}
		store.ListenerRules.Delete(tx, rule.ARN)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteRuleOutput{}, nil
}

// SetRulePriorities gives rules of one listener other priorities, which may be
// those that the same request takes from other rules.
func (s *Service) SetRulePriorities(ctx context.Context, in *api.SetRulePrioritiesInput) (*api.SetRulePrioritiesOutput, error) {
	sc := scopeOf(ctx)
	if len(in.RulePriorities) == 0 {
		return nil, invalid("A rule priority must be specified")
	}
	var changed []*resource.ListenerRule
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		changed = nil
		for _, p := range in.RulePriorities {
			rule, _, err := sc.findRule(tx, wire.Val(p.RuleArn), "modified")
			if err != nil {
				return err
			}
			rule.Priority = int(wire.Val(p.Priority))
			for _, other := range changed {
				switch {
				case other.Listener != rule.Listener:
					return invalid("All rules must belong to the same listener")
				case other.ARN == rule.ARN:
					return invalid("Rule '%s' was provided multiple times", rule.ARN)
				case other.Priority == rule.Priority:
					return invalid("Priority '%d' was provided multiple times", rule.Priority)
				}
			}
			changed = append(changed, rule)
		}
		for _, rule := range changed {
			store.ListenerRules.Put(tx, rule)
		}
		all := rules(tx, changed[0].Listener)
		for i := 1; i < len(all); i++ {
			if all[i].Priority == all[i-1].Priority {
				return priorityInUse(all[i].Priority)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.SetRulePrioritiesOutput{Rules: showAll(changed, showRule)}, nil
}

// DescribeRules lists the rules of a listener, or those with the given ARNs,
// the default one last.
func (s *Service) DescribeRules(ctx context.Context, in *api.DescribeRulesInput) (*api.DescribeRulesOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	listener := wire.Val(in.ListenerArn)
	if (listener != "") == (len(in.RuleArns) > 0) {
		return nil, invalid("You must specify either a listener ARN or rule ARNs")
	}
	var found []*api.Rule
	if listener != "" {
		l, err := sc.findListener(view, listener)
		if err != nil {
			return nil, err
		}
		found = append(showAll(rules(view, l.ARN), showRule), showDefaultRule(l))
	}
	for _, arn := range in.RuleArns {
		rule, l, err := sc.lookUpRule(view, arn)
		if err != nil {
			return nil, err
		}
		if rule == nil {
			found = append(found, showDefaultRule(l))
		} else {
			found = append(found, showRule(rule))
		}
	}
	found = sortUnique(found, ruleOrder)
	shown, next, err := page(found, ruleOrder, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeRulesOutput{Rules: shown, NextMarker: next}, nil
}

// ruleOrder sorts rules by their listeners, then by priority, the default one
// last.
func ruleOrder(r *api.Rule) string {
	arn, priority := *r.RuleArn, *r.Priority
	return arn[:strings.LastIndexByte(arn, '/')] + "|" + strings.Repeat("0", max(0, 7-len(priority))) + priority + "|" + arn
}

// lookUpRule finds the rule that an ARN names, and its listener; no rule if it
// names the listener's default one.
func (s scope) lookUpRule(r store.Reader, arn string) (*resource.ListenerRule, *resource.Listener, error) {
	if !s.wellFormed(arn, "listener-rule", ruleTail) {
		return nil, nil, invalid("'%s' is not a valid listener rule ARN", arn)
	}
	l, ok := store.Listeners.Get(r, listenerOfRule(arn))
	if !ok {
		return nil, nil, errNoRule
	}
	if defaultRule(l.ARN) == arn {
		return nil, l, nil
	}
	rule, ok := store.ListenerRules.Get(r, arn)
	if !ok {
		return nil, nil, errNoRule
	}
	return rule, l, nil
}

// findRule finds a rule that may be changed, in a way that done names.
func (s scope) findRule(r store.Reader, arn, done string) (*resource.ListenerRule, *resource.Listener, error) {
	rule, l, err := s.lookUpRule(r, arn)
	if err == nil && rule == nil {
		err = wire.Errorf(400, "OperationNotPermitted", "Default rule '%s' cannot be %s", arn, done)
	}
	return rule, l, err
}

func showRule(r *resource.ListenerRule) *api.Rule {
	return &api.Rule{
		RuleArn:    wire.Ptr(r.ARN),
		Priority:   wire.Ptr(strconv.Itoa(r.Priority)),
		Conditions: showConditions(r.Conditions),
		Actions:    showActions(r.Listener, r.Actions),
		Transforms: showTransforms(r),
		IsDefault:  wire.Ptr(false),
	}
}

func showDefaultRule(l *resource.Listener) *api.Rule {
	return &api.Rule{
		RuleArn:    wire.Ptr(defaultRule(l.ARN)),
		Priority:   wire.Ptr("default"),
		Conditions: []*api.RuleCondition{},
		Actions:    showActions(l.ARN, l.DefaultActions),
		IsDefault:  wire.Ptr(true),
	}
}
