package servicediscovery

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// RegisterInstance adds an instance to a service, or replaces the attributes
// of the one that has its id.
func (s *Service) RegisterInstance(ctx context.Context, in *api.RegisterInstanceInput) (*api.RegisterInstanceOutput, error) {
	sc := scopeOf(ctx)
	var operation string
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		row, err := sc.findService(tx, *in.ServiceId)
		if err != nil {
			return err
		}
		attributes, err := sc.readAttributes(tx, row, in.Attributes)
		if err != nil {
			return err
		}
		i, known := store.CloudMapInstances.Get(tx, row.ID+"/"+*in.InstanceId)
		if !known {
			i = &resource.CloudMapInstance{
				Service: row.ID, ID: *in.InstanceId,
				Unhealthy: attributes[resource.AttributeInitHealth] == api.CustomHealthStatusUnhealthy,
			}
		}
		if !known || !maps.Equal(i.Attributes, attributes) {
			bumpRevision(tx, row)
		}
		i.Attributes, i.CreatorRequest = attributes, wire.Val(in.CreatorRequestId)
		store.CloudMapInstances.Put(tx, i)
		operation = sc.newOperation(tx, "REGISTER_INSTANCE", map[string]string{"SERVICE": row.ID, "INSTANCE": i.ID})
		return nil
	})
	return &api.RegisterInstanceOutput{OperationId: &operation}, err
}

// DeregisterInstance removes an instance. Requests that are on the way to it
// are finished; when the operation has succeeded, no further one is sent there.
func (s *Service) DeregisterInstance(ctx context.Context, in *api.DeregisterInstanceInput) (*api.DeregisterInstanceOutput, error) {
	sc := scopeOf(ctx)
	var operation string
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		row, i, err := sc.findInstance(tx, *in.ServiceId, *in.InstanceId)
		if err != nil {
			return err
		}
		store.CloudMapInstances.Delete(tx, i.Key())
		bumpRevision(tx, row)
		operation = sc.newOperation(tx, "DEREGISTER_INSTANCE", map[string]string{"SERVICE": row.ID, "INSTANCE": i.ID})
		return nil
	})
	return &api.DeregisterInstanceOutput{OperationId: &operation}, err
}

func bumpRevision(tx *store.Tx, s *resource.CloudMapService) {
	s.Revision = nextRevision(s.Revision)
	store.CloudMapServices.Put(tx, s)
}

// nextRevision follows the clock, so that a service that is made again under
// its old name does not repeat the revisions that it had.
func nextRevision(last int64) int64 { return max(last+1, now().UnixMicro()) }

func (sc scope) findInstance(r store.Reader, service, id string) (*resource.CloudMapService, *resource.CloudMapInstance, error) {
	s, err := sc.findService(r, service)
	if err != nil {
		return nil, nil, err
	}
	i, ok := store.CloudMapInstances.Get(r, service+"/"+id)
	if !ok {
		return nil, nil, wire.Errorf(400, "InstanceNotFound", "The instance %s of the service %s can't be found.", id, service)
	}
	return s, i, nil
}

// GetInstance shows an instance.
func (s *Service) GetInstance(ctx context.Context, in *api.GetInstanceInput) (*api.GetInstanceOutput, error) {
	_, i, err := scopeOf(ctx).findInstance(s.db.View(), *in.ServiceId, *in.InstanceId)
	if err != nil {
		return nil, err
	}
	return &api.GetInstanceOutput{Instance: &api.Instance{
		Id: &i.ID, CreatorRequestId: optional(i.CreatorRequest), Attributes: i.Attributes,
	}}, nil
}

// ListInstances lists the instances of a service.
func (s *Service) ListInstances(ctx context.Context, in *api.ListInstancesInput) (*api.ListInstancesOutput, error) {
	view := s.db.View()
	row, err := scopeOf(ctx).findService(view, *in.ServiceId)
	if err != nil {
		return nil, err
	}
	rows, next, err := page(store.CloudMapInstances.ListPrefix(view, row.ID+"/"), (*resource.CloudMapInstance).Key, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.ListInstancesOutput{NextToken: next, Instances: []*api.InstanceSummary{}}
	for _, i := range rows {
		out.Instances = append(out.Instances, &api.InstanceSummary{Id: &i.ID, Attributes: i.Attributes})
	}
	return out, nil
}

// GetInstancesHealthStatus tells the health of some instances of a service, or
// of all.
func (s *Service) GetInstancesHealthStatus(ctx context.Context, in *api.GetInstancesHealthStatusInput) (*api.GetInstancesHealthStatusOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	row, err := sc.findService(view, *in.ServiceId)
	if err != nil {
		return nil, err
	}
	var all []*resource.CloudMapInstance
	for _, id := range in.Instances {
		_, i, err := sc.findInstance(view, row.ID, id)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	if len(in.Instances) == 0 {
		all = store.CloudMapInstances.ListPrefix(view, row.ID+"/")
	}
	slices.SortFunc(all, func(a, b *resource.CloudMapInstance) int { return cmp.Compare(a.ID, b.ID) })
	all, next, err := page(all, (*resource.CloudMapInstance).Key, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.GetInstancesHealthStatusOutput{NextToken: next, Status: map[string]string{}}
	for _, i := range all {
		out.Status[i.ID] = health(row, i)
	}
	return out, nil
}

// health is an instance's status on the wire.
func health(s *resource.CloudMapService, i *resource.CloudMapInstance) string {
	switch {
	case !s.CustomHealth:
		return api.HealthStatusUnknown
	case i.Unhealthy:
		return api.HealthStatusUnhealthy
	}
	return api.HealthStatusHealthy
}

// UpdateInstanceCustomHealthStatus sets an instance's health, at once.
func (s *Service) UpdateInstanceCustomHealthStatus(ctx context.Context, in *api.UpdateInstanceCustomHealthStatusInput) (*api.UpdateInstanceCustomHealthStatusOutput, error) {
	sc := scopeOf(ctx)
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		row, i, err := sc.findInstance(tx, *in.ServiceId, *in.InstanceId)
		if err != nil {
			return err
		}
		if !row.CustomHealth {
			return wire.Errorf(400, "CustomHealthNotFound", "The service %s has no custom health check.", row.ID)
		}
		i.Unhealthy = *in.Status == api.CustomHealthStatusUnhealthy
		store.CloudMapInstances.Put(tx, i)
		return nil
	})
	return &api.UpdateInstanceCustomHealthStatusOutput{}, err
}
