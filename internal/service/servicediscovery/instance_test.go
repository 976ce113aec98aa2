package servicediscovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

func TestAttributes(t *testing.T) {
	f := newFixture(t)
	f.instance("i-1", account)
	f.instance("i-2", "222222222222")
	http, private := f.newHTTP("shop"), f.newPrivate("local", f.vpc)
	service := func(name, namespace string, dns *api.DnsConfig, health bool) string {
		in := api.CreateServiceInput{Name: &name, NamespaceId: &namespace, DnsConfig: dns}
		if health {
			in.HealthCheckCustomConfig = &api.HealthCheckCustomConfig{}
		}
		return *f.newService(in).Id
	}
	plain, healthy := service("plain", http, nil, false), service("healthy", http, nil, true)
	srv, a, both := service("srv", private, records("SRV"), false), service("a", private, records("A"), false), service("both", private, records("A", "AAAA"), false)
	thirty := func(n int) []string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprint("k", i), "v")
		}
		return list
	}
	for name, c := range map[string]struct {
		service    string
		attributes []string
		message    string // part of the refusal; empty: accepted
	}{
		"nothing":           {plain, nil, ""},
		"own":               {plain, []string{"color", "blue"}, ""},
		"address":           {plain, []string{"AWS_INSTANCE_IPV4", "10.0.0.1", "AWS_INSTANCE_PORT", "80"}, ""},
		"bad address":       {plain, []string{"AWS_INSTANCE_IPV4", "10.0.0.256"}, "'10.0.0.256'"},
		"IPv6 as IPv4":      {plain, []string{"AWS_INSTANCE_IPV4", "fd00::1"}, "'fd00::1'"},
		"bad IPv6":          {plain, []string{"AWS_INSTANCE_IPV6", "10.0.0.1"}, "'10.0.0.1'"},
		"port 0":            {plain, []string{"AWS_INSTANCE_PORT", "0"}, "'0'"},
		"port 65536":        {plain, []string{"AWS_INSTANCE_PORT", "65536"}, "'65536'"},
		"alias":             {plain, []string{"AWS_ALIAS_DNS_NAME", "x.elb.amazonaws.com"}, "not supported"},
		"init health":       {healthy, []string{"AWS_INIT_HEALTH_STATUS", "UNHEALTHY"}, ""},
		"bad health":        {healthy, []string{"AWS_INIT_HEALTH_STATUS", "SICK"}, "'SICK'"},
		"health unasked":    {plain, []string{"AWS_INIT_HEALTH_STATUS", "HEALTHY"}, "HealthCheckCustomConfig"},
		"SRV":               {srv, []string{"AWS_INSTANCE_IPV4", "10.0.0.1", "AWS_INSTANCE_PORT", "80"}, ""},
		"SRV, IPv6":         {srv, []string{"AWS_INSTANCE_IPV6", "fd00::1", "AWS_INSTANCE_PORT", "80"}, ""},
		"SRV, no port":      {srv, []string{"AWS_INSTANCE_IPV4", "10.0.0.1"}, "AWS_INSTANCE_PORT"},
		"SRV, no address":   {srv, []string{"AWS_INSTANCE_PORT", "80"}, "AWS_INSTANCE_IPV4 or AWS_INSTANCE_IPV6"},
		"A, no address":     {a, []string{"x", "y"}, "AWS_INSTANCE_IPV4"},
		"A and AAAA, one":   {both, []string{"AWS_INSTANCE_IPV4", "10.0.0.1"}, "AWS_INSTANCE_IPV6"},
		"EC2":               {plain, []string{"AWS_EC2_INSTANCE_ID", "i-1"}, ""},
		"EC2 and more":      {plain, []string{"AWS_EC2_INSTANCE_ID", "i-1", "color", "blue"}, "only other attribute"},
		"EC2 of another":    {plain, []string{"AWS_EC2_INSTANCE_ID", "i-2"}, "i-2 does not exist"},
		"EC2 with records":  {a, []string{"AWS_EC2_INSTANCE_ID", "i-1", "AWS_INSTANCE_IPV4", "10.0.0.1"}, "without DNS records"},
		"30 attributes":     {plain, thirty(30), ""},
		"31 attributes":     {plain, thirty(31), "at most 30"},
		"5001 characters":   {plain, []string{"k", strings.Repeat("x", 5000)}, "at most 5000"},
		"unknown service":   {"srv-1", nil, "srv-1 can't be found"},
		"5000 characters":   {plain, []string{"k", strings.Repeat("x", 4999)}, ""},
		"address and other": {plain, []string{"AWS_INSTANCE_IPV4", "10.0.0.1", "az", "a"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.RegisterInstance(f.ctx, &api.RegisterInstanceInput{ServiceId: &c.service, InstanceId: wire.Ptr("i"), Attributes: pairs(c.attributes...)})
			if c.message == "" && err != nil || c.message != "" && (err == nil || !strings.Contains(err.Error(), c.message)) {
				t.Errorf("error %v, want %q", err, c.message)
			}
		})
	}
	f.register(plain, "ec2", "AWS_EC2_INSTANCE_ID", "i-1")
	got := must[api.GetInstanceOutput](t)(f.GetInstance(f.ctx, &api.GetInstanceInput{ServiceId: &plain, InstanceId: wire.Ptr("ec2")})).Instance
	if got.Attributes["AWS_INSTANCE_IPV4"] != "10.0.0.77" {
		t.Errorf("EC2 instance %v", got.Attributes)
	}
}

func TestInstances(t *testing.T) {
	f := newFixture(t)
	http := f.newHTTP("shop")
	s := f.newService(api.CreateServiceInput{Name: wire.Ptr("web"), NamespaceId: &http, HealthCheckCustomConfig: &api.HealthCheckCustomConfig{}})
	plain := f.newService(api.CreateServiceInput{Name: wire.Ptr("plain"), NamespaceId: &http})
	revision := func() int64 {
		return *must[api.DiscoverInstancesRevisionOutput](t)(f.DiscoverInstancesRevision(f.ctx, &api.DiscoverInstancesRevisionInput{NamespaceName: wire.Ptr("shop"), ServiceName: wire.Ptr("web")})).InstancesRevision
	}
	r0 := revision()
	op := f.register(*s.Id, "a/b", "v", "1")
	r1 := revision()
	if f.target(op, "INSTANCE") != "a/b" || f.target(op, "SERVICE") != *s.Id {
		t.Error("the operation names other targets")
	}
	f.register(*s.Id, "a/b", "v", "1")
	if r1 <= r0 || revision() != r1 {
		t.Errorf("revisions %d, %d, and %d after the same once more", r0, r1, revision())
	}
	f.register(*s.Id, "a/b", "v", "2")
	r2 := revision()
	f.register(*s.Id, "c", "AWS_INIT_HEALTH_STATUS", "UNHEALTHY")
	f.register(*plain.Id, "p")

	list := must[api.ListInstancesOutput](t)(f.ListInstances(f.ctx, &api.ListInstancesInput{ServiceId: s.Id}))
	if len(list.Instances) != 2 || *list.Instances[0].Id != "a/b" || list.Instances[0].Attributes["v"] != "2" {
		t.Errorf("instances %v", list.Instances)
	}
	if n := *must[api.GetServiceOutput](t)(f.GetService(f.ctx, &api.GetServiceInput{Id: s.Id})).Service.InstanceCount; n != 2 {
		t.Errorf("%d instances", n)
	}
	status := func(service *string, ids ...string) map[string]string {
		return must[api.GetInstancesHealthStatusOutput](t)(f.GetInstancesHealthStatus(f.ctx, &api.GetInstancesHealthStatusInput{ServiceId: service, Instances: ids})).Status
	}
	set := func(service *string, id, status string) error {
		_, err := f.UpdateInstanceCustomHealthStatus(f.ctx, &api.UpdateInstanceCustomHealthStatusInput{ServiceId: service, InstanceId: &id, Status: &status})
		return err
	}
	r3 := revision()
	if err := set(s.Id, "a/b", "UNHEALTHY"); err != nil {
		t.Fatal(err)
	}
	if r2 <= r1 || revision() != r3 {
		t.Error("revisions must follow registrations, not health")
	}
	for name, c := range map[string]struct{ got, want map[string]string }{
		"all":     {status(s.Id), pairs("a/b", "UNHEALTHY", "c", "UNHEALTHY")},
		"one":     {status(s.Id, "c"), pairs("c", "UNHEALTHY")},
		"unknown": {status(plain.Id), pairs("p", "UNKNOWN")},
	} {
		if !maps.Equal(c.got, c.want) {
			t.Errorf("%s: health %v, want %v", name, c.got, c.want)
		}
	}
	if err := set(s.Id, "c", "HEALTHY"); err != nil || status(s.Id, "c")["c"] != "HEALTHY" {
		t.Errorf("recovered: %v, %v", status(s.Id), err)
	}
	refused(t, set(plain.Id, "p", "HEALTHY"), "CustomHealthNotFound")
	refused(t, set(s.Id, "p", "HEALTHY"), "InstanceNotFound")

	_, err := f.DeregisterInstance(f.ctx, &api.DeregisterInstanceInput{ServiceId: s.Id, InstanceId: wire.Ptr("p")})
	refused(t, err, "InstanceNotFound")
	must[api.DeregisterInstanceOutput](t)(f.DeregisterInstance(f.ctx, &api.DeregisterInstanceInput{ServiceId: s.Id, InstanceId: wire.Ptr("a/b")}))
	_, err = f.GetInstance(f.ctx, &api.GetInstanceInput{ServiceId: s.Id, InstanceId: wire.Ptr("a/b")})
	refused(t, err, "InstanceNotFound")
	if revision() <= r3 {
		t.Error("a deregistration did not change the revision")
	}
	// Health said of an instance is forgotten with it.
	f.register(*s.Id, "a/b")
	if got := status(s.Id, "a/b")["a/b"]; got != "HEALTHY" {
		t.Errorf("registered anew: %s", got)
	}
}

func TestDiscover(t *testing.T) {
	f := newFixture(t)
	http := f.newHTTP("shop")
	web := f.newService(api.CreateServiceInput{Name: wire.Ptr("web"), NamespaceId: &http, HealthCheckCustomConfig: &api.HealthCheckCustomConfig{}})
	plain := f.newService(api.CreateServiceInput{Name: wire.Ptr("plain"), NamespaceId: &http})
	const health = "AWS_INIT_HEALTH_STATUS"
	f.register(*web.Id, "blue-a", "color", "blue", "az", "a")
	f.register(*web.Id, "blue-b", "color", "blue", "az", "b")
	f.register(*web.Id, "blue-c", "color", "blue", "az", "c", health, "UNHEALTHY")
	f.register(*web.Id, "green-a", "color", "green", "az", "a", health, "UNHEALTHY")
	f.register(*plain.Id, "p")

	for name, c := range map[string]struct {
		in   api.DiscoverInstancesInput
		want []string
	}{
		"healthy by default":        {api.DiscoverInstancesInput{}, []string{"blue-a", "blue-b"}},
		"all":                       {api.DiscoverInstancesInput{HealthStatus: wire.Ptr("ALL")}, []string{"blue-a", "blue-b", "blue-c", "green-a"}},
		"unhealthy":                 {api.DiscoverInstancesInput{HealthStatus: wire.Ptr("UNHEALTHY")}, []string{"blue-c", "green-a"}},
		"healthy, none":             {api.DiscoverInstancesInput{HealthStatus: wire.Ptr("HEALTHY"), QueryParameters: pairs("color", "green")}, nil},
		"healthy or else all":       {api.DiscoverInstancesInput{HealthStatus: wire.Ptr("HEALTHY_OR_ELSE_ALL"), QueryParameters: pairs("color", "green")}, []string{"green-a"}},
		"all parameters must match": {api.DiscoverInstancesInput{QueryParameters: pairs("color", "blue", "az", "b")}, []string{"blue-b"}},
		"no match":                  {api.DiscoverInstancesInput{QueryParameters: pairs("color", "red")}, nil},
		"unknown attribute":         {api.DiscoverInstancesInput{QueryParameters: pairs("size", "")}, nil},
		"optional, met":             {api.DiscoverInstancesInput{QueryParameters: pairs("color", "blue"), OptionalParameters: pairs("az", "a")}, []string{"blue-a"}},
		"optional, not met":         {api.DiscoverInstancesInput{QueryParameters: pairs("color", "blue"), OptionalParameters: pairs("az", "z")}, []string{"blue-a", "blue-b"}},
		"optional, met by the sick": {api.DiscoverInstancesInput{OptionalParameters: pairs("az", "c")}, []string{"blue-a", "blue-b"}},
		"health is not asked for":   {api.DiscoverInstancesInput{ServiceName: wire.Ptr("plain"), HealthStatus: wire.Ptr("UNHEALTHY")}, []string{"p"}},
		"no such service":           {api.DiscoverInstancesInput{ServiceName: wire.Ptr("none")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.NamespaceName = wire.Ptr("shop")
			if c.in.ServiceName == nil {
				c.in.ServiceName = wire.Ptr("web")
			}
			var got []string
			for _, i := range must[api.DiscoverInstancesOutput](t)(f.DiscoverInstances(f.ctx, &c.in)).Instances {
				got = append(got, *i.InstanceId)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
	_, err := f.DiscoverInstances(f.ctx, &api.DiscoverInstancesInput{NamespaceName: wire.Ptr("none"), ServiceName: wire.Ptr("web")})
	refused(t, err, "NamespaceNotFound")
	_, err = f.DiscoverInstancesRevision(f.ctx, &api.DiscoverInstancesRevisionInput{NamespaceName: wire.Ptr("shop"), ServiceName: wire.Ptr("none")})
	refused(t, err, "ServiceNotFound")

	// A page of one is drawn from all.
	first := map[string]bool{}
	for range 200 {
		out := must[api.DiscoverInstancesOutput](t)(f.DiscoverInstances(f.ctx, &api.DiscoverInstancesInput{
			NamespaceName: wire.Ptr("shop"), ServiceName: wire.Ptr("web"), MaxResults: wire.Ptr(int64(1)), HealthStatus: wire.Ptr("ALL")}))
		if len(out.Instances) != 1 {
			t.Fatalf("%d instances instead of one", len(out.Instances))
		}
		first[*out.Instances[0].InstanceId] = true
	}
	if len(first) != 4 {
		t.Errorf("of 200 answers, only %v were first", first)
	}
}
