package elbv2

import (
	"context"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// The limits are AWS's defaults.
const (
	maxBalancers      = 50
	maxGroups         = 3000
	maxListeners      = 50   // of a load balancer
	maxTargets        = 1000 // of a target group
	maxSecurityGroups = 5    // of a load balancer
	maxTags           = 50   // of a resource
)

// limits are those that DescribeAccountLimits has names for, sorted by name.
var limits = []struct {
	name string
	max  int
}{
	{"listeners-per-network-load-balancer", maxListeners},
	{"network-load-balancers", maxBalancers},
	{"target-groups", maxGroups},
	{"target-groups-per-action-on-network-load-balancer", 1},
}

// DescribeAccountLimits lists the limits that concern Network Load Balancers.
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
