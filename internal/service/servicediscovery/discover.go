package servicediscovery

import (
	"context"
	"math/rand/v2"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// defaultDiscovered is how many instances are returned if the request does not
// say.
const defaultDiscovered = 100

// DiscoverInstances finds instances by the names of namespace and service, in
// a random order. A service that is not there has none, as on AWS.
func (s *Service) DiscoverInstances(ctx context.Context, in *api.DiscoverInstancesInput) (*api.DiscoverInstancesOutput, error) {
	view := s.db.View()
	row, err := scopeOf(ctx).discoverService(view, *in.NamespaceName, *in.ServiceName)
	if err != nil {
		return nil, err
	}
	out := &api.DiscoverInstancesOutput{Instances: []*api.HttpInstanceSummary{}, InstancesRevision: wire.Ptr(int64(0))}
	if row == nil {
		return out, nil
	}
	out.InstancesRevision = &row.Revision
	found := discover(row, store.CloudMapInstances.ListPrefix(view, row.ID+"/"), in)
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	limit := int64(defaultDiscovered)
	if in.MaxResults != nil {
		limit = *in.MaxResults
	}
	for _, i := range found[:min(len(found), int(limit))] {
		out.Instances = append(out.Instances, &api.HttpInstanceSummary{
			InstanceId: &i.ID, NamespaceName: in.NamespaceName, ServiceName: &row.Name,
			HealthStatus: wire.Ptr(health(row, i)), Attributes: i.Attributes,
		})
	}
	return out, nil
}

// DiscoverInstancesRevision tells whether DiscoverInstances would have
// something new to say.
func (s *Service) DiscoverInstancesRevision(ctx context.Context, in *api.DiscoverInstancesRevisionInput) (*api.DiscoverInstancesRevisionOutput, error) {
	row, err := scopeOf(ctx).discoverService(s.db.View(), *in.NamespaceName, *in.ServiceName)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, wire.Errorf(400, "ServiceNotFound", "The service %s can't be found in the namespace %s.", *in.ServiceName, *in.NamespaceName)
	}
	return &api.DiscoverInstancesRevisionOutput{InstancesRevision: &row.Revision}, nil
}

// discoverService finds a service by names; nil if the namespace has none of
// that name. Private DNS namespaces of several VPCs may have the same name:
// the first one that has the service counts.
func (sc scope) discoverService(r store.Reader, namespace, service string) (*resource.CloudMapService, error) {
	known := false
	for n := range store.CloudMapNamespaces.Scan(r) {
		if !sc.owns(n.Meta) || n.Name != namespace {
			continue
		}
		known = true
		for _, s := range services(r, n.ID) {
			if s.Name == service {
				return s, nil
			}
		}
	}
	if !known {
		return nil, wire.Errorf(400, "NamespaceNotFound", "The namespace %s can't be found.", namespace)
	}
	return nil, nil
}

// discover chooses the instances that a request asks for: all that match the
// parameters and have the health; of those the ones that match the optional
// parameters too, if there are any.
func discover(s *resource.CloudMapService, all []*resource.CloudMapInstance, in *api.DiscoverInstancesInput) []*resource.CloudMapInstance {
	found := keep(all, func(i *resource.CloudMapInstance) bool { return i.Matches(in.QueryParameters) })
	if s.CustomHealth {
		found = keepByHealth(found, wire.Val(in.HealthStatus))
	}
	if better := keep(found, func(i *resource.CloudMapInstance) bool { return i.Matches(in.OptionalParameters) }); len(better) > 0 {
		return better
	}
	return found
}

func keepByHealth(all []*resource.CloudMapInstance, filter string) []*resource.CloudMapInstance {
	switch filter {
	case api.HealthStatusFilterAll:
		return all
	case api.HealthStatusFilterUnhealthy:
		return keep(all, func(i *resource.CloudMapInstance) bool { return i.Unhealthy })
	}
	healthy := keep(all, func(i *resource.CloudMapInstance) bool { return !i.Unhealthy })
	if len(healthy) == 0 && filter != api.HealthStatusFilterHealthy {
		return all
	}
	return healthy
}

func keep(all []*resource.CloudMapInstance, good func(*resource.CloudMapInstance) bool) []*resource.CloudMapInstance {
	var kept []*resource.CloudMapInstance
	for _, i := range all {
		if good(i) {
			kept = append(kept, i)
		}
	}
	return kept
}
