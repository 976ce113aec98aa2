package servicediscovery

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

const (
	account = "111111111111"
	region  = "us-east-1"
)

// fixture is the service over a real store, with two VPCs.
type fixture struct {
	*Service
	*testing.T
	ctx      context.Context
	vpc, two string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fixture{Service: New(db), T: t, ctx: wire.WithCaller(t.Context(), wire.Caller{Account: account, Region: region})}
	f.update(func(tx *store.Tx) error {
		for _, id := range []*string{&f.vpc, &f.two} {
			v, err := vpc.CreateVPC(tx, vpc.VPCSpec{Account: account, Region: region, CIDR: netip.MustParsePrefix("10.0.0.0/16")})
			if err != nil {
				return err
			}
			*id = v.ID
		}
		return nil
	})
	return f
}

func (f *fixture) update(change func(tx *store.Tx) error) {
	f.Helper()
	if _, err := f.db.Update(f.ctx, change); err != nil {
		f.Fatal(err)
	}
}

// must fails the test on an error.
func must[O any](t testing.TB) func(*O, error) *O {
	return func(out *O, err error) *O {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// refused checks that an error is the client's, with a code.
func refused(t testing.TB, err error, code string) *wire.Error {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != code || e.Status != 400 {
		t.Fatalf("got error %v, want 400 %s", err, code)
	}
	return e
}

// target is what an operation was about.
func (f *fixture) target(operation *string, kind string) string {
	f.Helper()
	return must[api.GetOperationOutput](f)(f.GetOperation(f.ctx, &api.GetOperationInput{OperationId: operation})).Operation.Targets[kind]
}

func (f *fixture) newHTTP(name string) string {
	f.Helper()
	return f.target(must[api.CreateHttpNamespaceOutput](f)(f.CreateHttpNamespace(f.ctx, &api.CreateHttpNamespaceInput{Name: &name})).OperationId, "NAMESPACE")
}

func (f *fixture) newPrivate(name, vpc string) string {
	f.Helper()
	return f.target(must[api.CreatePrivateDnsNamespaceOutput](f)(f.CreatePrivateDnsNamespace(f.ctx, &api.CreatePrivateDnsNamespaceInput{Name: &name, Vpc: &vpc})).OperationId, "NAMESPACE")
}

func (f *fixture) newService(in api.CreateServiceInput) *api.Service {
	f.Helper()
	return must[api.CreateServiceOutput](f)(f.CreateService(f.ctx, &in)).Service
}

func (f *fixture) register(service, id string, attributes ...string) *string {
	f.Helper()
	return must[api.RegisterInstanceOutput](f)(f.RegisterInstance(f.ctx, &api.RegisterInstanceInput{
		ServiceId: &service, InstanceId: &id, Attributes: pairs(attributes...)})).OperationId
}

func pairs(list ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

func records(types ...string) *api.DnsConfig {
	c := &api.DnsConfig{}
	for _, t := range types {
		c.DnsRecords = append(c.DnsRecords, &api.DnsRecord{Type: wire.Ptr(t), TTL: wire.Ptr(int64(60))})
	}
	return c
}

func TestNamespaces(t *testing.T) {
	f := newFixture(t)
	create := &api.CreateHttpNamespaceInput{Name: wire.Ptr("shop"), CreatorRequestId: wire.Ptr("r1"), Description: wire.Ptr("d")}
	first := must[api.CreateHttpNamespaceOutput](t)(f.CreateHttpNamespace(f.ctx, create))
	again := must[api.CreateHttpNamespaceOutput](t)(f.CreateHttpNamespace(f.ctx, create))
	if *first.OperationId != *again.OperationId {
		t.Errorf("the repetition of a request has operation %s, not %s", *again.OperationId, *first.OperationId)
	}
	id := f.target(first.OperationId, "NAMESPACE")
	create.CreatorRequestId = wire.Ptr("r2")
	_, err := f.CreateHttpNamespace(f.ctx, create)
	if e := refused(t, err, "NamespaceAlreadyExists"); e.Fields["NamespaceId"] != id || e.Fields["CreatorRequestId"] != "r1" {
		t.Errorf("fields %v", e.Fields)
	}

	one, two := f.newPrivate("local.", f.vpc), f.newPrivate("local", f.two)
	_, err = f.CreatePrivateDnsNamespace(f.ctx, &api.CreatePrivateDnsNamespaceInput{Name: wire.Ptr("LOCAL"), Vpc: &f.vpc})
	refused(t, err, "NamespaceAlreadyExists")
	_, err = f.CreatePrivateDnsNamespace(f.ctx, &api.CreatePrivateDnsNamespaceInput{Name: wire.Ptr("a..b"), Vpc: &f.vpc})
	refused(t, err, "InvalidInput")
	_, err = f.CreatePrivateDnsNamespace(f.ctx, &api.CreatePrivateDnsNamespaceInput{Name: wire.Ptr("a.b"), Vpc: wire.Ptr("vpc-1")})
	refused(t, err, "InvalidInput")

	n := must[api.GetNamespaceOutput](t)(f.GetNamespace(f.ctx, &api.GetNamespaceInput{Id: &one})).Namespace
	if *n.Name != "local" || *n.Type != "DNS_PRIVATE" || *n.Properties.DnsProperties.SOA.TTL != 15 || n.Properties.DnsProperties.HostedZoneId != nil ||
		*n.Properties.HttpProperties.HttpName != "local" || *n.Arn != "arn:aws:servicediscovery:us-east-1:111111111111:namespace/"+one {
		t.Errorf("namespace %+v", n)
	}
	must[api.UpdatePrivateDnsNamespaceOutput](t)(f.UpdatePrivateDnsNamespace(f.ctx, &api.UpdatePrivateDnsNamespaceInput{Id: &one, Namespace: &api.PrivateDnsNamespaceChange{
		Properties: &api.PrivateDnsNamespacePropertiesChange{DnsProperties: &api.PrivateDnsPropertiesMutableChange{SOA: &api.SOAChange{TTL: wire.Ptr(int64(9))}}}}}))
	_, err = f.UpdateHttpNamespace(f.ctx, &api.UpdateHttpNamespaceInput{Id: &one, Namespace: &api.HttpNamespaceChange{Description: wire.Ptr("x")}})
	refused(t, err, "InvalidInput")
	must[api.UpdateHttpNamespaceOutput](t)(f.UpdateHttpNamespace(f.ctx, &api.UpdateHttpNamespaceInput{Id: &id, Namespace: &api.HttpNamespaceChange{Description: wire.Ptr("x")}}))
	for _, c := range []struct {
		id, description string
		ttl             int64
	}{{id, "x", 0}, {one, "", 9}} {
		n := must[api.GetNamespaceOutput](t)(f.GetNamespace(f.ctx, &api.GetNamespaceInput{Id: &c.id})).Namespace
		if wire.Val(n.Description) != c.description || c.ttl != 0 && *n.Properties.DnsProperties.SOA.TTL != c.ttl {
			t.Errorf("changed namespace %+v", n)
		}
	}

	f.newService(api.CreateServiceInput{Name: wire.Ptr("web"), NamespaceId: &two, Type: wire.Ptr("HTTP")})
	_, err = f.DeleteNamespace(f.ctx, &api.DeleteNamespaceInput{Id: &two})
	if e := refused(t, err, "ResourceInUse"); e.Message != "Namespace has associated services; delete the services before deleting the namespace" {
		t.Error(e.Message)
	}
	must[api.DeleteNamespaceOutput](t)(f.DeleteNamespace(f.ctx, &api.DeleteNamespaceInput{Id: &one}))
	_, err = f.GetNamespace(f.ctx, &api.GetNamespaceInput{Id: &one})
	refused(t, err, "NamespaceNotFound")
	stranger := wire.WithCaller(t.Context(), wire.Caller{Account: "222222222222", Region: region})
	_, err = f.DeleteNamespace(stranger, &api.DeleteNamespaceInput{Id: &id})
	refused(t, err, "NamespaceNotFound")
}

func TestLists(t *testing.T) {
	f := newFixture(t)
	f.newHTTP("shop")
	f.newHTTP("shop-two")
	private := f.newPrivate("local", f.vpc)
	type filters = []*api.NamespaceFilter
	filter := func(name, condition string, values ...string) *api.NamespaceFilter {
		return &api.NamespaceFilter{Name: &name, Condition: optional(condition), Values: values}
	}
	for name, c := range map[string]struct {
		filters filters
		want    int // -1: refused
	}{
		"all":            {nil, 3},
		"type":           {filters{filter("TYPE", "", "HTTP")}, 2},
		"name":           {filters{filter("NAME", "EQ", "shop")}, 1},
		"prefix":         {filters{filter("HTTP_NAME", "BEGINS_WITH", "shop")}, 2},
		"both must hold": {filters{filter("NAME", "BEGINS_WITH", "shop"), filter("TYPE", "EQ", "DNS_PRIVATE")}, 0},
		"condition":      {filters{filter("NAME", "BETWEEN", "a", "b")}, -1},
		"two values":     {filters{filter("NAME", "EQ", "a", "b")}, -1},
	} {
		out, err := f.ListNamespaces(f.ctx, &api.ListNamespacesInput{Filters: c.filters})
		if c.want < 0 {
			refused(t, err, "InvalidInput")
		} else if err != nil || len(out.Namespaces) != c.want {
			t.Errorf("%s: %d namespaces, %v; want %d", name, len(out.Namespaces), err, c.want)
		}
	}

	seen := map[string]bool{}
	in := &api.ListNamespacesInput{MaxResults: wire.Ptr(int64(2))}
	for pages := 1; ; pages++ {
		out := must[api.ListNamespacesOutput](t)(f.ListNamespaces(f.ctx, in))
		for _, n := range out.Namespaces {
			seen[*n.Id] = true
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			if len(seen) != 3 || pages != 2 {
				t.Errorf("%d namespaces on %d pages", len(seen), pages)
			}
			break
		}
	}
	_, err := f.ListNamespaces(f.ctx, &api.ListNamespacesInput{NextToken: wire.Ptr("!")})
	refused(t, err, "InvalidInput")

	f.newService(api.CreateServiceInput{Name: wire.Ptr("a"), DnsConfig: &api.DnsConfig{NamespaceId: &private, DnsRecords: records("A").DnsRecords}})
	all := must[api.ListServicesOutput](t)(f.ListServices(f.ctx, &api.ListServicesInput{}))
	none := must[api.ListServicesOutput](t)(f.ListServices(f.ctx, &api.ListServicesInput{Filters: []*api.ServiceFilter{{Name: wire.Ptr("NAMESPACE_ID"), Values: []string{"ns-1"}}}}))
	if len(all.Services) != 1 || *all.Services[0].Type != "DNS_HTTP" || *all.Services[0].DnsConfig.RoutingPolicy != "MULTIVALUE" || len(none.Services) != 0 {
		t.Errorf("services %+v, %+v", all, none)
	}

	operations := func(name, condition string, values ...string) int {
		out := must[api.ListOperationsOutput](t)(f.ListOperations(f.ctx, &api.ListOperationsInput{Filters: []*api.OperationFilter{{Name: &name, Condition: optional(condition), Values: values}}}))
		return len(out.Operations)
	}
	for name, c := range map[string]struct{ got, want int }{
		"type":      {operations("TYPE", "IN", "CREATE_NAMESPACE", "REGISTER_INSTANCE"), 3},
		"status":    {operations("STATUS", "", "SUCCESS"), 0},
		"namespace": {operations("NAMESPACE_ID", "", private), 1},
		"past":      {operations("UPDATE_DATE", "BETWEEN", "0", "1600000000"), 0},
		"ever":      {operations("UPDATE_DATE", "BETWEEN", "0", "99999999999.5"), 3},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d operations, want %d", name, c.got, c.want)
		}
	}
	_, err = f.GetOperation(f.ctx, &api.GetOperationInput{OperationId: wire.Ptr("none")})
	refused(t, err, "OperationNotFound")
}

func TestCreateService(t *testing.T) {
	f := newFixture(t)
	http, private := f.newHTTP("shop"), f.newPrivate("local", f.vpc)
	weighted := records("CNAME")
	weighted.RoutingPolicy = wire.Ptr("WEIGHTED")
	for name, c := range map[string]struct {
		in   api.CreateServiceInput
		kind string // or the code of the error
	}{
		"HTTP":                {api.CreateServiceInput{NamespaceId: &http}, "HTTP"},
		"HTTP with DNS":       {api.CreateServiceInput{NamespaceId: &http, DnsConfig: records("A")}, "InvalidInput"},
		"SRV":                 {api.CreateServiceInput{NamespaceId: &private, DnsConfig: records("SRV")}, "DNS_HTTP"},
		"A and AAAA":          {api.CreateServiceInput{NamespaceId: &private, DnsConfig: records("AAAA", "A")}, "DNS_HTTP"},
		"A and SRV":           {api.CreateServiceInput{NamespaceId: &private, DnsConfig: records("A", "SRV")}, "InvalidInput"},
		"A twice":             {api.CreateServiceInput{NamespaceId: &private, DnsConfig: records("A", "A")}, "InvalidInput"},
		"CNAME":               {api.CreateServiceInput{NamespaceId: &private, DnsConfig: weighted}, "DNS_HTTP"},
		"CNAME multivalue":    {api.CreateServiceInput{NamespaceId: &private, DnsConfig: records("CNAME")}, "InvalidInput"},
		"no records":          {api.CreateServiceInput{NamespaceId: &private, DnsConfig: records()}, "InvalidInput"},
		"no DNS":              {api.CreateServiceInput{NamespaceId: &private}, "InvalidInput"},
		"HTTP in DNS":         {api.CreateServiceInput{NamespaceId: &private, Type: wire.Ptr("HTTP")}, "HTTP"},
		"HTTP in DNS, A":      {api.CreateServiceInput{NamespaceId: &private, Type: wire.Ptr("HTTP"), DnsConfig: records("A")}, "InvalidInput"},
		"no namespace":        {api.CreateServiceInput{}, "InvalidInput"},
		"two namespaces":      {api.CreateServiceInput{NamespaceId: &http, DnsConfig: &api.DnsConfig{NamespaceId: &private}}, "InvalidInput"},
		"unknown namespace":   {api.CreateServiceInput{NamespaceId: wire.Ptr("ns-1")}, "NamespaceNotFound"},
		"Route 53 health":     {api.CreateServiceInput{NamespaceId: &http, HealthCheckConfig: &api.HealthCheckConfig{Type: wire.Ptr("TCP")}}, "InvalidInput"},
		"custom health":       {api.CreateServiceInput{NamespaceId: &http, HealthCheckCustomConfig: &api.HealthCheckCustomConfig{}}, "HTTP"},
		"both kinds of check": {api.CreateServiceInput{NamespaceId: &http, HealthCheckConfig: &api.HealthCheckConfig{}, HealthCheckCustomConfig: &api.HealthCheckCustomConfig{}}, "InvalidInput"},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.Name = wire.Ptr("s-" + newID(8))
			out, err := f.CreateService(f.ctx, &c.in)
			if c.kind[0] == 'I' || c.kind[0] == 'N' {
				refused(t, err, c.kind)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := out.Service; *s.Type != c.kind || (s.HealthCheckCustomConfig != nil) != (c.in.HealthCheckCustomConfig != nil) || *s.InstanceCount != 0 {
				t.Errorf("service %+v", s)
			}
		})
	}
	for _, bad := range []string{"-a", "a-", "a..b", "_", "a b", ""} {
		_, err := f.CreateService(f.ctx, &api.CreateServiceInput{Name: &bad, NamespaceId: &http})
		refused(t, err, "InvalidInput")
	}

	first := f.newService(api.CreateServiceInput{Name: wire.Ptr("Web"), NamespaceId: &private, DnsConfig: records("A"), CreatorRequestId: wire.Ptr("r")})
	_, err := f.CreateService(f.ctx, &api.CreateServiceInput{Name: wire.Ptr("web"), NamespaceId: &private, DnsConfig: records("A")})
	if e := refused(t, err, "ServiceAlreadyExists"); e.Fields["ServiceId"] != *first.Id || e.Fields["CreatorRequestId"] != "r" {
		t.Errorf("fields %v", e.Fields)
	}
	f.newService(api.CreateServiceInput{Name: wire.Ptr("Web"), NamespaceId: &http})
	f.newService(api.CreateServiceInput{Name: wire.Ptr("web"), NamespaceId: &http})
}

func TestUpdateAndDeleteService(t *testing.T) {
	f := newFixture(t)
	private := f.newPrivate("local", f.vpc)
	s := f.newService(api.CreateServiceInput{Name: wire.Ptr("web"), NamespaceId: &private, DnsConfig: records("SRV"), HealthCheckCustomConfig: &api.HealthCheckCustomConfig{}})
	update := func(change api.ServiceChange) error {
		_, err := f.UpdateService(f.ctx, &api.UpdateServiceInput{Id: s.Id, Service: &change})
		return err
	}
	ttl := &api.DnsConfigChange{DnsRecords: []*api.DnsRecord{{Type: wire.Ptr("SRV"), TTL: wire.Ptr(int64(5))}}}
	if err := update(api.ServiceChange{Description: wire.Ptr("d"), DnsConfig: ttl}); err != nil {
		t.Fatal(err)
	}
	refused(t, update(api.ServiceChange{DnsConfig: &api.DnsConfigChange{DnsRecords: records("A").DnsRecords}}), "InvalidInput")
	refused(t, update(api.ServiceChange{DnsConfig: ttl, HealthCheckConfig: &api.HealthCheckConfig{}}), "InvalidInput")
	got := must[api.GetServiceOutput](t)(f.GetService(f.ctx, &api.GetServiceInput{Id: s.Id})).Service
	if *got.Description != "d" || *got.DnsConfig.DnsRecords[0].TTL != 5 || *got.DnsConfig.RoutingPolicy != "MULTIVALUE" || got.HealthCheckCustomConfig == nil {
		t.Errorf("service %+v", got)
	}
	if err := update(api.ServiceChange{}); err != nil {
		t.Fatal(err)
	}
	got = must[api.GetServiceOutput](t)(f.GetService(f.ctx, &api.GetServiceInput{Id: s.Id})).Service
	if got.DnsConfig != nil || *got.Type != "HTTP" || *got.Description != "d" || got.HealthCheckCustomConfig == nil {
		t.Errorf("service without records %+v", got)
	}

	f.register(*s.Id, "one", "AWS_INSTANCE_IPV4", "10.0.0.1")
	_, err := f.DeleteService(f.ctx, &api.DeleteServiceInput{Id: s.Id})
	if e := refused(t, err, "ResourceInUse"); e.Message != "Service contains registered instances; delete the instances before deleting the service" {
		t.Error(e.Message)
	}
	must[api.DeregisterInstanceOutput](t)(f.DeregisterInstance(f.ctx, &api.DeregisterInstanceInput{ServiceId: s.Id, InstanceId: wire.Ptr("one")}))
	must[api.DeleteServiceOutput](t)(f.DeleteService(f.ctx, &api.DeleteServiceInput{Id: s.Id}))
	_, err = f.GetService(f.ctx, &api.GetServiceInput{Id: s.Id})
	refused(t, err, "ServiceNotFound")
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	http := f.newHTTP("shop")
	s := f.newService(api.CreateServiceInput{Name: wire.Ptr("web"), NamespaceId: &http, Tags: []*api.Tag{{Key: wire.Ptr("a"), Value: wire.Ptr("1")}}})
	for _, arn := range []string{*s.Arn, "arn:aws:servicediscovery:us-east-1:111111111111:namespace/" + http} {
		must[api.TagResourceOutput](t)(f.TagResource(f.ctx, &api.TagResourceInput{ResourceARN: &arn, Tags: []*api.Tag{{Key: wire.Ptr("b"), Value: wire.Ptr("2")}}}))
		must[api.UntagResourceOutput](t)(f.UntagResource(f.ctx, &api.UntagResourceInput{ResourceARN: &arn, TagKeys: []string{"a", "z"}}))
		tags := must[api.ListTagsForResourceOutput](t)(f.ListTagsForResource(f.ctx, &api.ListTagsForResourceInput{ResourceARN: &arn})).Tags
		if len(tags) != 1 || *tags[0].Key != "b" || *tags[0].Value != "2" {
			t.Errorf("%s has tags %v", arn, tags)
		}
	}
	for _, arn := range []string{"x", "arn:aws:servicediscovery:eu-west-1:111111111111:service/" + *s.Id, "arn:aws:servicediscovery:us-east-1:111111111111:service/srv-1"} {
		_, err := f.ListTagsForResource(f.ctx, &api.ListTagsForResourceInput{ResourceARN: &arn})
		refused(t, err, "ResourceNotFoundException")
	}
	var many []*api.Tag
	for range 51 {
		many = append(many, &api.Tag{Key: wire.Ptr(newID(9)), Value: wire.Ptr("")})
	}
	_, err := f.TagResource(f.ctx, &api.TagResourceInput{ResourceARN: s.Arn, Tags: many})
	refused(t, err, "TooManyTagsException")
	_, err = f.CreateHttpNamespace(f.ctx, &api.CreateHttpNamespaceInput{Name: wire.Ptr("x"), Tags: []*api.Tag{{Key: wire.Ptr("AWS:x"), Value: wire.Ptr("")}}})
	refused(t, err, "InvalidInput")
	if rows := store.CloudMapServices.List(f.db.View()); len(rows) != 1 || len(rows[0].Tags) != 1 {
		t.Errorf("stored services %v", rows)
	}
}

// instance puts an EC2 instance with an address.
func (f *fixture) instance(id, owner string) {
	f.update(func(tx *store.Tx) error {
		meta := resource.Meta{Account: owner, Region: region}
		store.NetworkInterfaces.Put(tx, &resource.NetworkInterface{Meta: meta, ID: "eni-" + id, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.77")}})
		store.Instances.Put(tx, &resource.Instance{Meta: meta, ID: id, Interface: "eni-" + id})
		return nil
	})
}
