package vpc

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

const consumer = "444455556666"

// balancer stores a load balancer with nodes in the subnets.
func balancer(t testing.TB, db *store.DB, name string, subnets ...*resource.Subnet) *resource.LoadBalancer {
	t.Helper()
	lb := &resource.LoadBalancer{
		Meta: resource.Meta{Account: account, Region: region},
		ARN:  "arn:aws:elasticloadbalancing:us-east-1:" + account + ":loadbalancer/net/" + name + "/0123456789abcdef",
		Name: name, Type: "network",
	}
	for _, s := range subnets {
		lb.Zones = append(lb.Zones, resource.LoadBalancerZone{Zone: s.Zone, Subnet: s.ID})
	}
	update(t, db, func(tx *store.Tx) error { store.LoadBalancers.Put(tx, lb); return nil })
	return lb
}

func TestEndpoint(t *testing.T) {
	db := openStore(t)
	_, provider := network(t, db, account, 2)
	v, subnets := network(t, db, consumer, 3)
	elsewhere, foreign := network(t, db, consumer, 1)
	lb := balancer(t, db, "one", provider...)

	var open, guarded *resource.EndpointService
	update(t, db, func(tx *store.Tx) (err error) {
		open, err = CreateEndpointService(tx, ServiceSpec{
			Account: account, Region: region, LoadBalancers: []string{lb.ARN}, AllowedPrincipals: []string{"arn:aws:iam::" + consumer + ":root"},
		})
		return err
	})
	second := balancer(t, db, "two", provider...)
	update(t, db, func(tx *store.Tx) (err error) {
		guarded, err = CreateEndpointService(tx, ServiceSpec{
			Account: account, Region: region, LoadBalancers: []string{second.ARN}, AllowedPrincipals: []string{"*"}, AcceptanceRequired: true,
		})
		return err
	})

	base := EndpointSpec{Account: consumer, Region: region, VPC: v.ID, ServiceName: open.Name(), Subnets: []string{subnets[0].ID, subnets[1].ID}}
	tests := []struct {
		name, want string
		change     func(*EndpointSpec)
	}{
		{"no service", "InvalidServiceName", func(s *EndpointSpec) { s.ServiceName = "com.amazonaws.us-east-1.s3" }},
		{"no such service", "InvalidServiceName", func(s *EndpointSpec) { s.ServiceName += "0" }},
		{"not allowed", "InvalidServiceName", func(s *EndpointSpec) { s.Account, s.VPC, s.Subnets = account, provider[0].VPC, nil }},
		{"no VPC", "InvalidVpcID.NotFound", func(s *EndpointSpec) { s.VPC = "vpc-1" }},
		{"zone not served", "InvalidParameter", func(s *EndpointSpec) { s.Subnets = []string{subnets[2].ID} }},
		{"two in a zone", "", func(s *EndpointSpec) { s.Subnets = []string{subnets[0].ID, subnets[0].ID} }},
		{"another VPC's subnet", "InvalidParameter", func(s *EndpointSpec) { s.Subnets = []string{foreign[0].ID} }},
		{"another VPC's group", "InvalidGroup.NotFound", func(s *EndpointSpec) { s.Groups = []string{elsewhere.DefaultGroup} }},
		{"private DNS", "InvalidParameter", func(s *EndpointSpec) { s.PrivateDNS = true }},
		{"good", "", func(*EndpointSpec) {}},
	}
	for _, tt := range tests {
		spec := base
		tt.change(&spec)
		_, err := db.Update(t.Context(), func(tx *store.Tx) error {
			e, err := CreateEndpoint(tx, spec)
			if err == nil {
				DeleteEndpoint(tx, e.ID)
			}
			return err
		})
		if got := code(err); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := len(store.NetworkInterfaces.List(db.View())); got != 0 {
		t.Fatalf("%d interfaces are left", got)
	}

	var e, waiting *resource.VPCEndpoint
	update(t, db, func(tx *store.Tx) (err error) {
		if e, err = CreateEndpoint(tx, base); err != nil {
			return err
		}
		spec := base
		spec.ServiceName = guarded.Name()
		waiting, err = CreateEndpoint(tx, spec)
		return err
	})
	if e.State != resource.EndpointPending || waiting.State != resource.EndpointPendingAcceptance {
		t.Errorf("states %s and %s", e.State, waiting.State)
	}
	if len(e.Groups) != 1 || e.Groups[0] != v.DefaultGroup {
		t.Errorf("groups %v, want the default one", e.Groups)
	}
	for i, id := range e.Interfaces {
		n, ok := store.NetworkInterfaces.Get(db.View(), id)
		if !ok || n.Subnet != e.Subnets[i] || n.Type != resource.InterfaceEndpoint || n.Owner != e.ID ||
			n.Requester != "727180483921" || n.Description != "VPC Endpoint Interface "+e.ID || n.Account != consumer {
			t.Errorf("interface %+v", n)
		}
	}
	// A second subnet of a zone that the endpoint is in.
	var twin *resource.Subnet
	update(t, db, func(tx *store.Tx) (err error) {
		twin, err = CreateSubnet(tx, SubnetSpec{Account: consumer, Region: region, VPC: v.ID, Zone: subnets[0].Zone, CIDR: netip.MustParsePrefix("10.0.200.0/24")})
		return err
	})
	_, err := db.Update(t.Context(), func(tx *store.Tx) error {
		own, _ := store.VPCEndpoints.Get(tx, e.ID)
		return AddEndpointSubnets(tx, own, []string{twin.ID})
	})
	if code(err) != "DuplicateSubnetsInSameZone" || !strings.Contains(err.Error(), subnets[0].ID) {
		t.Errorf("two subnets of a zone: %v", err)
	}

	for _, s := range []*resource.EndpointService{open, guarded} {
		_, err := db.Update(t.Context(), func(tx *store.Tx) error { return DeleteEndpointService(tx, s.ID) })
		if code(err) != "ExistingVpcEndpointConnections" {
			t.Errorf("delete service with a connection: %v", err)
		}
	}
	update(t, db, func(tx *store.Tx) error {
		DeleteEndpoint(tx, e.ID)
		return DeleteEndpointService(tx, open.ID)
	})
	if LoadBalancerInService(db.View(), lb.ARN) || !LoadBalancerInService(db.View(), second.ARN) {
		t.Error("LoadBalancerInService is wrong")
	}
}

func TestEndpointServiceErrors(t *testing.T) {
	db := openStore(t)
	_, subnets := network(t, db, account, 1)
	used, free := balancer(t, db, "used", subnets...), balancer(t, db, "free", subnets...)
	update(t, db, func(tx *store.Tx) error {
		_, err := CreateEndpointService(tx, ServiceSpec{Account: account, Region: region, LoadBalancers: []string{used.ARN}})
		return err
	})
	tests := []struct {
		name, want, message string
		owner               string
		arns                []string
	}{
		{"none", "InvalidParameter", "exactly one of", account, nil},
		{"an ALB", "InvalidParameter", "NLB ARN is malformed", account, []string{strings.Replace(free.ARN, "/net/", "/app/", 1)}},
		{"absent", "InvalidLoadBalancerArn.NotFound", "does not exist", account, []string{free.ARN + "0"}},
		{"another account's", "InvalidLoadBalancerArn.NotFound", "does not exist", consumer, []string{free.ARN}},
		{"in another service", "InvalidParameter", "already associated", account, []string{free.ARN, used.ARN}},
		{"good", "", "", account, []string{free.ARN, free.ARN}},
	}
	for _, tt := range tests {
		_, err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := CreateEndpointService(tx, ServiceSpec{Account: tt.owner, Region: region, LoadBalancers: tt.arns})
			return err
		})
		if code(err) != tt.want || err != nil && !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s: %v, want %s: %s", tt.name, err, tt.want, tt.message)
		}
	}
}
