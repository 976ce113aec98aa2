package elbv2

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

const (
	account = "111111111111"
	region  = "us-east-1"
)

// fixture is the service over a real store, with a VPC of two subnets in
// different zones and one more in the first zone.
type fixture struct {
	*Service
	t              *testing.T
	ctx            context.Context
	db             *store.DB
	vpc            *resource.VPC
	subA, subB     *resource.Subnet // 10.0.1.0/24 in a, 10.0.2.0/24 in b
	subA2          *resource.Subnet // 10.0.3.0/24 in a
	other          *resource.Subnet // of another VPC
	groupA, groupB *resource.SecurityGroup
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fixture{
		Service: New(db, Options{}), t: t, db: db,
		ctx: wire.WithCaller(t.Context(), wire.Caller{Account: account, Region: region}),
	}
	f.update(func(tx *store.Tx) (err error) {
		spec := vpc.VPCSpec{Account: account, Region: region, CIDR: netip.MustParsePrefix("10.0.0.0/16")}
		if f.vpc, err = vpc.CreateVPC(tx, spec); err != nil {
			return err
		}
		second, err := vpc.CreateVPC(tx, spec)
		if err != nil {
			return err
		}
		for _, s := range []struct {
			to       **resource.Subnet
			vpc      string
			zone, ip string
		}{
			{&f.subA, f.vpc.ID, "us-east-1a", "10.0.1.0/24"},
			{&f.subB, f.vpc.ID, "us-east-1b", "10.0.2.0/24"},
			{&f.subA2, f.vpc.ID, "us-east-1a", "10.0.3.0/24"},
			{&f.other, second.ID, "us-east-1c", "10.0.1.0/24"},
		} {
			if *s.to, err = vpc.CreateSubnet(tx, vpc.SubnetSpec{
				Account: account, Region: region, VPC: s.vpc, CIDR: netip.MustParsePrefix(s.ip), Zone: s.zone,
			}); err != nil {
				return err
			}
		}
		if f.groupA, err = vpc.CreateGroup(tx, f.vpc, "a", "a", nil); err != nil {
			return err
		}
		f.groupB, err = vpc.CreateGroup(tx, f.vpc, "b", "b", nil)
		return err
	})
	return f
}

func (f *fixture) update(fn func(tx *store.Tx) error) {
	f.t.Helper()
	if _, err := f.db.Update(context.Background(), fn); err != nil {
		f.t.Fatal(err)
	}
}

// balancer makes a load balancer in the first subnet.
func (f *fixture) balancer(name string, change ...func(*api.CreateLoadBalancerInput)) *api.LoadBalancer {
	f.t.Helper()
	out, err := f.CreateLoadBalancer(f.ctx, f.balancerInput(name, change...))
	if err != nil {
		f.t.Fatal(err)
	}
	return out.LoadBalancers[0]
}

func (f *fixture) balancerInput(name string, change ...func(*api.CreateLoadBalancerInput)) *api.CreateLoadBalancerInput {
	in := &api.CreateLoadBalancerInput{
		Name: &name, Type: wire.Ptr("network"), Scheme: wire.Ptr("internal"), Subnets: []string{f.subA.ID},
	}
	for _, c := range change {
		c(in)
	}
	return in
}

// group makes a target group of addresses over TCP.
func (f *fixture) group(name string, change ...func(*api.CreateTargetGroupInput)) *api.TargetGroup {
	f.t.Helper()
	out, err := f.CreateTargetGroup(f.ctx, f.groupInput(name, change...))
	if err != nil {
		f.t.Fatal(err)
	}
	return out.TargetGroups[0]
}

func (f *fixture) groupInput(name string, change ...func(*api.CreateTargetGroupInput)) *api.CreateTargetGroupInput {
	in := &api.CreateTargetGroupInput{
		Name: &name, Protocol: wire.Ptr("TCP"), Port: wire.Ptr(int64(80)), VpcId: &f.vpc.ID, TargetType: wire.Ptr("ip"),
	}
	for _, c := range change {
		c(in)
	}
	return in
}

// listener makes a TCP listener.
func (f *fixture) listener(balancer, group *string, port int64) *api.Listener {
	f.t.Helper()
	out, err := f.CreateListener(f.ctx, listenerInput(balancer, group, port))
	if err != nil {
		f.t.Fatal(err)
	}
	return out.Listeners[0]
}

func listenerInput(balancer, group *string, port int64, change ...func(*api.CreateListenerInput)) *api.CreateListenerInput {
	in := &api.CreateListenerInput{
		LoadBalancerArn: balancer, Protocol: wire.Ptr("TCP"), Port: &port,
		DefaultActions: []*api.Action{{Type: wire.Ptr("forward"), TargetGroupArn: group}},
	}
	for _, c := range change {
		c(in)
	}
	return in
}

// must fails the test if a call failed.
func must[T any](t *testing.T) func(T, error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// wantError checks the code of an error, and that its message holds a text.
func wantError(t *testing.T, err error, code, text string) {
	t.Helper()
	var e *wire.Error
	switch {
	case !errors.As(err, &e):
		t.Errorf("error = %v, want %s: … %s …", err, code, text)
	case e.Code != code || !strings.Contains(e.Message, text) || e.Status != 400:
		t.Errorf("error = %d %s: %s, want 400 %s: … %s …", e.Status, e.Code, e.Message, code, text)
	}
}
