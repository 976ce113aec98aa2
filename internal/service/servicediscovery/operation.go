package servicediscovery

import (
	"context"
	"maps"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// GetOperation tells whether a change is in force.
func (s *Service) GetOperation(ctx context.Context, in *api.GetOperationInput) (*api.GetOperationOutput, error) {
	sc := scopeOf(ctx)
	o, ok := store.CloudMapOperations.Get(s.db.View(), resource.CloudMapOperationKey(sc.account, sc.region, *in.OperationId))
	if !ok {
		return nil, wire.Errorf(400, "OperationNotFound", "The operation %s can't be found.", *in.OperationId)
	}
	return &api.GetOperationOutput{Operation: &api.Operation{
		Id: &o.ID, Type: &o.Type, Status: &o.Status, CreateDate: &o.Created, UpdateDate: &o.Updated, Targets: maps.Clone(o.Targets),
	}}, nil
}

// ListOperations lists the caller's operations, oldest first.
func (s *Service) ListOperations(ctx context.Context, in *api.ListOperationsInput) (*api.ListOperationsOutput, error) {
	sc := scopeOf(ctx)
	match, err := filters(in.Filters, readOperationFilter)
	if err != nil {
		return nil, err
	}
	var rows []*resource.CloudMapOperation
	for o := range store.CloudMapOperations.ScanPrefix(s.db.View(), sc.account+"/"+sc.region+"/") {
		if match(o) {
			rows = append(rows, o)
		}
	}
	rows, next, err := page(rows, (*resource.CloudMapOperation).Key, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.ListOperationsOutput{NextToken: next, Operations: []*api.OperationSummary{}}
	for _, o := range rows {
		out.Operations = append(out.Operations, &api.OperationSummary{Id: &o.ID, Status: &o.Status})
	}
	return out, nil
}
