package servicediscovery

import (
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// A filter is one condition of a list: all conditions must hold.
type filter struct {
	name, condition string
	values          []string
}

// filters reads conditions; the result says whether a row meets all of them.
func filters[F, T any](list []F, read func(F) (func(*T) bool, error)) (func(*T) bool, error) {
	var all []func(*T) bool
	for _, f := range list {
		one, err := read(f)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return func(row *T) bool {
		return !slices.ContainsFunc(all, func(one func(*T) bool) bool { return !one(row) })
	}, nil
}

// newFilter checks that the condition is one that the filter knows, and has
// the right number of values.
func newFilter(name, condition *string, values []string, allowed ...string) (filter, error) {
	f := filter{wire.Val(name), wire.Val(condition), values}
	if f.condition == "" {
		f.condition = api.FilterConditionEq
	}
	if !slices.Contains(allowed, f.condition) {
		return f, invalid("The condition %s is not supported for the filter %s.", f.condition, f.name)
	}
	want := 1
	switch f.condition {
	case api.FilterConditionIn:
		want = max(1, len(values))
	case api.FilterConditionBetween:
		want = 2
	}
	if len(values) != want {
		return f, invalid("The filter %s with the condition %s must have %d value(s).", f.name, f.condition, want)
	}
	return f, nil
}

func (f filter) holds(value string) bool {
	if f.condition == api.FilterConditionBeginsWith {
		return strings.HasPrefix(value, f.values[0])
	}
	return slices.Contains(f.values, value)
}

func readNamespaceFilter(in *api.NamespaceFilter) (func(*resource.CloudMapNamespace) bool, error) {
	f, err := newFilter(in.Name, in.Condition, in.Values, api.FilterConditionEq, api.FilterConditionBeginsWith)
	return func(n *resource.CloudMapNamespace) bool {
		if f.name == api.NamespaceFilterNameType {
			return f.holds(n.Type)
		}
		return f.holds(n.Name)
	}, err
}

func readServiceFilter(in *api.ServiceFilter) (func(*resource.CloudMapService) bool, error) {
	f, err := newFilter(in.Name, in.Condition, in.Values, api.FilterConditionEq)
	return func(s *resource.CloudMapService) bool { return f.holds(s.Namespace) }, err
}

func readOperationFilter(in *api.OperationFilter) (func(*resource.CloudMapOperation) bool, error) {
	switch name := wire.Val(in.Name); name {
	case api.OperationFilterNameUpdateDate:
		return readDates(in)
	case api.OperationFilterNameNamespaceId, api.OperationFilterNameServiceId:
		f, err := newFilter(in.Name, in.Condition, in.Values, api.FilterConditionEq)
		target := strings.TrimSuffix(name, "_ID")
		return func(o *resource.CloudMapOperation) bool { return f.holds(o.Targets[target]) }, err
	default:
		f, err := newFilter(in.Name, in.Condition, in.Values, api.FilterConditionEq, api.FilterConditionIn)
		return func(o *resource.CloudMapOperation) bool {
			if name == api.OperationFilterNameStatus {
				return f.holds(o.Status)
			}
			return f.holds(o.Type)
		}, err
	}
}

// readDates reads two Unix times in seconds.
func readDates(in *api.OperationFilter) (func(*resource.CloudMapOperation) bool, error) {
	f, err := newFilter(in.Name, in.Condition, in.Values, api.FilterConditionBetween)
	if err != nil {
		return nil, err
	}
	var bounds [2]float64
	for i, v := range f.values {
		if bounds[i], err = strconv.ParseFloat(v, 64); err != nil {
			return nil, invalid("The date '%s' is not a Unix time in seconds.", v)
		}
	}
	return func(o *resource.CloudMapOperation) bool {
		at := float64(o.Updated.UnixMilli()) / 1000
		return bounds[0] <= at && at <= bounds[1]
	}, nil
}
