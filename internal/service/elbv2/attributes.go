package elbv2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// DescribeLoadBalancerAttributes lists the attributes of a load balancer.
func (s *Service) DescribeLoadBalancerAttributes(ctx context.Context, in *api.DescribeLoadBalancerAttributesInput) (*api.DescribeLoadBalancerAttributesOutput, error) {
	lb, err := scopeOf(ctx).findBalancer(s.db.View(), wire.Val(in.LoadBalancerArn))
	if err != nil {
		return nil, err
	}
	return &api.DescribeLoadBalancerAttributesOutput{Attributes: showBalancerAttributes(lb)}, nil
}

// ModifyLoadBalancerAttributes sets attributes of a load balancer.
func (s *Service) ModifyLoadBalancerAttributes(ctx context.Context, in *api.ModifyLoadBalancerAttributesInput) (*api.ModifyLoadBalancerAttributesOutput, error) {
	var changes []pair
	for _, a := range in.Attributes {
		changes = append(changes, pair{wire.Val(a.Key), wire.Val(a.Value)})
	}
	var lb *resource.LoadBalancer
	_, err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if lb, err = scopeOf(ctx).findBalancer(tx, wire.Val(in.LoadBalancerArn)); err != nil {
			return err
		}
		if err := setAttributes("Load balancer", balancerAttributes(lb.Type), &lb.Attributes, changes); err != nil {
			return err
		}
		store.LoadBalancers.Put(tx, lb)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyLoadBalancerAttributesOutput{Attributes: showBalancerAttributes(lb)}, nil
}

func showBalancerAttributes(lb *resource.LoadBalancer) (out []*api.LoadBalancerAttribute) {
	for _, p := range allAttributes(balancerAttributes(lb.Type), lb.Attributes) {
		out = append(out, &api.LoadBalancerAttribute{Key: wire.Ptr(p.key), Value: wire.Ptr(p.value)})
	}
	return out
}

// DescribeTargetGroupAttributes lists the attributes of a target group.
func (s *Service) DescribeTargetGroupAttributes(ctx context.Context, in *api.DescribeTargetGroupAttributesInput) (*api.DescribeTargetGroupAttributesOutput, error) {
	g, err := scopeOf(ctx).findGroup(s.db.View(), wire.Val(in.TargetGroupArn))
	if err != nil {
		return nil, err
	}
	return &api.DescribeTargetGroupAttributesOutput{Attributes: showGroupAttributes(g)}, nil
}

// ModifyTargetGroupAttributes sets attributes of a target group.
func (s *Service) ModifyTargetGroupAttributes(ctx context.Context, in *api.ModifyTargetGroupAttributesInput) (*api.ModifyTargetGroupAttributesOutput, error) {
	var changes []pair
	for _, a := range in.Attributes {
		changes = append(changes, pair{wire.Val(a.Key), wire.Val(a.Value)})
	}
	var g *resource.TargetGroup
	_, err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if g, err = scopeOf(ctx).findGroup(tx, wire.Val(in.TargetGroupArn)); err != nil {
			return err
		}
		if err := setAttributes("Target group", groupAttributes(g), &g.Attributes, changes); err != nil {
			return err
		}
		if err := checkTogether(g); err != nil {
			return err
		}
		store.TargetGroups.Put(tx, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyTargetGroupAttributesOutput{Attributes: showGroupAttributes(g)}, nil
}

func showGroupAttributes(g *resource.TargetGroup) (out []*api.TargetGroupAttribute) {
	for _, p := range allAttributes(groupAttributes(g), g.Attributes) {
		out = append(out, &api.TargetGroupAttribute{Key: wire.Ptr(p.key), Value: wire.Ptr(p.value)})
	}
	return out
}

// DescribeListenerAttributes lists the attributes of a listener.
func (s *Service) DescribeListenerAttributes(ctx context.Context, in *api.DescribeListenerAttributesInput) (*api.DescribeListenerAttributesOutput, error) {
	l, err := scopeOf(ctx).findListener(s.db.View(), wire.Val(in.ListenerArn))
	if err != nil {
		return nil, err
	}
	return &api.DescribeListenerAttributesOutput{Attributes: showListenerAttributes(l)}, nil
}

// ModifyListenerAttributes sets attributes of a listener.
func (s *Service) ModifyListenerAttributes(ctx context.Context, in *api.ModifyListenerAttributesInput) (*api.ModifyListenerAttributesOutput, error) {
	var changes []pair
	for _, a := range in.Attributes {
		changes = append(changes, pair{wire.Val(a.Key), wire.Val(a.Value)})
	}
	var l *resource.Listener
	_, err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		if l, err = scopeOf(ctx).findListener(tx, wire.Val(in.ListenerArn)); err != nil {
			return err
		}
		if err := setAttributes("Listener", listenerAttributes(l), &l.Attributes, changes); err != nil {
			return err
		}
		if l.TLS != nil {
			if err := checkFieldNames(l); err != nil {
				return err
			}
		}
		store.Listeners.Put(tx, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.ModifyListenerAttributesOutput{Attributes: showListenerAttributes(l)}, nil
}

func showListenerAttributes(l *resource.Listener) []*api.ListenerAttribute {
	out := []*api.ListenerAttribute{}
	for _, p := range allAttributes(listenerAttributes(l), l.Attributes) {
		out = append(out, &api.ListenerAttribute{Key: wire.Ptr(p.key), Value: wire.Ptr(p.value)})
	}
	return out
}
