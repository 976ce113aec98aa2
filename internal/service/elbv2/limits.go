package elbv2

import (
	"context"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// The limits are AWS's defaults.
const (
	maxBalancers        = 50 // of each type
	maxGroups           = 3000
	maxListeners        = 50   // of a load balancer
	maxRules            = 100  // of a load balancer, without the default ones
	maxGroupsOfBalancer = 100  // of an Application Load Balancer
	maxTargets          = 1000 // of a target group
	maxSecurityGroups   = 5    // of a load balancer
	maxTags             = 50   // of a resource
)

// limits are those that DescribeAccountLimits has names for, sorted by name.
var limits = []struct {
	name string
	max  int
}{
	{"application-load-balancers", maxBalancers},
	{"condition-values-per-alb-rule", maxConditionValues},
	{"condition-wildcards-per-alb-rule", maxWildcards},
	{"listeners-per-application-load-balancer", maxListeners},
	{"listeners-per-network-load-balancer", maxListeners},
	{"network-load-balancers", maxBalancers},
	{"rules-per-application-load-balancer", maxRules},
	{"target-groups", maxGroups},
	{"target-groups-per-action-on-application-load-balancer", maxGroupsOfAction},
	{"target-groups-per-action-on-network-load-balancer", 1},
	{"target-groups-per-application-load-balancer", maxGroupsOfBalancer},
}

// DescribeAccountLimits lists the limits of what is supported.
func (s *Service) DescribeAccountLimits(ctx context.Context, in *api.DescribeAccountLimitsInput) (*api.DescribeAccountLimitsOutput, error) {
	all := make([]*api.Limit, len(limits))
	for i, l := range limits {
		all[i] = &api.Limit{Name: wire.Ptr(l.name), Max: wire.Ptr(strconv.Itoa(l.max))}
	}
	shown, next, err := page(all, func(l *api.Limit) string { return *l.Name }, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	return &api.DescribeAccountLimitsOutput{Limits: shown, NextMarker: next}, nil
}
