package ec2

import (
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// unsuccessful is the only item of a list, as "id code".
func unsuccessful(t *testing.T, items []*ec2.UnsuccessfulItem) string {
	t.Helper()
	var list []string
	for _, i := range items {
		list = append(list, *i.ResourceId+" "+*i.Error.Code)
	}
	return strings.Join(list, ", ")
}

// endpointState is the state of an endpoint as both sides see it.
func (f fixture) endpointState(id string) string {
	f.t.Helper()
	mine := must[*ec2.DescribeVpcEndpointsOutput](f.t)(f.DescribeVpcEndpoints(f.other, &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{id}}))
	theirs := must[*ec2.DescribeVpcEndpointConnectionsOutput](f.t)(f.DescribeVpcEndpointConnections(f.ctx, &ec2.DescribeVpcEndpointConnectionsInput{
		Filters: filters("vpc-endpoint-id", id, "vpc-endpoint-owner", otherAccount),
	}))
	if len(theirs.VpcEndpointConnections) != 1 || *theirs.VpcEndpointConnections[0].VpcEndpointState != *mine.VpcEndpoints[0].State {
		f.t.Errorf("the two sides see different states: %s", shape(theirs.VpcEndpointConnections))
	}
	return *mine.VpcEndpoints[0].State
}

func TestPrivateLink(t *testing.T) {
	f := newFixture(t)
	arn := f.balancer("one", "a", "b")
	created := must[*ec2.CreateVpcEndpointServiceConfigurationOutput](t)(f.CreateVpcEndpointServiceConfiguration(f.ctx, &ec2.CreateVpcEndpointServiceConfigurationInput{
		NetworkLoadBalancerArns: []string{arn}, ClientToken: wire.Ptr("token"),
	}))
	c := created.ServiceConfiguration
	service := *c.ServiceId
	if !*c.AcceptanceRequired || *c.ServiceState != "Available" || *c.ServiceName != "com.amazonaws.vpce.us-east-1."+service || *created.ClientToken != "token" ||
		!slices.Equal(c.AvailabilityZones, []string{"us-east-1a", "us-east-1b"}) || c.BaseEndpointDnsNames[0] != service+".us-east-1.vpce.amazonaws.com" {
		t.Errorf("service %s", shape(c))
	}
	_, err := f.CreateVpcEndpointServiceConfiguration(f.ctx, &ec2.CreateVpcEndpointServiceConfigurationInput{NetworkLoadBalancerArns: []string{arn}})
	wantError(t, "used twice", err, "InvalidParameter", "LBs are already associated with another VPC Endpoint Service Configuration")

	v := f.vpc(f.other, "10.0.0.0/16")
	a, b, third := f.subnet(f.other, v, "10.0.0.0/24", "a"), f.subnet(f.other, v, "10.0.1.0/24", "b"), f.subnet(f.other, v, "10.0.2.0/24", "c")
	create := func(change func(*ec2.CreateVpcEndpointInput)) (*ec2.VpcEndpoint, error) {
		in := &ec2.CreateVpcEndpointInput{
			VpcId: &v, ServiceName: c.ServiceName, VpcEndpointType: wire.Ptr("Interface"), SubnetIds: []string{a},
			TagSpecifications: []*ec2.TagSpecification{{ResourceType: wire.Ptr("vpc-endpoint"), Tags: []*ec2.Tag{tag("Name", "e")}}},
		}
		if change != nil {
			change(in)
		}
		out, err := f.CreateVpcEndpoint(f.other, in)
		if err != nil {
			return nil, err
		}
		return out.VpcEndpoint, nil
	}
	_, err = create(nil)
	wantError(t, "not allowed", err, "InvalidServiceName", "The Vpc Endpoint Service '"+*c.ServiceName+"' does not exist")
	_, err = f.DescribeVpcEndpointServices(f.other, &ec2.DescribeVpcEndpointServicesInput{ServiceNames: []string{*c.ServiceName}})
	wantError(t, "not visible", err, "InvalidServiceName", "")

	root := "arn:aws:iam::" + otherAccount + ":root"
	_, err = f.ModifyVpcEndpointServicePermissions(f.ctx, &ec2.ModifyVpcEndpointServicePermissionsInput{ServiceId: &service, AddAllowedPrincipals: []string{otherAccount}})
	wantError(t, "bad principal", err, "InvalidPrincipal", "")
	for i := range 2 {
		out := must[*ec2.ModifyVpcEndpointServicePermissionsOutput](t)(f.ModifyVpcEndpointServicePermissions(f.ctx, &ec2.ModifyVpcEndpointServicePermissionsInput{ServiceId: &service, AddAllowedPrincipals: []string{root}}))
		if len(out.AddedPrincipals) != 1-i {
			t.Errorf("added %s", shape(out.AddedPrincipals))
		}
	}
	permissions := must[*ec2.DescribeVpcEndpointServicePermissionsOutput](t)(f.DescribeVpcEndpointServicePermissions(f.ctx, &ec2.DescribeVpcEndpointServicePermissionsInput{ServiceId: &service, Filters: filters("principal-type", "Account")}))
	if len(permissions.AllowedPrincipals) != 1 || *permissions.AllowedPrincipals[0].Principal != root {
		t.Errorf("permissions %s", shape(permissions))
	}
	offers := must[*ec2.DescribeVpcEndpointServicesOutput](t)(f.DescribeVpcEndpointServices(f.other, &ec2.DescribeVpcEndpointServicesInput{Filters: filters("owner", testAccount, "service-type", "Interface")}))
	if !slices.Equal(offers.ServiceNames, []string{*c.ServiceName}) || offers.ServiceDetails[0].Tags != nil {
		t.Errorf("offers %s", shape(offers))
	}

	_, err = create(func(in *ec2.CreateVpcEndpointInput) { in.VpcEndpointType = nil })
	wantError(t, "gateway type", err, "InvalidParameter", "Endpoint type (Gateway) does not match available service types ([Interface]).")
	_, err = create(func(in *ec2.CreateVpcEndpointInput) {
		in.VpcEndpointType, in.ServiceName = wire.Ptr("Gateway"), wire.Ptr("com.amazonaws.us-east-1.s3")
	})
	wantError(t, "gateway endpoint", err, "UnsupportedOperation", "")
	_, err = create(func(in *ec2.CreateVpcEndpointInput) { in.SubnetIds = []string{third} })
	wantError(t, "zone", err, "InvalidParameter", "The VPC endpoint service "+*c.ServiceName+" does not support the availability zone of the subnet: "+third+".")
	_, err = create(func(in *ec2.CreateVpcEndpointInput) { in.PolicyDocument = wire.Ptr("{") })
	wantError(t, "policy", err, "InvalidPolicyDocument", "")

	e := must[*ec2.VpcEndpoint](t)(create(nil))
	id := *e.VpcEndpointId
	if *e.State != "pendingAcceptance" || len(e.NetworkInterfaceIds) != 1 || *e.Groups[0].GroupName != "default" || len(e.DnsEntries) != 2 ||
		!strings.HasSuffix(*e.DnsEntries[1].DnsName, "-us-east-1a."+service+".us-east-1.vpce.amazonaws.com") || *e.PolicyDocument != openPolicy {
		t.Errorf("endpoint %s", shape(e))
	}
	eni := must[*ec2.DescribeNetworkInterfacesOutput](t)(f.DescribeNetworkInterfaces(f.other, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: e.NetworkInterfaceIds})).NetworkInterfaces[0]
	if *eni.InterfaceType != "vpc_endpoint" || *eni.Description != "VPC Endpoint Interface "+id || !*eni.RequesterManaged {
		t.Errorf("interface %s", shape(eni))
	}

	decide := func(accept bool, ids ...string) string {
		t.Helper()
		if accept {
			return unsuccessful(t, must[*ec2.AcceptVpcEndpointConnectionsOutput](t)(f.AcceptVpcEndpointConnections(f.ctx, &ec2.AcceptVpcEndpointConnectionsInput{ServiceId: &service, VpcEndpointIds: ids})).Unsuccessful)
		}
		return unsuccessful(t, must[*ec2.RejectVpcEndpointConnectionsOutput](t)(f.RejectVpcEndpointConnections(f.ctx, &ec2.RejectVpcEndpointConnectionsInput{ServiceId: &service, VpcEndpointIds: ids})).Unsuccessful)
	}
	set := func(state resource.EndpointState) {
		f.edit(func(tx *store.Tx) {
			e, _ := store.VPCEndpoints.Get(tx, id)
			e.State = state
			store.VPCEndpoints.Put(tx, e)
		})
	}
	for _, tt := range []struct {
		from   resource.EndpointState
		accept bool
		to     string // empty if it is refused
	}{
		{"pendingAcceptance", true, "pending"},
		{"pendingAcceptance", false, "rejected"},
		{"pending", true, ""},
		{"pending", false, "rejected"},
		{"available", true, ""},
		{"available", false, "rejected"},
		{"rejected", true, "pending"},
		{"rejected", false, ""},
	} {
		set(tt.from)
		failed, want, failure := decide(tt.accept, id), tt.to, ""
		if tt.to == "" {
			want, failure = string(tt.from), id+" InvalidState"
		}
		if got := f.endpointState(id); got != want || failed != failure {
			t.Errorf("%s, accept %v: now %s, failed %q", tt.from, tt.accept, got, failed)
		}
	}
	set(resource.EndpointPendingAcceptance)
	if got := decide(true, "vpce-1", id); got != "vpce-1 InvalidVpcEndpointId.NotFound" || f.endpointState(id) != "pending" {
		t.Errorf("one of two: failed %q", got)
	}
	_, err = f.AcceptVpcEndpointConnections(f.other, &ec2.AcceptVpcEndpointConnectionsInput{ServiceId: &service, VpcEndpointIds: []string{id}})
	wantError(t, "the consumer accepts", err, "InvalidVpcEndpointServiceId.NotFound", "")

	// Change the endpoint.
	g := f.group(f.other, v, "web")
	nothing := `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`
	modify := func(in ec2.ModifyVpcEndpointInput) error {
		in.VpcEndpointId = &id
		_, err := f.ModifyVpcEndpoint(f.other, &in)
		return err
	}
	wantError(t, "add", modify(ec2.ModifyVpcEndpointInput{AddSubnetIds: []string{b}, AddSecurityGroupIds: []string{g}, RemoveSecurityGroupIds: []string{*e.Groups[0].GroupId}, PolicyDocument: &nothing}), "", "")
	wantError(t, "no policy", modify(ec2.ModifyVpcEndpointInput{PolicyDocument: wire.Ptr("{}")}), "InvalidPolicyDocument", "")
	twin := f.subnet(f.other, v, "10.0.3.0/24", "a")
	wantError(t, "twin", modify(ec2.ModifyVpcEndpointInput{AddSubnetIds: []string{twin}}), "DuplicateSubnetsInSameZone", "")
	wantError(t, "swap", modify(ec2.ModifyVpcEndpointInput{AddSubnetIds: []string{twin}, RemoveSubnetIds: []string{a}}), "", "")
	wantError(t, "no groups", modify(ec2.ModifyVpcEndpointInput{RemoveSecurityGroupIds: []string{g}}), "InvalidParameter", "")
	now := must[*ec2.DescribeVpcEndpointsOutput](t)(f.DescribeVpcEndpoints(f.other, &ec2.DescribeVpcEndpointsInput{Filters: filters("tag:Name", "e", "vpc-endpoint-type", "Interface", "service-name", *c.ServiceName)})).VpcEndpoints[0]
	if !slices.Equal(now.SubnetIds, []string{b, twin}) || len(now.NetworkInterfaceIds) != 2 || len(now.DnsEntries) != 3 || *now.PolicyDocument != nothing {
		t.Errorf("after the changes: %s", shape(now))
	}
	enis := must[*ec2.DescribeNetworkInterfacesOutput](t)(f.DescribeNetworkInterfaces(f.other, &ec2.DescribeNetworkInterfacesInput{Filters: filters("group-id", g)}))
	if len(enis.NetworkInterfaces) != 2 {
		t.Errorf("%d interfaces have the new group", len(enis.NetworkInterfaces))
	}

	// The end.
	remove := func() string {
		out := must[*ec2.DeleteVpcEndpointServiceConfigurationsOutput](t)(f.DeleteVpcEndpointServiceConfigurations(f.ctx, &ec2.DeleteVpcEndpointServiceConfigurationsInput{ServiceIds: []string{service}}))
		return unsuccessful(t, out.Unsuccessful)
	}
	if got := remove(); got != service+" ExistingVpcEndpointConnections" {
		t.Errorf("delete a connected service: %q", got)
	}
	second := f.balancer("two", "c")
	must[*ec2.ModifyVpcEndpointServiceConfigurationOutput](t)(f.ModifyVpcEndpointServiceConfiguration(f.ctx, &ec2.ModifyVpcEndpointServiceConfigurationInput{ServiceId: &service, AddNetworkLoadBalancerArns: []string{second}, AcceptanceRequired: wire.Ptr(false)}))
	_, err = f.ModifyVpcEndpointServiceConfiguration(f.ctx, &ec2.ModifyVpcEndpointServiceConfigurationInput{ServiceId: &service, RemoveNetworkLoadBalancerArns: []string{arn}})
	wantError(t, "remove a balancer in use", err, "ExistingVpcEndpointConnections", "")
	auto := must[*ec2.VpcEndpoint](t)(create(func(in *ec2.CreateVpcEndpointInput) { in.SubnetIds = []string{third} }))
	if *auto.State != "pending" {
		t.Errorf("without acceptance: %s", *auto.State)
	}
	out := must[*ec2.DeleteVpcEndpointsOutput](t)(f.DeleteVpcEndpoints(f.other, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{*auto.VpcEndpointId, "vpce-1"}}))
	if got := unsuccessful(t, out.Unsuccessful); got != "vpce-1 InvalidVpcEndpoint.NotFound" {
		t.Errorf("delete endpoints: %q", got)
	}
	// A rejected connection does not keep the service.
	decide(false, id)
	if got := remove(); got != "" {
		t.Errorf("delete the service: %q", got)
	}
	must[*ec2.DeleteVpcEndpointsOutput](t)(f.DeleteVpcEndpoints(f.other, &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{id}}))
	if n := len(store.NetworkInterfaces.List(f.db.View())); n != 0 {
		t.Errorf("%d interfaces are left", n)
	}
}

func TestPrincipalTypes(t *testing.T) {
	for p, want := range map[string]string{
		"*":                                   "All",
		"arn:aws:iam::111122223333:root":      "Account",
		"arn:aws-cn:iam::111122223333:user/u": "User",
		"arn:aws:iam::111122223333:role/r":    "Role",
	} {
		if got := principalType(p); got != want || p != "*" && !principal.MatchString(p) {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
	for _, p := range []string{"", "root", "arn:aws:iam::1:root", "arn:aws:iam::111122223333:role/path/r", "arn:aws:iam::111122223333:role/*", "arn:aws:s3::111122223333:root"} {
		if principal.MatchString(p) {
			t.Errorf("%q is taken for a principal", p)
		}
	}
}
