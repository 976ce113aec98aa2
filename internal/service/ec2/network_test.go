package ec2

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

func TestVpc(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct {
		name, code, message string
		in                  ec2.CreateVpcInput
	}{
		{"no range", "MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.", ec2.CreateVpcInput{}},
		{"no CIDR", "InvalidParameterValue", "Value (10.0.0.0) for parameter cidrBlock is invalid. This is not a valid CIDR block.", ec2.CreateVpcInput{CidrBlock: wire.Ptr("10.0.0.0")}},
		{"too large", "InvalidVpc.Range", "The CIDR '10.0.0.0/15' is invalid.", ec2.CreateVpcInput{CidrBlock: wire.Ptr("10.0.0.0/15")}},
		{"IPv6", "UnsupportedOperation", "", ec2.CreateVpcInput{CidrBlock: wire.Ptr("10.0.0.0/16"), AmazonProvidedIpv6CidrBlock: wire.Ptr(true)}},
		{"dedicated", "UnsupportedTenancy", "", ec2.CreateVpcInput{CidrBlock: wire.Ptr("10.0.0.0/16"), InstanceTenancy: wire.Ptr("dedicated")}},
		{"tags of another kind", "InvalidParameterValue", "'subnet' is not a valid taggable resource type for this operation.", ec2.CreateVpcInput{
			CidrBlock: wire.Ptr("10.0.0.0/16"), TagSpecifications: []*ec2.TagSpecification{{ResourceType: wire.Ptr("subnet"), Tags: []*ec2.Tag{{Key: wire.Ptr("a")}}}},
		}},
		{"dry run", "DryRunOperation", "Request would have succeeded, but DryRun flag is set.", ec2.CreateVpcInput{CidrBlock: wire.Ptr("10.0.0.0/16"), DryRun: wire.Ptr(true)}},
	} {
		_, err := f.CreateVpc(f.ctx, &tt.in)
		wantError(t, tt.name, err, tt.code, tt.message)
	}
	if n := len(store.VPCs.List(f.db.View())); n != 0 {
		t.Fatalf("%d VPCs were made by mistake", n)
	}

	id := f.vpc(f.ctx, "100.68.0.18/18")
	out := must[*ec2.DescribeVpcsOutput](t)(f.DescribeVpcs(f.ctx, &ec2.DescribeVpcsInput{VpcIds: []string{id}}))
	if v := out.Vpcs[0]; *v.CidrBlock != "100.68.0.0/18" || *v.State != "available" || *v.OwnerId != testAccount || *v.IsDefault {
		t.Errorf("got %+v", v)
	}
	for _, a := range []struct {
		name   string
		change ec2.ModifyVpcAttributeInput
		before bool
		get    func(*ec2.DescribeVpcAttributeOutput) *ec2.AttributeBooleanValue
	}{
		{"enableDnsSupport", ec2.ModifyVpcAttributeInput{EnableDnsSupport: &ec2.AttributeBooleanValue{Value: wire.Ptr(false)}}, true,
			func(o *ec2.DescribeVpcAttributeOutput) *ec2.AttributeBooleanValue { return o.EnableDnsSupport }},
		{"enableDnsHostnames", ec2.ModifyVpcAttributeInput{EnableDnsHostnames: &ec2.AttributeBooleanValue{Value: wire.Ptr(true)}}, false,
			func(o *ec2.DescribeVpcAttributeOutput) *ec2.AttributeBooleanValue { return o.EnableDnsHostnames }},
	} {
		get := func() bool {
			out := must[*ec2.DescribeVpcAttributeOutput](t)(f.DescribeVpcAttribute(f.ctx, &ec2.DescribeVpcAttributeInput{VpcId: &id, Attribute: &a.name}))
			return *a.get(out).Value
		}
		if get() != a.before {
			t.Errorf("%s is %v at first", a.name, get())
		}
		a.change.VpcId = &id
		must[*ec2.ModifyVpcAttributeOutput](t)(f.ModifyVpcAttribute(f.ctx, &a.change))
		if get() == a.before {
			t.Errorf("%s did not change", a.name)
		}
	}
	must[*ec2.DeleteVpcOutput](t)(f.DeleteVpc(f.ctx, &ec2.DeleteVpcInput{VpcId: &id}))
	r := f.db.View()
	if left := len(store.RouteTables.List(r)) + len(store.SecurityGroups.List(r)) + len(store.SecurityGroupRules.List(r)); left != 0 {
		t.Errorf("%d resources are left of the VPC", left)
	}
}

// TestAbsent checks the codes and messages for ids that do not exist, and that
// other accounts and regions do not exist either.
func TestAbsent(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	s := f.subnet(f.ctx, v, "10.0.0.0/24", "a")
	n := f.eni(f.ctx, s)
	elsewhere := wire.WithCaller(t.Context(), wire.Caller{Account: testAccount, Region: "eu-west-1"})
	for _, ctx := range []context.Context{f.other, elsewhere} {
		_, err := f.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{v}})
		wantError(t, "vpc", err, "InvalidVpcID.NotFound", "The vpc ID '"+v+"' does not exist")
		_, err = f.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{v, "vpc-1", v}})
		wantError(t, "vpcs", err, "InvalidVpcID.NotFound", "The vpc IDs '"+v+", vpc-1' do not exist")
		_, err = f.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &s})
		wantError(t, "subnet", err, "InvalidSubnetID.NotFound", "The subnet ID '"+s+"' does not exist")
		_, err = f.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &n})
		wantError(t, "interface", err, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '"+n+"' does not exist")
		_, err = f.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{v}, Tags: []*ec2.Tag{{Key: wire.Ptr("a"), Value: wire.Ptr("b")}}})
		wantError(t, "tags", err, "InvalidVpcID.NotFound", "")
		out := must[*ec2.DescribeNetworkInterfacesOutput](t)(f.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{}))
		if len(out.NetworkInterfaces) != 0 {
			t.Error("another account or region sees the interface")
		}
	}
	for name, call := range map[string]func() error{
		"InvalidGroup.NotFound: The security group 'sg-1' does not exist": func() error {
			_, err := f.DescribeSecurityGroups(f.ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{"sg-1"}})
			return err
		},
		"InvalidSecurityGroupRuleId.NotFound: The security group rule ID 'sgr-1' does not exist": func() error {
			_, err := f.DescribeSecurityGroupRules(f.ctx, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{"sgr-1"}})
			return err
		},
		"InvalidRouteTableID.NotFound: The routeTable ID 'rtb-1' does not exist": func() error {
			_, err := f.DescribeRouteTables(f.ctx, &ec2.DescribeRouteTablesInput{RouteTableIds: []string{"rtb-1"}})
			return err
		},
		"InvalidInternetGatewayID.NotFound: The internetGateway ID 'igw-1' does not exist": func() error {
			_, err := f.DescribeInternetGateways(f.ctx, &ec2.DescribeInternetGatewaysInput{InternetGatewayIds: []string{"igw-1"}})
			return err
		},
		"InvalidInstanceID.NotFound: The instance ID 'i-1' does not exist": func() error {
			_, err := f.DescribeInstances(f.ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{"i-1"}})
			return err
		},
		"InvalidVpcEndpointId.NotFound: The Vpc Endpoint Id 'vpce-1' does not exist": func() error {
			_, err := f.DescribeVpcEndpoints(f.ctx, &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{"vpce-1"}})
			return err
		},
		"InvalidVpcEndpointServiceId.NotFound: The VpcEndpointService Id 'vpce-svc-1' does not exist": func() error {
			_, err := f.DescribeVpcEndpointServiceConfigurations(f.ctx, &ec2.DescribeVpcEndpointServiceConfigurationsInput{ServiceIds: []string{"vpce-svc-1"}})
			return err
		},
		"InvalidServiceName: The Vpc Endpoint Service 'com.amazonaws.us-east-1.s3' does not exist": func() error {
			_, err := f.DescribeVpcEndpointServices(f.ctx, &ec2.DescribeVpcEndpointServicesInput{ServiceNames: []string{"com.amazonaws.us-east-1.s3"}})
			return err
		},
		"InvalidNetworkAclID.NotFound: The networkAcl ID 'acl-1' does not exist": func() error {
			_, err := f.DescribeNetworkAcls(f.ctx, &ec2.DescribeNetworkAclsInput{NetworkAclIds: []string{"acl-1"}})
			return err
		},
		"InvalidID: The ID 'what-1' is not valid": func() error {
			_, err := f.DeleteTags(f.ctx, &ec2.DeleteTagsInput{Resources: []string{"what-1"}})
			return err
		},
	} {
		if err := call(); err == nil || err.Error() != name {
			t.Errorf("got %v\nwant %s", err, name)
		}
	}
}

func TestDependencies(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	deleteVpc := func() error { _, err := f.DeleteVpc(f.ctx, &ec2.DeleteVpcInput{VpcId: &v}); return err }
	const code = "DependencyViolation"
	message := "The vpc '" + v + "' has dependencies and cannot be deleted."

	s := f.subnet(f.ctx, v, "10.0.0.0/24", "a")
	wantError(t, "VPC with a subnet", deleteVpc(), code, message)
	g := f.group(f.ctx, v, "web")
	n := f.eni(f.ctx, s, g)
	_, err := f.DeleteSubnet(f.ctx, &ec2.DeleteSubnetInput{SubnetId: &s})
	wantError(t, "subnet with an interface", err, code, "The subnet '"+s+"' has dependencies and cannot be deleted.")
	_, err = f.DeleteSecurityGroup(f.ctx, &ec2.DeleteSecurityGroupInput{GroupId: &g})
	wantError(t, "group of an interface", err, code, "resource "+g+" has a dependent object")
	must[*ec2.DeleteNetworkInterfaceOutput](t)(f.DeleteNetworkInterface(f.ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &n}))

	// A subnet's association goes with it.
	rt := *must[*ec2.CreateRouteTableOutput](t)(f.CreateRouteTable(f.ctx, &ec2.CreateRouteTableInput{VpcId: &v})).RouteTable.RouteTableId
	must[*ec2.AssociateRouteTableOutput](t)(f.AssociateRouteTable(f.ctx, &ec2.AssociateRouteTableInput{RouteTableId: &rt, SubnetId: &s}))
	_, err = f.DeleteRouteTable(f.ctx, &ec2.DeleteRouteTableInput{RouteTableId: &rt})
	wantError(t, "table of a subnet", err, code, "The routeTable '"+rt+"' has dependencies and cannot be deleted.")
	must[*ec2.DeleteSubnetOutput](t)(f.DeleteSubnet(f.ctx, &ec2.DeleteSubnetInput{SubnetId: &s}))
	wantError(t, "VPC with a group and a table", deleteVpc(), code, message)
	must[*ec2.DeleteRouteTableOutput](t)(f.DeleteRouteTable(f.ctx, &ec2.DeleteRouteTableInput{RouteTableId: &rt}))
	wantError(t, "VPC with a group", deleteVpc(), code, message)
	must[*ec2.DeleteSecurityGroupOutput](t)(f.DeleteSecurityGroup(f.ctx, &ec2.DeleteSecurityGroupInput{GroupId: &g}))

	igw := *must[*ec2.CreateInternetGatewayOutput](t)(f.CreateInternetGateway(f.ctx, &ec2.CreateInternetGatewayInput{})).InternetGateway.InternetGatewayId
	must[*ec2.AttachInternetGatewayOutput](t)(f.AttachInternetGateway(f.ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &igw, VpcId: &v}))
	wantError(t, "VPC with a gateway", deleteVpc(), code, message)
	_, err = f.DeleteInternetGateway(f.ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: &igw})
	wantError(t, "attached gateway", err, code, "The internetGateway '"+igw+"' has dependencies and cannot be deleted.")
	must[*ec2.DetachInternetGatewayOutput](t)(f.DetachInternetGateway(f.ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: &igw, VpcId: &v}))
	must[*ec2.DeleteInternetGatewayOutput](t)(f.DeleteInternetGateway(f.ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: &igw}))
	if err := deleteVpc(); err != nil {
		t.Error(err)
	}
	wantError(t, "VPC that is gone", deleteVpc(), "InvalidVpcID.NotFound", "")
}

func TestSubnet(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	out := must[*ec2.CreateSubnetOutput](t)(f.CreateSubnet(f.ctx, &ec2.CreateSubnetInput{
		VpcId: &v, CidrBlock: wire.Ptr("10.0.1.9/24"), AvailabilityZoneId: wire.Ptr("use1-az2"),
	}))
	s := out.Subnet
	if *s.AvailabilityZone != "us-east-1b" || *s.CidrBlock != "10.0.1.0/24" || *s.AvailableIpAddressCount != 251 {
		t.Errorf("got %s %s %d", *s.AvailabilityZone, *s.CidrBlock, *s.AvailableIpAddressCount)
	}
	f.eni(f.ctx, *s.SubnetId)
	must[*ec2.ModifySubnetAttributeOutput](t)(f.ModifySubnetAttribute(f.ctx, &ec2.ModifySubnetAttributeInput{
		SubnetId: s.SubnetId, MapPublicIpOnLaunch: &ec2.AttributeBooleanValue{Value: wire.Ptr(true)},
	}))
	got := must[*ec2.DescribeSubnetsOutput](t)(f.DescribeSubnets(f.ctx, &ec2.DescribeSubnetsInput{
		Filters: filters("vpc-id", v, "availability-zone", "*b", "map-public-ip-on-launch", "true"),
	}))
	if len(got.Subnets) != 1 || *got.Subnets[0].AvailableIpAddressCount != 250 {
		t.Errorf("got %+v", got.Subnets)
	}
	_, err := f.CreateSubnet(f.ctx, &ec2.CreateSubnetInput{VpcId: &v, CidrBlock: wire.Ptr("10.0.1.128/25")})
	wantError(t, "overlap", err, "InvalidSubnet.Conflict", "The CIDR '10.0.1.128/25' conflicts with another subnet")
	_, err = f.CreateSubnet(f.ctx, &ec2.CreateSubnetInput{VpcId: &v, CidrBlock: wire.Ptr("10.0.2.0/24"), AvailabilityZone: wire.Ptr("us-east-1q")})
	wantError(t, "zone", err, "InvalidParameterValue", "Value (us-east-1q) for parameter availabilityZone is invalid. "+
		"Subnets can currently only be created in the following availability zones: us-east-1a, us-east-1b, us-east-1c.")
}

func TestInterface(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	s := f.subnet(f.ctx, v, "10.0.0.0/28", "a")
	g := f.group(f.ctx, v, "web")
	create := func(in ec2.CreateNetworkInterfaceInput) (*ec2.NetworkInterface, error) {
		in.SubnetId = &s
		out, err := f.CreateNetworkInterface(f.ctx, &in)
		if err != nil {
			return nil, err
		}
		return out.NetworkInterface, nil
	}
	a := must[*ec2.NetworkInterface](t)(create(ec2.CreateNetworkInterfaceInput{Description: wire.Ptr("one"), PrivateIpAddress: wire.Ptr("10.0.0.7")}))
	if *a.PrivateIpAddress != "10.0.0.7" || *a.Groups[0].GroupName != "default" || *a.Status != "available" || *a.InterfaceType != "interface" ||
		*a.RequesterManaged || *a.AvailabilityZone != "us-east-1a" || a.PrivateDnsName != nil {
		t.Errorf("got %+v", a)
	}
	b := must[*ec2.NetworkInterface](t)(create(ec2.CreateNetworkInterfaceInput{
		SecondaryPrivateIpAddressCount: wire.Ptr(int64(1)),
		PrivateIpAddresses: []*ec2.PrivateIpAddressSpecification{
			{PrivateIpAddress: wire.Ptr("10.0.0.9")}, {PrivateIpAddress: wire.Ptr("10.0.0.8"), Primary: wire.Ptr(true)},
		},
	}))
	var addresses []string
	for _, x := range b.PrivateIpAddresses {
		addresses = append(addresses, *x.PrivateIpAddress)
	}
	if !slices.Equal(addresses, []string{"10.0.0.8", "10.0.0.9", "10.0.0.4"}) || !*b.PrivateIpAddresses[0].Primary || *b.PrivateIpAddresses[1].Primary {
		t.Errorf("addresses %v", addresses)
	}
	for _, tt := range []struct{ address, code, message string }{
		{"10.0.0.7", "InvalidIPAddress.InUse", "Address 10.0.0.7 is in use."},
		{"10.0.0.3", "InvalidParameterValue", "Address is in subnet's reserved address range"},
		{"10.0.0.15", "InvalidParameterValue", "Address is in subnet's reserved address range"},
		{"10.0.0.16", "InvalidParameterValue", "Address does not fall within the subnet's address range"},
		{"fe80::1", "InvalidParameterValue", ""},
		{"x", "InvalidParameterValue", ""},
	} {
		_, err := create(ec2.CreateNetworkInterfaceInput{PrivateIpAddress: &tt.address})
		wantError(t, tt.address, err, tt.code, tt.message)
	}
	_, err := create(ec2.CreateNetworkInterfaceInput{Groups: []string{"1", "2", "3", "4", "5", "6"}})
	wantError(t, "groups", err, "SecurityGroupsPerInterfaceLimitExceeded", "")

	// Attributes.
	must[*ec2.ModifyNetworkInterfaceAttributeOutput](t)(f.ModifyNetworkInterfaceAttribute(f.ctx, &ec2.ModifyNetworkInterfaceAttributeInput{
		NetworkInterfaceId: a.NetworkInterfaceId, Groups: []string{g}, SourceDestCheck: &ec2.AttributeBooleanValue{Value: wire.Ptr(false)},
		Description: &ec2.AttributeValue{Value: wire.Ptr("two")},
	}))
	got := must[*ec2.DescribeNetworkInterfacesOutput](t)(f.DescribeNetworkInterfaces(f.ctx, &ec2.DescribeNetworkInterfacesInput{
		Filters: filters("group-id", g, "description", "t?o", "source-dest-check", "false", "group-name", "web", "addresses.private-ip-address", "10.0.0.7"),
	}))
	if len(got.NetworkInterfaces) != 1 {
		t.Errorf("found %d interfaces by their new attributes", len(got.NetworkInterfaces))
	}

	// More addresses, until there are none.
	add := must[*ec2.AssignPrivateIpAddressesOutput](t)(f.AssignPrivateIpAddresses(f.ctx, &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: a.NetworkInterfaceId, SecondaryPrivateIpAddressCount: wire.Ptr(int64(7)),
	}))
	if len(add.AssignedPrivateIpAddresses) != 7 {
		t.Errorf("assigned %d", len(add.AssignedPrivateIpAddresses))
	}
	_, err = create(ec2.CreateNetworkInterfaceInput{})
	wantError(t, "full", err, "InsufficientFreeAddressesInSubnet", "")
	_, err = f.UnassignPrivateIpAddresses(f.ctx, &ec2.UnassignPrivateIpAddressesInput{NetworkInterfaceId: a.NetworkInterfaceId, PrivateIpAddresses: []string{"10.0.0.7"}})
	wantError(t, "primary", err, "InvalidParameterValue", "")
	must[*ec2.UnassignPrivateIpAddressesOutput](t)(f.UnassignPrivateIpAddresses(f.ctx, &ec2.UnassignPrivateIpAddressesInput{
		NetworkInterfaceId: a.NetworkInterfaceId, PrivateIpAddresses: []string{"10.0.0.14"},
	}))
	c := must[*ec2.NetworkInterface](t)(create(ec2.CreateNetworkInterfaceInput{}))
	if *c.PrivateIpAddress != "10.0.0.14" {
		t.Errorf("got %s, want the one that was given back", *c.PrivateIpAddress)
	}
}

// TestManagedInterface checks that users can't touch what services manage.
func TestManagedInterface(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	s := f.subnet(f.ctx, v, "10.0.0.0/24", "a")
	var n *resource.NetworkInterface
	f.edit(func(tx *store.Tx) {
		n, _ = vpc.CreateInterface(tx, vpc.InterfaceSpec{
			Account: testAccount, Region: testRegion, Subnet: s, Type: resource.InterfaceNLB, Requester: "amazon-elb", Description: "ELB net/x/1",
		})
	})
	out := must[*ec2.DescribeNetworkInterfacesOutput](t)(f.DescribeNetworkInterfaces(f.ctx, &ec2.DescribeNetworkInterfacesInput{
		Filters: filters("requester-managed", "true", "attachment.instance-owner-id", "amazon-aws"),
	}))
	if len(out.NetworkInterfaces) != 1 || *out.NetworkInterfaces[0].Status != "in-use" || *out.NetworkInterfaces[0].RequesterId != "amazon-elb" {
		t.Fatalf("got %+v", out.NetworkInterfaces)
	}
	_, err := f.DeleteNetworkInterface(f.ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &n.ID})
	wantError(t, "delete", err, "InvalidParameterValue", "Network interface '"+n.ID+"' is currently in use.")
	_, err = f.ModifyNetworkInterfaceAttribute(f.ctx, &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: &n.ID, Description: &ec2.AttributeValue{}})
	wantError(t, "modify", err, "AuthFailure", "")
	_, err = f.AssignPrivateIpAddresses(f.ctx, &ec2.AssignPrivateIpAddressesInput{NetworkInterfaceId: &n.ID, SecondaryPrivateIpAddressCount: wire.Ptr(int64(1))})
	wantError(t, "assign", err, "AuthFailure", "")
}

func TestInstances(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	must[*ec2.ModifyVpcAttributeOutput](t)(f.ModifyVpcAttribute(f.ctx, &ec2.ModifyVpcAttributeInput{VpcId: &v, EnableDnsHostnames: &ec2.AttributeBooleanValue{Value: wire.Ptr(true)}}))
	s := f.subnet(f.ctx, v, "10.0.0.0/24", "a")
	f.edit(func(tx *store.Tx) {
		i := &resource.Instance{Meta: resource.Meta{Account: testAccount, Region: testRegion}, ID: "i-1"}
		n, err := vpc.CreateInterface(tx, vpc.InterfaceSpec{
			Account: testAccount, Region: testRegion, Subnet: s, Address: netip.MustParseAddr("10.0.0.77"), Attachment: &resource.Attachment{ID: "eni-attach-1", Instance: i.ID},
		})
		if err != nil {
			t.Error(err)
			return
		}
		i.Interface = n.ID
		store.Instances.Put(tx, i)
	})
	for _, name := range [][]string{
		{"instance-id", "i-1"}, {"instance-state-name", "running"}, {"private-ip-address", "10.0.0.77"}, {"private-dns-name", "ip-10-0-0-77.ec2.internal"},
		{"vpc-id", v}, {"network-interface.addresses.private-ip-address", "10.0.0.7*"}, {"availability-zone", "us-east-1a"},
	} {
		out := must[*ec2.DescribeInstancesOutput](t)(f.DescribeInstances(f.ctx, &ec2.DescribeInstancesInput{Filters: filters(name...)}))
		if len(out.Reservations) != 1 || *out.Reservations[0].Instances[0].InstanceId != "i-1" {
			t.Errorf("%v: %d reservations", name, len(out.Reservations))
		}
	}
	out := must[*ec2.DescribeNetworkInterfacesOutput](t)(f.DescribeNetworkInterfaces(f.ctx, &ec2.DescribeNetworkInterfacesInput{Filters: filters("attachment.instance-id", "i-1")}))
	if len(out.NetworkInterfaces) != 1 {
		t.Error("the instance's interface was not found")
	}
	_, err := f.DeleteNetworkInterface(f.ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: out.NetworkInterfaces[0].NetworkInterfaceId})
	wantError(t, "attached", err, "InvalidParameterValue", "")
}

// TestConcurrentInterfaces checks that requests at the same time get different
// addresses.
func TestConcurrentInterfaces(t *testing.T) {
	f := newFixture(t)
	s := f.subnet(f.ctx, f.vpc(f.ctx, "10.0.0.0/16"), "10.0.0.0/24", "a")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 25 {
				if _, err := f.CreateNetworkInterface(f.ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: &s}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[string]string)
	for n := range store.NetworkInterfaces.Scan(f.db.View()) {
		for _, x := range []string{n.Addresses[0].String(), n.MAC} {
			if other, ok := seen[x]; ok {
				t.Errorf("%s and %s both have %s", n.ID, other, x)
			}
			seen[x] = n.ID
		}
	}
	out := must[*ec2.DescribeSubnetsOutput](t)(f.DescribeSubnets(f.ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{s}}))
	if free := *out.Subnets[0].AvailableIpAddressCount; free != 1 || len(seen) != 500 {
		t.Errorf("%d addresses are free and %d addresses and MACs in use, want 1 and 500", free, len(seen))
	}
}
