package servicediscovery

import (
	"context"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// CreateService makes a name under which instances are registered.
func (s *Service) CreateService(ctx context.Context, in *api.CreateServiceInput) (*api.CreateServiceOutput, error) {
	sc := scopeOf(ctx)
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := checkServiceName(*in.Name); err != nil {
		return nil, err
	}
	if in.HealthCheckConfig != nil {
		if in.HealthCheckCustomConfig != nil {
			return nil, invalid("Specify either HealthCheckConfig or HealthCheckCustomConfig, but not both.")
		}
		return nil, errRoute53Health
	}
	row := &resource.CloudMapService{
		Meta: sc.meta(tags), ID: "srv-" + newID(16), Name: *in.Name, Description: wire.Val(in.Description),
		CreatorRequest: wire.Val(in.CreatorRequestId), CustomHealth: in.HealthCheckCustomConfig != nil,
	}
	if row.Namespace, err = namespaceOf(in); err != nil {
		return nil, err
	}
	row.Revision = nextRevision(0)
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		n, err := sc.findNamespace(tx, row.Namespace)
		if err != nil {
			return err
		}
		if row.Type, row.DNS, err = readDNS(n, in); err != nil {
			return err
		}
		for _, have := range services(tx, n.ID) {
			if have.Name == row.Name || n.VPC != "" && strings.EqualFold(have.Name, row.Name) {
				e := wire.Errorf(400, "ServiceAlreadyExists", "The service %s already exists in the namespace %s.", row.Name, n.ID)
				e.Fields = map[string]any{"ServiceId": have.ID, "CreatorRequestId": have.CreatorRequest}
				return e
			}
		}
		store.CloudMapServices.Put(tx, row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateServiceOutput{Service: showService(s.db.View(), row)}, nil
}

var errRoute53Health = invalid("Health checks by Route 53 (HealthCheckConfig) are not supported; " +
	"use HealthCheckCustomConfig and UpdateInstanceCustomHealthStatus.")

// namespaceOf is the namespace that a request names, in one of two places.
func namespaceOf(in *api.CreateServiceInput) (string, error) {
	id := wire.Val(in.NamespaceId)
	if in.DnsConfig != nil && wire.Val(in.DnsConfig.NamespaceId) != "" {
		if id != "" && id != *in.DnsConfig.NamespaceId {
			return "", invalid("NamespaceId and DnsConfig.NamespaceId name different namespaces.")
		}
		id = *in.DnsConfig.NamespaceId
	}
	if id == "" {
		return "", invalid("A NamespaceId must be specified.")
	}
	return id, nil
}

// checkServiceName checks what the model's pattern says in a way that Go's
// regular expressions can't.
func checkServiceName(name string) error {
	bad := invalid("The service name '%s' is not valid: it consists of at most 127 letters, digits, hyphens, underscores and dots; "+
		"labels have at most 63 characters and neither begin nor end with a hyphen.", name)
	if len(name) > 127 {
		return bad
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || len(label) == 1 && label == "_" {
			return bad
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return bad
			}
		}
	}
	return nil
}

func (sc scope) findService(r store.Reader, id string) (*resource.CloudMapService, error) {
	if s, ok := store.CloudMapServices.Get(r, id); ok && sc.owns(s.Meta) {
		return s, nil
	}
	return nil, wire.Errorf(400, "ServiceNotFound", "The service %s can't be found.", id)
}

// GetService shows a service.
func (s *Service) GetService(ctx context.Context, in *api.GetServiceInput) (*api.GetServiceOutput, error) {
	view := s.db.View()
	row, err := scopeOf(ctx).findService(view, *in.Id)
	if err != nil {
		return nil, err
	}
	return &api.GetServiceOutput{Service: showService(view, row)}, nil
}

func showService(r store.Reader, s *resource.CloudMapService) *api.Service {
	out := &api.Service{
		Id: &s.ID, Arn: wire.Ptr(s.ARN()), Name: &s.Name, NamespaceId: &s.Namespace, Type: &s.Type, Description: optional(s.Description),
		CreateDate: &s.Created, CreatorRequestId: optional(s.CreatorRequest), DnsConfig: showDNS(s), InstanceCount: wire.Ptr(int64(0)),
	}
	for range store.CloudMapInstances.ScanPrefix(r, s.ID+"/") {
		*out.InstanceCount++
	}
	if s.CustomHealth {
		out.HealthCheckCustomConfig = &api.HealthCheckCustomConfig{FailureThreshold: wire.Ptr(int64(1))} // AWS's whatever was asked for
	}
	return out
}

// ListServices lists the caller's services.
func (s *Service) ListServices(ctx context.Context, in *api.ListServicesInput) (*api.ListServicesOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	match, err := filters(in.Filters, readServiceFilter)
	if err != nil {
		return nil, err
	}
	var rows []*resource.CloudMapService
	for row := range store.CloudMapServices.Scan(view) {
		if sc.owns(row.Meta) && match(row) {
			rows = append(rows, row)
		}
	}
	rows, next, err := page(rows, (*resource.CloudMapService).Key, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.ListServicesOutput{NextToken: next, Services: []*api.ServiceSummary{}}
	for _, row := range rows {
		full := showService(view, row)
		out.Services = append(out.Services, &api.ServiceSummary{
			Id: full.Id, Arn: full.Arn, Name: full.Name, Type: full.Type, Description: full.Description, InstanceCount: full.InstanceCount,
			DnsConfig: full.DnsConfig, HealthCheckCustomConfig: full.HealthCheckCustomConfig, CreateDate: full.CreateDate,
		})
	}
	return out, nil
}

// UpdateService changes a service's description and the TTLs of its records.
// Records that are left out are removed, all at once: their types are fixed.
func (s *Service) UpdateService(ctx context.Context, in *api.UpdateServiceInput) (*api.UpdateServiceOutput, error) {
	sc := scopeOf(ctx)
	if in.Service.HealthCheckConfig != nil {
		return nil, errRoute53Health
	}
	var operation string
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		row, err := sc.findService(tx, *in.Id)
		if err != nil {
			return err
		}
		if in.Service.Description != nil {
			row.Description = *in.Service.Description
		}
		if err := changeDNS(row, in.Service.DnsConfig); err != nil {
			return err
		}
		store.CloudMapServices.Put(tx, row)
		operation = sc.newOperation(tx, "UPDATE_SERVICE", map[string]string{"SERVICE": row.ID})
		return nil
	})
	return &api.UpdateServiceOutput{OperationId: &operation}, err
}

// DeleteService removes a service that has no instances.
func (s *Service) DeleteService(ctx context.Context, in *api.DeleteServiceInput) (*api.DeleteServiceOutput, error) {
	sc := scopeOf(ctx)
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		row, err := sc.findService(tx, *in.Id)
		if err != nil {
			return err
		}
		for range store.CloudMapInstances.ScanPrefix(tx, row.ID+"/") {
			return inUse("Service contains registered instances; delete the instances before deleting the service")
		}
		store.CloudMapServices.Delete(tx, row.ID)
		return nil
	})
	return &api.DeleteServiceOutput{}, err
}
