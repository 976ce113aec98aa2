package elbv2

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

func TestCreateLoadBalancer(t *testing.T) {
	f := newFixture(t)
	lb := f.balancer("web", func(in *api.CreateLoadBalancerInput) {
		in.Subnets = nil
		in.SubnetMappings = []*api.SubnetMapping{
			{SubnetId: &f.subA.ID, PrivateIPv4Address: wire.Ptr("10.0.1.77")}, {SubnetId: &f.subB.ID},
		}
		in.SecurityGroups = []string{f.groupA.ID, f.groupA.ID}
		in.Tags = []*api.Tag{{Key: wire.Ptr("k"), Value: wire.Ptr("v")}}
	})
	arn := regexp.MustCompile(`^arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/net/web/([0-9a-f]{16})$`).FindStringSubmatch(*lb.LoadBalancerArn)
	if arn == nil {
		t.Fatalf("ARN = %s", *lb.LoadBalancerArn)
	}
	if want := "web-" + arn[1] + ".elb.us-east-1.amazonaws.com"; *lb.DNSName != want {
		t.Errorf("DNS name = %s, want %s", *lb.DNSName, want)
	}
	if *lb.State.Code != "provisioning" || *lb.Scheme != "internal" || *lb.Type != "network" || *lb.IpAddressType != "ipv4" ||
		*lb.VpcId != f.vpc.ID || *lb.CanonicalHostedZoneId != "Z26RNL4JYFTOTI" || time.Since(*lb.CreatedTime) > time.Minute ||
		!slices.Equal(lb.SecurityGroups, []string{f.groupA.ID}) || *lb.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != "on" {
		t.Errorf("load balancer = %+v", lb)
	}
	a, b := lb.AvailabilityZones[0], lb.AvailabilityZones[1]
	if *a.ZoneName != "us-east-1a" || *a.SubnetId != f.subA.ID || *a.LoadBalancerAddresses[0].PrivateIPv4Address != "10.0.1.77" ||
		*b.ZoneName != "us-east-1b" || len(b.LoadBalancerAddresses) != 0 {
		t.Errorf("zones = %+v, %+v", a, b)
	}

	// What it is made of: an interface a zone, and one each for health checks.
	view := f.db.View()
	service, _ := vpc.ServiceVPC(view, region)
	row, _ := store.LoadBalancers.Get(view, *lb.LoadBalancerArn)
	for i, z := range row.Zones {
		node, ok := store.NetworkInterfaces.Get(view, z.Interface)
		if !ok {
			t.Fatalf("zone %s has no interface", z.Zone)
		}
		if node.Account != account || node.Type != resource.InterfaceNLB || node.Requester != "amazon-elb" ||
			node.Description != "ELB net/web/"+arn[1] || node.Owner != row.ARN || !slices.Equal(node.Groups, []string{f.groupA.ID}) ||
			node.Addresses[0] != z.Address || node.NAT != "" {
			t.Errorf("interface of zone %d = %+v", i, node)
		}
		health, ok := store.NetworkInterfaces.Get(view, z.HealthInterface)
		if !ok || health.NAT != z.Interface || health.Carrier != service.Health.ID || health.VPC != service.VPC.ID ||
			health.Account != vpc.ServiceAccount(region) || len(health.Groups) != 0 {
			t.Errorf("health interface of zone %d = %+v", i, health)
		}
	}
	if row.Zones[0].Address != netip.MustParseAddr("10.0.1.77") {
		t.Errorf("address = %s", row.Zones[0].Address)
	}
}

func TestCreateLoadBalancerIsIdempotent(t *testing.T) {
	f := newFixture(t)
	settings := func(in *api.CreateLoadBalancerInput) {
		in.Subnets = []string{f.subA.ID, f.subB.ID}
		in.SecurityGroups = []string{f.groupA.ID, f.groupB.ID}
		in.Tags = []*api.Tag{{Key: wire.Ptr("k"), Value: wire.Ptr("v")}}
	}
	first := f.balancer("web", settings)
	again := f.balancer("web", settings, func(in *api.CreateLoadBalancerInput) {
		slices.Reverse(in.Subnets)
		slices.Reverse(in.SecurityGroups)
	})
	if *again.LoadBalancerArn != *first.LoadBalancerArn {
		t.Errorf("the same request made %s and %s", *first.LoadBalancerArn, *again.LoadBalancerArn)
	}
	for name, change := range map[string]func(*api.CreateLoadBalancerInput){
		"fewer subnets": func(in *api.CreateLoadBalancerInput) { in.Subnets = in.Subnets[:1] },
		"no groups":     func(in *api.CreateLoadBalancerInput) { in.SecurityGroups = nil },
		"other tags":    func(in *api.CreateLoadBalancerInput) { in.Tags[0].Value = wire.Ptr("w") },
		"an address": func(in *api.CreateLoadBalancerInput) {
			in.Subnets = nil
			in.SubnetMappings = []*api.SubnetMapping{{SubnetId: &f.subA.ID, PrivateIPv4Address: wire.Ptr("10.0.1.99")}, {SubnetId: &f.subB.ID}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateLoadBalancer(f.ctx, f.balancerInput("web", settings, change))
			wantError(t, err, "DuplicateLoadBalancerName", "A load balancer with the same name 'web' exists, but with different settings")
		})
	}
	if n := len(slices.Collect(store.LoadBalancers.Scan(f.db.View()))); n != 1 {
		t.Errorf("%d load balancers", n)
	}
	// In another account the name is free.
	elsewhere := wire.WithCaller(f.ctx, wire.Caller{Account: "222222222222", Region: region})
	_, err := f.CreateLoadBalancer(elsewhere, f.balancerInput("web", settings))
	wantError(t, err, "SubnetNotFound", f.subA.ID)
}

func TestCreateLoadBalancerRefuses(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		change     func(*api.CreateLoadBalancerInput)
		code, text string
	}{
		"no type":         {func(in *api.CreateLoadBalancerInput) { in.Type = nil }, "ValidationError", "At least two subnets in two different Availability Zones must be specified"},
		"application":     {func(in *api.CreateLoadBalancerInput) { in.Type = wire.Ptr("application") }, "ValidationError", "At least two subnets in two different Availability Zones must be specified"},
		"gateway":         {func(in *api.CreateLoadBalancerInput) { in.Type = wire.Ptr("gateway") }, "InvalidConfigurationRequest", "'gateway'"},
		"no scheme":       {func(in *api.CreateLoadBalancerInput) { in.Scheme = nil }, "InvalidScheme", "no internet side"},
		"internet-facing": {func(in *api.CreateLoadBalancerInput) { in.Scheme = wire.Ptr("internet-facing") }, "InvalidScheme", "no internet side"},
		"dualstack":       {func(in *api.CreateLoadBalancerInput) { in.IpAddressType = wire.Ptr("dualstack") }, "InvalidConfigurationRequest", "dualstack"},
		"long name":       {func(in *api.CreateLoadBalancerInput) { in.Name = wire.Ptr("a23456789012345678901234567890123") }, "ValidationError", "cannot be longer than '32' characters"},
		"bad name":        {func(in *api.CreateLoadBalancerInput) { in.Name = wire.Ptr("a_b") }, "ValidationError", "alphanumeric characters or hyphens"},
		"hyphen":          {func(in *api.CreateLoadBalancerInput) { in.Name = wire.Ptr("a-") }, "ValidationError", "cannot begin or end with '-'"},
		"internal- name":  {func(in *api.CreateLoadBalancerInput) { in.Name = wire.Ptr("internal-a") }, "ValidationError", "internal-"},
		"no subnets":      {func(in *api.CreateLoadBalancerInput) { in.Subnets = nil }, "ValidationError", "subnets"},
		"both": {func(in *api.CreateLoadBalancerInput) {
			in.SubnetMappings = []*api.SubnetMapping{{SubnetId: &f.subA.ID}}
		}, "ValidationError", "subnets"},
		"unknown subnet": {func(in *api.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-1"} }, "SubnetNotFound", "The subnet ID 'subnet-1' does not exist"},
		"same zone": {func(in *api.CreateLoadBalancerInput) { in.Subnets = []string{f.subA.ID, f.subA2.ID} }, "InvalidConfigurationRequest",
			"A load balancer cannot be attached to multiple subnets in the same Availability Zone"},
		"two VPCs":      {func(in *api.CreateLoadBalancerInput) { in.Subnets = []string{f.subA.ID, f.other.ID} }, "InvalidConfigurationRequest", "same VPC"},
		"unknown group": {func(in *api.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-1"} }, "InvalidSecurityGroup", "sg-1"},
		"elastic address": {func(in *api.CreateLoadBalancerInput) {
			in.Subnets, in.SubnetMappings = nil, []*api.SubnetMapping{{SubnetId: &f.subA.ID, AllocationId: wire.Ptr("eipalloc-1")}}
		}, "InvalidConfigurationRequest", "allocation"},
		"address outside": {func(in *api.CreateLoadBalancerInput) {
			in.Subnets, in.SubnetMappings = nil, []*api.SubnetMapping{{SubnetId: &f.subA.ID, PrivateIPv4Address: wire.Ptr("10.0.2.9")}}
		}, "InvalidConfigurationRequest", "subnet's address range"},
		"reserved tag": {func(in *api.CreateLoadBalancerInput) { in.Tags = []*api.Tag{{Key: wire.Ptr("aws:x")}} }, "ValidationError", "aws:"},
		"repeated tag": {func(in *api.CreateLoadBalancerInput) {
			in.Tags = []*api.Tag{{Key: wire.Ptr("x")}, {Key: wire.Ptr("x")}}
		}, "DuplicateTagKeys", "'x'"},
		"too many tags": {func(in *api.CreateLoadBalancerInput) { in.Tags = manyTags(51) }, "TooManyTags", "50"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateLoadBalancer(f.ctx, f.balancerInput("web", c.change))
			wantError(t, err, c.code, c.text)
		})
	}
	view := f.db.View()
	if n := len(slices.Collect(store.LoadBalancers.Scan(view))) + len(slices.Collect(store.NetworkInterfaces.Scan(view))); n != 0 {
		t.Errorf("refused requests left %d rows", n)
	}
}

func manyTags(n int) (tags []*api.Tag) {
	for i := range n {
		tags = append(tags, &api.Tag{Key: wire.Ptr(fmt.Sprint("k", i)), Value: wire.Ptr("")})
	}
	return tags
}

func TestDescribeLoadBalancers(t *testing.T) {
	f := newFixture(t)
	names := []string{"a", "a-b", "b", "c", "d"}
	var arns []string
	for _, n := range names {
		arns = append(arns, *f.balancer(n).LoadBalancerArn)
	}
	collect := func(in api.DescribeLoadBalancersInput) (got []string, pages int) {
		for {
			out := must[*api.DescribeLoadBalancersOutput](t)(f.DescribeLoadBalancers(f.ctx, &in))
			pages++
			for _, lb := range out.LoadBalancers {
				got = append(got, *lb.LoadBalancerName)
			}
			if out.NextMarker == nil {
				slices.Sort(got)
				return got, pages
			}
			in.Marker = out.NextMarker
		}
	}
	if got, pages := collect(api.DescribeLoadBalancersInput{}); !slices.Equal(got, names) || pages != 1 {
		t.Errorf("all: %v on %d pages", got, pages)
	}
	if got, pages := collect(api.DescribeLoadBalancersInput{PageSize: wire.Ptr(int64(2))}); !slices.Equal(got, names) || pages != 3 {
		t.Errorf("by two: %v on %d pages", got, pages)
	}
	if got, _ := collect(api.DescribeLoadBalancersInput{Names: []string{"a", "c"}}); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("by name: %v", got)
	}
	if got, _ := collect(api.DescribeLoadBalancersInput{LoadBalancerArns: []string{arns[1], arns[1]}}); !slices.Equal(got, []string{"a-b"}) {
		t.Errorf("by ARN: %v", got)
	}

	missing := arns[0][:len(arns[0])-1] + "x"
	for _, c := range []struct {
		in         api.DescribeLoadBalancersInput
		code, text string
	}{
		{api.DescribeLoadBalancersInput{Names: []string{"none"}}, "LoadBalancerNotFound", "Load balancers '[none]' not found"},
		{api.DescribeLoadBalancersInput{LoadBalancerArns: []string{missing}}, "ValidationError", "'" + missing + "' is not a valid load balancer ARN"},
		{api.DescribeLoadBalancersInput{LoadBalancerArns: []string{"arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/net/a/0123456789abcdef"}}, "LoadBalancerNotFound", "One or more load balancers not found"},
		{api.DescribeLoadBalancersInput{LoadBalancerArns: []string{"arn:aws:elasticloadbalancing:eu-west-1:111111111111:loadbalancer/net/a/0123456789abcdef"}}, "ValidationError", "is not a valid load balancer ARN"},
		{api.DescribeLoadBalancersInput{LoadBalancerArns: arns[:1], Names: names[:1]}, "ValidationError", "at the same time"},
		{api.DescribeLoadBalancersInput{Marker: wire.Ptr("!")}, "ValidationError", "marker"},
	} {
		_, err := f.DescribeLoadBalancers(f.ctx, &c.in)
		wantError(t, err, c.code, c.text)
	}
	elsewhere := wire.WithCaller(f.ctx, wire.Caller{Account: "222222222222", Region: region})
	if out := must[*api.DescribeLoadBalancersOutput](t)(f.DescribeLoadBalancers(elsewhere, &api.DescribeLoadBalancersInput{})); len(out.LoadBalancers) != 0 {
		t.Errorf("another account sees %d load balancers", len(out.LoadBalancers))
	}
}

func TestDeleteLoadBalancer(t *testing.T) {
	f := newFixture(t)
	lb := f.balancer("web", func(in *api.CreateLoadBalancerInput) { in.Subnets = append(in.Subnets, f.subB.ID) })
	keep := f.balancer("web-2")
	group, kept := f.group("one"), f.group("two")
	f.listener(lb.LoadBalancerArn, group.TargetGroupArn, 80)
	listener := f.listener(keep.LoadBalancerArn, kept.TargetGroupArn, 80)
	free := vpc.FreeAddresses(must2(store.Subnets.Get(f.db.View(), f.subB.ID)))

	f.update(func(tx *store.Tx) error {
		_, err := vpc.CreateEndpointService(tx, vpc.ServiceSpec{Account: account, Region: region, LoadBalancers: []string{*lb.LoadBalancerArn}})
		return err
	})
	remove := &api.DeleteLoadBalancerInput{LoadBalancerArn: lb.LoadBalancerArn}
	_, err := f.DeleteLoadBalancer(f.ctx, remove)
	wantError(t, err, "ResourceInUse", "Load balancer '"+*lb.LoadBalancerArn+"' cannot be deleted because it is currently associated with another service")
	f.update(func(tx *store.Tx) error {
		for s := range store.EndpointServices.Scan(f.db.View()) {
			if len(s.LoadBalancers) > 0 {
				return vpc.DeleteEndpointService(tx, s.ID)
			}
		}
		return nil
	})

	protect := func(on string) {
		must[*api.ModifyLoadBalancerAttributesOutput](t)(f.ModifyLoadBalancerAttributes(f.ctx, &api.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: lb.LoadBalancerArn,
			Attributes:      []*api.LoadBalancerAttribute{{Key: wire.Ptr("deletion_protection.enabled"), Value: &on}},
		}))
	}
	protect("true")
	_, err = f.DeleteLoadBalancer(f.ctx, remove)
	wantError(t, err, "OperationNotPermitted", "deletion protection")
	protect("false")

	for range 2 { // the second time there is nothing to delete, which is fine
		must[*api.DeleteLoadBalancerOutput](t)(f.DeleteLoadBalancer(f.ctx, remove))
	}
	view := f.db.View()
	if l := slices.Collect(store.Listeners.Scan(view)); len(l) != 1 || l[0].ARN != *listener.ListenerArn {
		t.Errorf("listeners left: %v", l)
	}
	for n := range store.NetworkInterfaces.Scan(view) {
		if n.Owner == *lb.LoadBalancerArn {
			t.Errorf("interface %s is left", n.ID)
		}
	}
	if now := vpc.FreeAddresses(must2(store.Subnets.Get(view, f.subB.ID))); now != free+1 {
		t.Errorf("%d addresses free, before the deletion %d", now, free)
	}
	must[*api.DeleteTargetGroupOutput](t)(f.DeleteTargetGroup(f.ctx, &api.DeleteTargetGroupInput{TargetGroupArn: group.TargetGroupArn}))
}

func must2[T any](v T, ok bool) T {
	if !ok {
		panic("row is missing")
	}
	return v
}

func TestSetSubnets(t *testing.T) {
	f := newFixture(t)
	lb := f.balancer("web")
	before := must2(store.LoadBalancers.Get(f.db.View(), *lb.LoadBalancerArn)).Zones[0]
	setTo := func(subnets ...string) (*api.SetSubnetsOutput, error) {
		return f.SetSubnets(f.ctx, &api.SetSubnetsInput{LoadBalancerArn: lb.LoadBalancerArn, Subnets: subnets})
	}
	out := must[*api.SetSubnetsOutput](t)(setTo(f.subB.ID, f.subA.ID))
	if len(out.AvailabilityZones) != 2 {
		t.Fatalf("zones = %v", out.AvailabilityZones)
	}
	zones := must2(store.LoadBalancers.Get(f.db.View(), *lb.LoadBalancerArn)).Zones
	if !slices.Contains(zones, before) {
		t.Errorf("zones = %v, want the node %v to stay as it was", zones, before)
	}
	_, err := setTo(f.subA2.ID, f.subB.ID)
	wantError(t, err, "InvalidConfigurationRequest", "cannot be changed")
	_, err = setTo(f.other.ID)
	wantError(t, err, "InvalidConfigurationRequest", "same VPC")

	f.update(func(tx *store.Tx) error {
		_, err := vpc.CreateEndpointService(tx, vpc.ServiceSpec{Account: account, Region: region, LoadBalancers: []string{*lb.LoadBalancerArn}})
		return err
	})
	_, err = setTo(f.subB.ID)
	wantError(t, err, "InvalidConfigurationRequest", "endpoint service")
	f.update(func(tx *store.Tx) error {
		for s := range store.EndpointServices.Scan(f.db.View()) {
			if len(s.LoadBalancers) > 0 {
				return vpc.DeleteEndpointService(tx, s.ID)
			}
		}
		return nil
	})
	must[*api.SetSubnetsOutput](t)(setTo(f.subB.ID))
	for _, id := range []string{before.Interface, before.HealthInterface} {
		if _, left := store.NetworkInterfaces.Get(f.db.View(), id); left {
			t.Errorf("interface %s of the removed zone is left", id)
		}
	}
}

func TestSetSecurityGroups(t *testing.T) {
	f := newFixture(t)
	with := f.balancer("with", func(in *api.CreateLoadBalancerInput) { in.SecurityGroups = []string{f.groupA.ID} })
	without := f.balancer("without")
	if without.SecurityGroups != nil || without.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != nil {
		t.Errorf("a load balancer without groups shows %v, %v", without.SecurityGroups, without.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic)
	}
	_, err := f.SetSecurityGroups(f.ctx, &api.SetSecurityGroupsInput{LoadBalancerArn: without.LoadBalancerArn, SecurityGroups: []string{f.groupA.ID}})
	wantError(t, err, "InvalidConfigurationRequest", "You cannot set security groups on a Network Load Balancer which was created without any security groups.")
	_, err = f.SetSecurityGroups(f.ctx, &api.SetSecurityGroupsInput{LoadBalancerArn: with.LoadBalancerArn})
	wantError(t, err, "InvalidConfigurationRequest", "must keep at least one")

	out := must[*api.SetSecurityGroupsOutput](t)(f.SetSecurityGroups(f.ctx, &api.SetSecurityGroupsInput{
		LoadBalancerArn: with.LoadBalancerArn, SecurityGroups: []string{f.groupB.ID},
		EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: wire.Ptr("off"),
	}))
	if !slices.Equal(out.SecurityGroupIds, []string{f.groupB.ID}) || *out.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != "off" {
		t.Errorf("answer = %+v", out)
	}
	row := must2(store.LoadBalancers.Get(f.db.View(), *with.LoadBalancerArn))
	node := must2(store.NetworkInterfaces.Get(f.db.View(), row.Zones[0].Interface))
	if row.EnforceOnPrivateLink || !slices.Equal(node.Groups, []string{f.groupB.ID}) {
		t.Errorf("row = %+v, groups of its interface %v", row, node.Groups)
	}
	// What is not in the request stays.
	must[*api.SetSecurityGroupsOutput](t)(f.SetSecurityGroups(f.ctx, &api.SetSecurityGroupsInput{LoadBalancerArn: with.LoadBalancerArn, SecurityGroups: []string{f.groupA.ID}}))
	if must2(store.LoadBalancers.Get(f.db.View(), *with.LoadBalancerArn)).EnforceOnPrivateLink {
		t.Error("setting the groups alone turned enforcement on")
	}
}

func TestSetIPAddressType(t *testing.T) {
	f := newFixture(t)
	lb := f.balancer("web")
	must[*api.SetIpAddressTypeOutput](t)(f.SetIpAddressType(f.ctx, &api.SetIpAddressTypeInput{LoadBalancerArn: lb.LoadBalancerArn, IpAddressType: wire.Ptr("ipv4")}))
	_, err := f.SetIpAddressType(f.ctx, &api.SetIpAddressTypeInput{LoadBalancerArn: lb.LoadBalancerArn, IpAddressType: wire.Ptr("dualstack")})
	wantError(t, err, "InvalidConfigurationRequest", "dualstack")
}

// Requests that come at the same time make one load balancer, as those that
// come one after the other do.
func TestCreateLoadBalancerConcurrently(t *testing.T) {
	f := newFixture(t)
	arns := make(chan string)
	for range 8 {
		go func() {
			out, err := f.CreateLoadBalancer(f.ctx, f.balancerInput("web"))
			if err != nil {
				arns <- err.Error()
				return
			}
			arns <- *out.LoadBalancers[0].LoadBalancerArn
		}()
	}
	first := <-arns
	for range 7 {
		if arn := <-arns; arn != first {
			t.Errorf("made %s and %s", first, arn)
		}
	}
	if free := vpc.FreeAddresses(must2(store.Subnets.Get(f.db.View(), f.subA.ID))); free != 250 {
		t.Errorf("%d addresses are free, want 250: all but the one of the node", free)
	}
}
