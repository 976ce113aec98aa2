package ec2

import (
	"context"
	"errors"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

const (
	testAccount  = "111122223333"
	otherAccount = "444455556666"
	testRegion   = "us-east-1"
)

// fixture is a service on a fresh store, and what tests make with it on the way.
type fixture struct {
	*Service
	t *testing.T
	// ctx and other are requests of two accounts.
	ctx, other context.Context
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	as := func(account string) context.Context {
		return wire.WithCaller(t.Context(), wire.Caller{Account: account, Region: testRegion})
	}
	return fixture{New(db), t, as(testAccount), as(otherAccount)}
}

// must returns v; an error ends the test.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (f fixture) vpc(ctx context.Context, cidr string) string {
	f.t.Helper()
	out := must[*ec2.CreateVpcOutput](f.t)(f.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: &cidr}))
	return *out.Vpc.VpcId
}

func (f fixture) subnet(ctx context.Context, vpc, cidr, zone string) string {
	f.t.Helper()
	out := must[*ec2.CreateSubnetOutput](f.t)(f.CreateSubnet(ctx, &ec2.CreateSubnetInput{
		VpcId: &vpc, CidrBlock: &cidr, AvailabilityZone: wire.Ptr(testRegion + zone),
	}))
	return *out.Subnet.SubnetId
}

func (f fixture) group(ctx context.Context, vpc, name string) string {
	f.t.Helper()
	out := must[*ec2.CreateSecurityGroupOutput](f.t)(f.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		VpcId: &vpc, GroupName: &name, Description: &name,
	}))
	return *out.GroupId
}

func (f fixture) eni(ctx context.Context, subnet string, groups ...string) string {
	f.t.Helper()
	out := must[*ec2.CreateNetworkInterfaceOutput](f.t)(f.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{
		SubnetId: &subnet, Groups: groups,
	}))
	return *out.NetworkInterface.NetworkInterfaceId
}

// balancer stores a Network Load Balancer in subnets and returns its ARN.
func (f fixture) balancer(name string, zones ...string) string {
	f.t.Helper()
	lb := &resource.LoadBalancer{
		Meta: resource.Meta{Account: testAccount, Region: testRegion},
		ARN:  "arn:aws:elasticloadbalancing:" + testRegion + ":" + testAccount + ":loadbalancer/net/" + name + "/0123456789abcdef",
		Type: "network",
	}
	for _, z := range zones {
		lb.Zones = append(lb.Zones, resource.LoadBalancerZone{Zone: testRegion + z})
	}
	f.edit(func(tx *store.Tx) { store.LoadBalancers.Put(tx, lb) })
	return lb.ARN
}

// edit changes the store behind the service's back, as controllers do.
func (f fixture) edit(change func(tx *store.Tx)) {
	f.t.Helper()
	if _, err := f.db.Update(f.t.Context(), func(tx *store.Tx) error { change(tx); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// wantError checks that err is AWS's error with this code and, unless it is
// empty, this message. No code wants no error.
func wantError(t *testing.T, name string, err error, code, message string) {
	t.Helper()
	var e *wire.Error
	switch {
	case err == nil && code == "":
	case err == nil:
		t.Errorf("%s: no error, want %s", name, code)
	case !errors.As(err, &e):
		t.Errorf("%s: %v is not an AWS error", name, err)
	case e.Code != code || message != "" && e.Message != message:
		t.Errorf("%s: %s: %s\nwant %s: %s", name, e.Code, e.Message, code, message)
	}
}

func filters(pairs ...string) []*ec2.Filter {
	var list []*ec2.Filter
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, &ec2.Filter{Name: wire.Ptr(pairs[i]), Values: []string{pairs[i+1]}})
	}
	return list
}
