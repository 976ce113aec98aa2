package elbv2

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// targets reads descriptions of the form ID, ID:PORT or ID:PORT@ZONE.
func targets(texts ...string) (list []*api.TargetDescription) {
	for _, text := range texts {
		d := &api.TargetDescription{}
		text, zone, hasZone := strings.Cut(text, "@")
		if hasZone {
			d.AvailabilityZone = &zone
		}
		id, port, hasPort := strings.Cut(text, ":")
		d.Id = &id
		if hasPort {
			var n int64
			fmt.Sscan(port, &n)
			d.Port = &n
		}
		list = append(list, d)
	}
	return list
}

func (f *fixture) register(g *api.TargetGroup, texts ...string) {
	f.t.Helper()
	must[*api.RegisterTargetsOutput](f.t)(f.RegisterTargets(f.ctx, &api.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: targets(texts...)}))
}

func (f *fixture) deregister(g *api.TargetGroup, texts ...string) {
	f.t.Helper()
	must[*api.DeregisterTargetsOutput](f.t)(f.DeregisterTargets(f.ctx, &api.DeregisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: targets(texts...)}))
}

// setHealth stores what a health checker would have found.
func (f *fixture) setHealth(g *api.TargetGroup, id, state string) {
	f.t.Helper()
	f.update(func(tx *store.Tx) error {
		row := &resource.TargetHealth{TargetGroup: *g.TargetGroupArn, Target: id, Port: int(*g.Port), State: state}
		if state == "unhealthy" {
			row.Reason, row.Description = "Target.Timeout", "Request timed out"
		}
		store.TargetHealth.Put(tx, row)
		return nil
	})
}

// health describes all targets as "ID:PORT@ZONE state reason".
func (f *fixture) health(g *api.TargetGroup, texts ...string) (got []string) {
	f.t.Helper()
	out := must[*api.DescribeTargetHealthOutput](f.t)(f.DescribeTargetHealth(f.ctx, &api.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn, Targets: targets(texts...)}))
	for _, d := range out.TargetHealthDescriptions {
		line := fmt.Sprintf("%s:%d", *d.Target.Id, *d.Target.Port)
		if z := d.Target.AvailabilityZone; z != nil {
			line += "@" + *z
		}
		line += " " + *d.TargetHealth.State
		if r := d.TargetHealth.Reason; r != nil {
			line += " " + *r
		}
		got = append(got, line)
	}
	return got
}

func (f *fixture) wantHealth(g *api.TargetGroup, want ...string) {
	f.t.Helper()
	if got := f.health(g); !slices.Equal(got, want) {
		f.t.Errorf("health = %q, want %q", got, want)
	}
}

func TestTargetsThroughTheirLife(t *testing.T) {
	f := newFixture(t)
	g := f.group("g")
	f.register(g, "10.0.1.9", "10.0.1.9:8080", "10.0.2.9")
	f.register(g, "10.0.1.9")
	const unused = " unused Target.NotInUse"
	f.wantHealth(g, "10.0.1.9:80@us-east-1a"+unused, "10.0.1.9:8080@us-east-1a"+unused, "10.0.2.9:80@us-east-1b"+unused)

	lb := f.balancer("web")
	f.listener(lb.LoadBalancerArn, g.TargetGroupArn, 80)
	const starts = " initial Elb.RegistrationInProgress"
	f.wantHealth(g, "10.0.1.9:80@us-east-1a"+starts, "10.0.1.9:8080@us-east-1a"+starts, "10.0.2.9:80@us-east-1b"+unused)

	// With cross-zone load balancing targets of all zones are used.
	cross := func(on string) {
		must[*api.ModifyLoadBalancerAttributesOutput](t)(f.ModifyLoadBalancerAttributes(f.ctx, &api.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: lb.LoadBalancerArn, Attributes: []*api.LoadBalancerAttribute{{Key: wire.Ptr(crossZoneKey), Value: &on}},
		}))
	}
	cross("true")
	f.setHealth(g, "10.0.1.9", "healthy")
	f.setHealth(g, "10.0.2.9", "unhealthy")
	f.wantHealth(g, "10.0.1.9:80@us-east-1a healthy", "10.0.1.9:8080@us-east-1a"+starts, "10.0.2.9:80@us-east-1b unhealthy Target.Timeout")

	f.deregister(g, "10.0.1.9", "10.0.2.9:80", "10.9.9.9")
	f.wantHealth(g, "10.0.1.9:80@us-east-1a draining Target.DeregistrationInProgress", "10.0.1.9:8080@us-east-1a"+starts, "10.0.2.9:80@us-east-1b draining Target.DeregistrationInProgress")
	row := must2(store.TargetGroups.Get(f.db.View(), *g.TargetGroupArn)).Targets[0]
	if left := time.Until(time.Unix(row.DrainingUntil, 0)); left < 295*time.Second || left > 301*time.Second {
		t.Errorf("draining ends in %v, want five minutes", left)
	}
	f.deregister(g, "10.0.1.9")
	if again := must2(store.TargetGroups.Get(f.db.View(), *g.TargetGroupArn)).Targets[0]; again.DrainingUntil != row.DrainingUntil {
		t.Error("deregistering a draining target again prolongs its draining")
	}

	// Registered again it is a new target.
	f.register(g, "10.0.1.9")
	f.wantHealth(g, "10.0.1.9:80@us-east-1a"+starts, "10.0.1.9:8080@us-east-1a"+starts, "10.0.2.9:80@us-east-1b draining Target.DeregistrationInProgress")
	if anew := must2(store.TargetGroups.Get(f.db.View(), *g.TargetGroupArn)).Targets[0]; anew.Registered <= row.Registered {
		t.Errorf("registered at %d, and again at %d", row.Registered, anew.Registered)
	}

	// Without a delay it is gone at once.
	must[*api.ModifyTargetGroupAttributesOutput](t)(f.ModifyTargetGroupAttributes(f.ctx, &api.ModifyTargetGroupAttributesInput{
		TargetGroupArn: g.TargetGroupArn, Attributes: []*api.TargetGroupAttribute{{Key: wire.Ptr("deregistration_delay.timeout_seconds"), Value: wire.Ptr("0")}},
	}))
	f.setHealth(g, "10.0.1.9", "healthy")
	f.deregister(g, "10.0.1.9", "10.0.2.9")
	f.wantHealth(g, "10.0.1.9:8080@us-east-1a"+starts)
	if n := len(slices.Collect(store.TargetHealth.Scan(f.db.View()))); n != 0 {
		t.Errorf("%d health rows of deregistered targets are left", n)
	}
}

func TestUnusedGroupsDoNotDrain(t *testing.T) {
	f := newFixture(t)
	g := f.group("g")
	f.register(g, "10.0.1.9", "10.0.1.10")
	f.deregister(g, "10.0.1.9")
	f.wantHealth(g, "10.0.1.10:80@us-east-1a unused Target.NotInUse")
}

func TestDescribeTargetHealthOfSome(t *testing.T) {
	f := newFixture(t)
	g := f.group("g", func(in *api.CreateTargetGroupInput) { in.HealthCheckPort = wire.Ptr("9000") })
	f.register(g, "10.0.1.9", "10.0.1.10")
	want := []string{"10.0.1.10:80@us-east-1a unused Target.NotInUse", "10.0.1.9:81 unused Target.NotRegistered"}
	if got := f.health(g, "10.0.1.10", "10.0.1.9:81"); !slices.Equal(got, want) {
		t.Errorf("health = %q, want %q", got, want)
	}
	out := must[*api.DescribeTargetHealthOutput](t)(f.DescribeTargetHealth(f.ctx, &api.DescribeTargetHealthInput{TargetGroupArn: g.TargetGroupArn}))
	if port := *out.TargetHealthDescriptions[0].HealthCheckPort; port != "9000" {
		t.Errorf("health check port = %s", port)
	}
}

func TestAddressTargets(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct{ target, zone, code, text string }{
		{"10.0.2.9", "us-east-1b", "", ""},
		{"10.0.2.9@us-east-1b", "us-east-1b", "", ""},
		{"192.168.1.1@all", "all", "", ""},
		{"100.64.3.4@us-east-1c", "us-east-1c", "", ""},
		{"10.0.200.1@all", "all", "", ""}, // within the VPC's range, but in no subnet
		{"10.0.2.9@all", "", "ValidationError", "The IP address '10.0.2.9' is within the VPC, and cannot have its Availability Zone overridden to 'all' from 'us-east-1b'"},
		{"192.168.1.1", "", "ValidationError", "The Availability Zone is required for IP address '192.168.1.1' because it is not in the VPC"},
		{"192.168.1.1@us-east-1f", "", "ValidationError", "You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, since the IP address '192.168.1.1' is outside the VPC"},
		{"8.8.8.8@all", "", "ValidationError", "8.8.8.8"},
		{"127.0.0.1@all", "", "ValidationError", "127.0.0.1"},
		{"i-0123456789abcdef0", "", "ValidationError", "is not a valid IPv4 address"},
		{"010.0.0.1", "", "ValidationError", "is not a valid IPv4 address"},
	} {
		t.Run(c.target, func(t *testing.T) {
			g := f.group("g")
			_, err := f.RegisterTargets(f.ctx, &api.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: targets(c.target)})
			if c.code != "" {
				wantError(t, err, c.code, c.text)
			} else if err != nil {
				t.Error(err)
			} else if got := must2(store.TargetGroups.Get(f.db.View(), *g.TargetGroupArn)).Targets[0].Zone; got != c.zone {
				t.Errorf("zone = %s, want %s", got, c.zone)
			}
			must[*api.DeleteTargetGroupOutput](t)(f.DeleteTargetGroup(f.ctx, &api.DeleteTargetGroupInput{TargetGroupArn: g.TargetGroupArn}))
		})
	}
}

// instance makes an instance in a subnet.
func (f *fixture) instance(subnet string) string {
	id := vpc.NewID("i")
	f.update(func(tx *store.Tx) error {
		eni, err := vpc.CreateInterface(tx, vpc.InterfaceSpec{Account: account, Region: region, Subnet: subnet})
		if err != nil {
			return err
		}
		store.Instances.Put(tx, &resource.Instance{Meta: resource.Meta{Account: account, Region: region}, ID: id, Interface: eni.ID})
		return nil
	})
	return id
}

func TestInstanceTargets(t *testing.T) {
	f := newFixture(t)
	g := f.group("g", func(in *api.CreateTargetGroupInput) { in.TargetType = nil })
	f.listener(f.balancer("web").LoadBalancerArn, g.TargetGroupArn, 80)
	id, stranger := f.instance(f.subA.ID), f.instance(f.other.ID)
	f.register(g, id)
	row := must2(store.TargetGroups.Get(f.db.View(), *g.TargetGroupArn)).Targets[0]
	if row.Zone != "us-east-1a" || row.Address != netip.MustParseAddr("10.0.1.5") {
		// The first address that is free beside the load balancer's.
		t.Errorf("target = %+v", row)
	}
	f.wantHealth(g, id+":80 initial Elb.RegistrationInProgress")
	for target, c := range map[string]struct{ code, text string }{
		"i-1":              {"InvalidTarget", "'i-1'"},
		stranger:           {"InvalidTarget", "The following targets are not in the target group VPC '" + f.vpc.ID + "': '" + stranger + "'"},
		id + "@us-east-1a": {"ValidationError", "Availability Zone"},
	} {
		_, err := f.RegisterTargets(f.ctx, &api.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: targets(target)})
		wantError(t, err, c.code, c.text)
	}
	f.update(func(tx *store.Tx) error { store.Instances.Delete(tx, id); return nil })
	f.wantHealth(g, id+":80 unused Target.InvalidState")
}

func TestTooManyTargets(t *testing.T) {
	f := newFixture(t)
	g := f.group("g")
	var many []string
	for port := range maxTargets {
		many = append(many, fmt.Sprintf("10.0.1.9:%d", port+1))
	}
	f.register(g, many...)
	f.register(g, many[0])
	_, err := f.RegisterTargets(f.ctx, &api.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn, Targets: targets("10.0.1.10")})
	wantError(t, err, "TooManyTargets", "1000")
	_, err = f.RegisterTargets(f.ctx, &api.RegisterTargetsInput{TargetGroupArn: g.TargetGroupArn})
	wantError(t, err, "ValidationError", "target")
}
