package servicediscovery

import (
	"context"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// defaultSOATTL is Route 53's, in seconds.
const defaultSOATTL = 15

// CreateHttpNamespace makes a namespace whose services are found by API calls.
func (s *Service) CreateHttpNamespace(ctx context.Context, in *api.CreateHttpNamespaceInput) (*api.CreateHttpNamespaceOutput, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	id, err := s.createNamespace(ctx, &resource.CloudMapNamespace{
		Meta: scopeOf(ctx).meta(tags), Name: *in.Name, Type: resource.NamespaceHTTP,
		Description: wire.Val(in.Description), CreatorRequest: wire.Val(in.CreatorRequestId),
	})
	return &api.CreateHttpNamespaceOutput{OperationId: &id}, err
}

// CreatePrivateDnsNamespace makes a namespace whose services also have names
// in a VPC.
func (s *Service) CreatePrivateDnsNamespace(ctx context.Context, in *api.CreatePrivateDnsNamespaceInput) (*api.CreatePrivateDnsNamespaceOutput, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(*in.Name, ".")
	if !validDomain(name) {
		return nil, invalid("The namespace name '%s' is not a valid domain name.", *in.Name)
	}
	n := &resource.CloudMapNamespace{
		Meta: scopeOf(ctx).meta(tags), Name: name, Type: resource.NamespaceDNSPrivate, VPC: *in.Vpc, SOATTL: defaultSOATTL,
		Description: wire.Val(in.Description), CreatorRequest: wire.Val(in.CreatorRequestId),
	}
	if p := in.Properties; p != nil && p.DnsProperties != nil && p.DnsProperties.SOA != nil {
		n.SOATTL = wire.Val(p.DnsProperties.SOA.TTL)
	}
	id, err := s.createNamespace(ctx, n)
	return &api.CreatePrivateDnsNamespaceOutput{OperationId: &id}, err
}

// createNamespace writes a namespace and returns the operation's id: that of
// the first request if this one is its repetition.
func (s *Service) createNamespace(ctx context.Context, n *resource.CloudMapNamespace) (operation string, err error) {
	sc := scopeOf(ctx)
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		if n.VPC != "" {
			if _, err := vpc.FindVPC(tx, sc.account, sc.region, n.VPC); err != nil {
				return invalid("The VPC %s does not exist in region %s.", n.VPC, sc.region)
			}
		}
		for have := range store.CloudMapNamespaces.Scan(tx) {
			if !sc.owns(have.Meta) || !sameNames(have, n) {
				continue
			}
			if n.CreatorRequest != "" && have.CreatorRequest == n.CreatorRequest && have.Type == n.Type {
				operation = have.Operation
				return nil
			}
			e := wire.Errorf(400, "NamespaceAlreadyExists", "The namespace %s already exists.", n.Name)
			e.Fields = map[string]any{"NamespaceId": have.ID, "CreatorRequestId": have.CreatorRequest}
			return e
		}
		n.ID = "ns-" + newID(16)
		operation = sc.newOperation(tx, "CREATE_NAMESPACE", map[string]string{"NAMESPACE": n.ID})
		n.Operation = operation
		store.CloudMapNamespaces.Put(tx, n)
		return nil
	})
	return operation, err
}

// sameNames says whether two namespaces of an account can't be told apart:
// names of a VPC are its own, and those of domains ignore case.
func sameNames(a, b *resource.CloudMapNamespace) bool {
	if a.VPC != b.VPC {
		return false
	}
	return a.Name == b.Name || a.VPC != "" && strings.EqualFold(a.Name, b.Name)
}

func validDomain(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if c <= ' ' || c > '~' {
				return false
			}
		}
	}
	return true
}

func (sc scope) findNamespace(r store.Reader, id string) (*resource.CloudMapNamespace, error) {
	if n, ok := store.CloudMapNamespaces.Get(r, id); ok && sc.owns(n.Meta) {
		return n, nil
	}
	return nil, wire.Errorf(400, "NamespaceNotFound", "The namespace %s can't be found.", id)
}

// services are the services of a namespace.
func services(r store.Reader, namespace string) []*resource.CloudMapService {
	var list []*resource.CloudMapService
	for s := range store.CloudMapServices.Scan(r) {
		if s.Namespace == namespace {
			list = append(list, s)
		}
	}
	return list
}

// GetNamespace shows a namespace.
func (s *Service) GetNamespace(ctx context.Context, in *api.GetNamespaceInput) (*api.GetNamespaceOutput, error) {
	view := s.db.View()
	n, err := scopeOf(ctx).findNamespace(view, *in.Id)
	if err != nil {
		return nil, err
	}
	return &api.GetNamespaceOutput{Namespace: showNamespace(view, n)}, nil
}

func showNamespace(r store.Reader, n *resource.CloudMapNamespace) *api.Namespace {
	out := &api.Namespace{
		Id: &n.ID, Arn: wire.Ptr(n.ARN()), Name: &n.Name, Type: &n.Type, Description: optional(n.Description),
		ServiceCount: wire.Ptr(int64(len(services(r, n.ID)))), CreateDate: &n.Created, CreatorRequestId: optional(n.CreatorRequest),
		Properties: &api.NamespaceProperties{HttpProperties: &api.HttpProperties{HttpName: &n.Name}},
	}
	if n.Type == resource.NamespaceDNSPrivate {
		out.Properties.DnsProperties = &api.DnsProperties{SOA: &api.SOA{TTL: &n.SOATTL}}
	}
	return out
}

// ListNamespaces lists the caller's namespaces.
func (s *Service) ListNamespaces(ctx context.Context, in *api.ListNamespacesInput) (*api.ListNamespacesOutput, error) {
	sc, view := scopeOf(ctx), s.db.View()
	match, err := filters(in.Filters, readNamespaceFilter)
	if err != nil {
		return nil, err
	}
	var rows []*resource.CloudMapNamespace
	for n := range store.CloudMapNamespaces.Scan(view) {
		if sc.owns(n.Meta) && match(n) {
			rows = append(rows, n)
		}
	}
	rows, next, err := page(rows, (*resource.CloudMapNamespace).Key, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &api.ListNamespacesOutput{NextToken: next, Namespaces: []*api.NamespaceSummary{}}
	for _, n := range rows {
		full := showNamespace(view, n)
		out.Namespaces = append(out.Namespaces, &api.NamespaceSummary{
			Id: full.Id, Arn: full.Arn, Name: full.Name, Type: full.Type, Description: full.Description,
			ServiceCount: full.ServiceCount, Properties: full.Properties, CreateDate: full.CreateDate,
		})
	}
	return out, nil
}

// UpdateHttpNamespace changes a namespace's description.
func (s *Service) UpdateHttpNamespace(ctx context.Context, in *api.UpdateHttpNamespaceInput) (*api.UpdateHttpNamespaceOutput, error) {
	id, err := s.updateNamespace(ctx, *in.Id, resource.NamespaceHTTP, func(n *resource.CloudMapNamespace) {
		n.Description = wire.Val(in.Namespace.Description)
	})
	return &api.UpdateHttpNamespaceOutput{OperationId: &id}, err
}

// UpdatePrivateDnsNamespace changes a namespace's description and SOA record.
func (s *Service) UpdatePrivateDnsNamespace(ctx context.Context, in *api.UpdatePrivateDnsNamespaceInput) (*api.UpdatePrivateDnsNamespaceOutput, error) {
	id, err := s.updateNamespace(ctx, *in.Id, resource.NamespaceDNSPrivate, func(n *resource.CloudMapNamespace) {
		if in.Namespace.Description != nil {
			n.Description = *in.Namespace.Description
		}
		if p := in.Namespace.Properties; p != nil && p.DnsProperties != nil && p.DnsProperties.SOA != nil {
			n.SOATTL = wire.Val(p.DnsProperties.SOA.TTL)
		}
	})
	return &api.UpdatePrivateDnsNamespaceOutput{OperationId: &id}, err
}

func (s *Service) updateNamespace(ctx context.Context, id, kind string, change func(*resource.CloudMapNamespace)) (operation string, err error) {
	sc := scopeOf(ctx)
	_, err = s.db.Update(ctx, func(tx *store.Tx) error {
		n, err := sc.findNamespace(tx, id)
		if err != nil {
			return err
		}
		if n.Type != kind {
			return invalid("The namespace %s is of type %s, not %s.", id, n.Type, kind)
		}
		change(n)
		store.CloudMapNamespaces.Put(tx, n)
		operation = sc.newOperation(tx, "UPDATE_NAMESPACE", map[string]string{"NAMESPACE": id})
		return nil
	})
	return operation, err
}

// DeleteNamespace removes a namespace that has no services.
func (s *Service) DeleteNamespace(ctx context.Context, in *api.DeleteNamespaceInput) (*api.DeleteNamespaceOutput, error) {
	sc := scopeOf(ctx)
	var operation string
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		n, err := sc.findNamespace(tx, *in.Id)
		if err != nil {
			return err
		}
		if len(services(tx, n.ID)) > 0 {
			return inUse("Namespace has associated services; delete the services before deleting the namespace")
		}
		store.CloudMapNamespaces.Delete(tx, n.ID)
		operation = sc.newOperation(tx, "DELETE_NAMESPACE", map[string]string{"NAMESPACE": n.ID})
		return nil
	})
	return &api.DeleteNamespaceOutput{OperationId: &operation}, err
}
