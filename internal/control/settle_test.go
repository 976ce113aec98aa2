package control

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/service/ec2"
	"github.com/isthmus-net/isthmus/internal/service/elbv2"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	wireec2 "github.com/isthmus-net/isthmus/internal/wire/ec2"
	wireelbv2 "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestDeregistrationDelayBeginsAtTheNodes: the delay of a target that a node
// still gives requests has not begun.
func TestDeregistrationDelayBeginsAtTheNodes(t *testing.T) {
	p := newPlant(t)
	for range cap(p.gate) {
		p.gate <- struct{}{}
	}
	ctx := wire.WithCaller(t.Context(), wire.Caller{Account: account, Region: region})
	_, subnet := p.balancer()
	first, _ := store.Subnets.Get(p.db.View(), subnet)
	second := must(ec2.New(p.db).CreateSubnet(ctx, &wireec2.CreateSubnetInput{VpcId: &first.VPC, CidrBlock: wire.Ptr("10.0.2.0/24"), AvailabilityZone: wire.Ptr("us-east-1a")}))(t)
	balancers := elbv2.New(p.db, elbv2.Options{})
	lb := must(balancers.CreateLoadBalancer(ctx, &wireelbv2.CreateLoadBalancerInput{
		Name: wire.Ptr("app"), Scheme: wire.Ptr("internal"), Subnets: []string{subnet, *second.Subnet.SubnetId},
	}))(t).LoadBalancers[0].LoadBalancerArn
	group := must(balancers.CreateTargetGroup(ctx, &wireelbv2.CreateTargetGroupInput{
		Name: wire.Ptr("tg"), Protocol: wire.Ptr("HTTP"), Port: wire.Ptr(int64(80)), VpcId: &first.VPC, TargetType: wire.Ptr("ip"),
	}))(t).TargetGroups[0].TargetGroupArn
	must(balancers.ModifyTargetGroupAttributes(ctx, &wireelbv2.ModifyTargetGroupAttributesInput{TargetGroupArn: group, Attributes: []*wireelbv2.TargetGroupAttribute{
		{Key: wire.Ptr("deregistration_delay.timeout_seconds"), Value: wire.Ptr("1")},
	}}))(t)
	must(balancers.CreateListener(ctx, &wireelbv2.CreateListenerInput{LoadBalancerArn: lb, Protocol: wire.Ptr("HTTP"), Port: wire.Ptr(int64(80)), DefaultActions: []*wireelbv2.Action{
		{Type: wire.Ptr("forward"), TargetGroupArn: group},
	}}))(t)
	targets := []*wireelbv2.TargetDescription{{Id: wire.Ptr("10.0.1.9")}}
	must(balancers.RegisterTargets(ctx, &wireelbv2.RegisterTargetsInput{TargetGroupArn: group, Targets: targets}))(t)

	row, _ := store.LoadBalancers.Get(p.db.View(), *lb)
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
		l, _ := store.LoadBalancers.Get(s, *lb)
		return l.State == "active"
	})

	hold.Store(true)
	must(balancers.DeregisterTargets(ctx, &wireelbv2.DeregisterTargetsInput{TargetGroupArn: group, Targets: targets}))(t)
	find := func(r store.Reader) []resource.Target {
		g, _ := store.TargetGroups.Get(r, *group)
		return g.Targets
	}
	// The time that is waited here is more than the delay.
	time.Sleep(time.Until(time.Unix(find(p.db.View())[0].DrainingUntil, 0)) + 100*time.Millisecond)
	if left := find(p.db.View()); len(left) != 1 || left[0].DrainingSeconds != 1 {
		t.Fatalf("before one of the nodes knows: %+v", left)
	}
	close(heard)
	begin := time.Now()
	p.until("the target is gone", func(s *store.Snapshot) bool { return len(find(s)) == 0 })
	if took := time.Since(begin); took < time.Second {
		t.Errorf("the target is gone %v after both nodes knew, want a second at least", took)
	}
}
