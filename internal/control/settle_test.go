package control

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/service/elbv2"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	wireelbv2 "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// TestDeregistrationDelayBeginsAtTheNodes: the delay of a target that a node
// still gives requests has not begun.
func TestDeregistrationDelayBeginsAtTheNodes(t *testing.T) {
	p := newPlant(t)
	for range cap(p.gate) {
		p.gate <- struct{}{}
	}
	ctx := wire.WithCaller(t.Context(), wire.Caller{Account: account, Region: region})
	done := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	network, subnet := p.balancer()
	row := p.application(subnet)
	balancers := elbv2.New(p.db, elbv2.Options{})
	targets := []*wireelbv2.TargetDescription{{Id: wire.Ptr("10.0.1.9")}}
	// group makes one with a target, whose delay is a second.
	group := func(balancer, protocol string) (arn string) {
		out, err := balancers.CreateTargetGroup(ctx, &wireelbv2.CreateTargetGroupInput{
			Name: &protocol, Protocol: &protocol, Port: wire.Ptr(int64(80)), VpcId: &row.VPC, TargetType: wire.Ptr("ip"),
		})
		done(out, err)
		g := out.TargetGroups[0].TargetGroupArn
		done(balancers.ModifyTargetGroupAttributes(ctx, &wireelbv2.ModifyTargetGroupAttributesInput{TargetGroupArn: g, Attributes: []*wireelbv2.TargetGroupAttribute{
			{Key: wire.Ptr("deregistration_delay.timeout_seconds"), Value: wire.Ptr("1")},
		}}))
		done(balancers.CreateListener(ctx, &wireelbv2.CreateListenerInput{LoadBalancerArn: &balancer, Protocol: &protocol, Port: wire.Ptr(int64(80)), DefaultActions: []*wireelbv2.Action{
			{Type: wire.Ptr("forward"), TargetGroupArn: g},
		}}))
		done(balancers.RegisterTargets(ctx, &wireelbv2.RegisterTargetsInput{TargetGroupArn: g, Targets: targets}))
		return *g
	}
	late, early := group(row.ARN, "HTTP"), group(network, "TCP")

	heard := make(chan struct{})
	p.subscribe(albRole(row.Zones[0].Interface), func(context.Context) {})
	var hold atomic.Bool // what the second node is given from now on
	p.subscribe(albRole(row.Zones[1].Interface), func(ctx context.Context) {
		if hold.Load() {
			select {
			case <-heard:
			case <-ctx.Done():
			}
		}
	})
	p.until("the balancer is active", func(s *store.Snapshot) bool {
		l, _ := store.LoadBalancers.Get(s, row.ARN)
		return l.State == "active"
	})

	hold.Store(true)
	left := func(s store.Reader, arn string) []resource.Target {
		g, _ := store.TargetGroups.Get(s, arn)
		return g.Targets
	}
	for _, arn := range []string{late, early} {
		done(balancers.DeregisterTargets(ctx, &wireelbv2.DeregisterTargetsInput{TargetGroupArn: &arn, Targets: targets}))
	}
	// The other balancer's target, which was deregistered later, has nobody to wait for.
	p.until("the other target is gone", func(s *store.Snapshot) bool { return len(left(s, early)) == 0 })
	if l := left(p.db.View(), late); len(l) != 1 || l[0].DrainingSeconds != 1 {
		t.Fatalf("before one of the nodes knows: %+v", l)
	}
	close(heard)
	begin := time.Now()
	p.until("the target is gone", func(s *store.Snapshot) bool { return len(left(s, late)) == 0 })
	if took := time.Since(begin); took < time.Second {
		t.Errorf("the target is gone %v after both nodes knew, want a second at least", took)
	}
}
