package ec2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

func tag(key, value string) *ec2.Tag { return &ec2.Tag{Key: &key, Value: &value} }

func TestAddTags(t *testing.T) {
	var many []*ec2.Tag
	for i := range maxTags + 1 {
		many = append(many, tag(fmt.Sprint("k", i), ""))
	}
	old := map[string]string{"a": "1", "b": "2"}
	tests := []struct {
		name, code, message string
		given               []*ec2.Tag
		want                string
	}{
		{"none", "", "", nil, "map[a:1 b:2]"},
		{"new and changed", "", "", []*ec2.Tag{tag("b", "3"), tag("c", "")}, "map[a:1 b:3 c:]"},
		{"twice", "InvalidParameterValue", "Duplicate tag key 'c' specified.", []*ec2.Tag{tag("c", "1"), tag("c", "2")}, ""},
		{"reserved", "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use", []*ec2.Tag{tag("AWS:x", "1")}, ""},
		{"no key", "InvalidParameterValue", "", []*ec2.Tag{{Value: wire.Ptr("1")}}, ""},
		{"long key", "InvalidParameterValue", "", []*ec2.Tag{tag(strings.Repeat("k", 129), "1")}, ""},
		{"long value", "InvalidParameterValue", "", []*ec2.Tag{tag("k", strings.Repeat("v", 257))}, ""},
		{"too many", "TagLimitExceeded", "", many, ""},
	}
	for _, tt := range tests {
		got, err := addTags(old, tt.given)
		wantError(t, tt.name, err, tt.code, tt.message)
		if err == nil && fmt.Sprint(got) != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
	if fmt.Sprint(old) != "map[a:1 b:2]" {
		t.Error("the old tags were changed")
	}
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	s := f.subnet(f.ctx, v, "10.0.0.0/24", "a")
	resources := []string{v, s, f.group(f.ctx, v, "web"), f.eni(f.ctx, s)}
	resources = append(resources, *f.rules(resources[2], true)[0].SecurityGroupRuleId)
	resources = append(resources, *must[*ec2.CreateRouteTableOutput](t)(f.CreateRouteTable(f.ctx, &ec2.CreateRouteTableInput{VpcId: &v})).RouteTable.RouteTableId)
	resources = append(resources, *must[*ec2.CreateInternetGatewayOutput](t)(f.CreateInternetGateway(f.ctx, &ec2.CreateInternetGatewayInput{})).InternetGateway.InternetGatewayId)
	must[*ec2.CreateTagsOutput](t)(f.CreateTags(f.ctx, &ec2.CreateTagsInput{Resources: resources, Tags: []*ec2.Tag{tag("Name", "x"), tag("env", "test")}}))

	list := func(pairs ...string) string {
		t.Helper()
		out := must[*ec2.DescribeTagsOutput](t)(f.DescribeTags(f.ctx, &ec2.DescribeTagsInput{Filters: filters(pairs...)}))
		var got []string
		for _, d := range out.Tags {
			got = append(got, *d.ResourceType+" "+*d.Key+"="+*d.Value)
		}
		return strings.Join(got, ", ")
	}
	if got, want := list("key", "Name"), "network-interface Name=x, internet-gateway Name=x, route-table Name=x, security-group Name=x, security-group-rule Name=x, subnet Name=x, vpc Name=x"; got != want {
		t.Errorf("tags %s\nwant %s", got, want)
	}
	if got, want := list("resource-id", v), "vpc Name=x, vpc env=test"; got != want {
		t.Errorf("tags of the VPC: %s", got)
	}
	out := must[*ec2.DescribeSubnetsOutput](t)(f.DescribeSubnets(f.ctx, &ec2.DescribeSubnetsInput{Filters: filters("tag:env", "t*", "tag-key", "Name")}))
	if len(out.Subnets) != 1 || len(out.Subnets[0].Tags) != 2 {
		t.Errorf("subnets by tag: %s", shape(out.Subnets))
	}
	// One that does not exist keeps all from being changed.
	_, err := f.CreateTags(f.ctx, &ec2.CreateTagsInput{Resources: []string{s, "vpc-1"}, Tags: []*ec2.Tag{tag("late", "x")}})
	wantError(t, "absent", err, "InvalidVpcID.NotFound", "")
	if got := list("key", "late"); got != "" {
		t.Errorf("tags of a failed request: %s", got)
	}

	must[*ec2.DeleteTagsOutput](t)(f.DeleteTags(f.ctx, &ec2.DeleteTagsInput{Resources: []string{v}, Tags: []*ec2.Tag{tag("Name", "y"), {Key: wire.Ptr("env")}}}))
	if got := list("resource-id", v); got != "vpc Name=x" {
		t.Errorf("after deleting by key and by another value: %s", got)
	}
	must[*ec2.DeleteTagsOutput](t)(f.DeleteTags(f.ctx, &ec2.DeleteTagsInput{Resources: resources}))
	if got := list(); got != "" {
		t.Errorf("after deleting all: %s", got)
	}
}

// TestFixed checks what AWS shows of every network.
func TestFixed(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	s := f.subnet(f.ctx, v, "10.0.0.0/24", "a")
	acls := must[*ec2.DescribeNetworkAclsOutput](t)(f.DescribeNetworkAcls(f.ctx, &ec2.DescribeNetworkAclsInput{Filters: filters("vpc-id", v, "default", "true", "association.subnet-id", s)})).NetworkAcls
	if len(acls) != 1 || len(acls[0].Entries) != 4 {
		t.Fatalf("ACLs %s", shape(acls))
	}
	again := must[*ec2.DescribeNetworkAclsOutput](t)(f.DescribeNetworkAcls(f.ctx, &ec2.DescribeNetworkAclsInput{NetworkAclIds: []string{*acls[0].NetworkAclId}})).NetworkAcls
	if shape(again) != shape(acls) {
		t.Error("the ACL is another one by its id")
	}
	described := must[*ec2.DescribeVpcsOutput](t)(f.DescribeVpcs(f.ctx, &ec2.DescribeVpcsInput{})).Vpcs[0]
	dhcp := must[*ec2.DescribeDhcpOptionsOutput](t)(f.DescribeDhcpOptions(f.ctx, &ec2.DescribeDhcpOptionsInput{DhcpOptionsIds: []string{*described.DhcpOptionsId}, Filters: filters("value", "ec2.internal")})).DhcpOptions
	if len(dhcp) != 1 {
		t.Errorf("DHCP options of the VPC: %s", shape(dhcp))
	}
	zones := must[*ec2.DescribeAvailabilityZonesOutput](t)(f.DescribeAvailabilityZones(f.ctx, &ec2.DescribeAvailabilityZonesInput{Filters: filters("zone-id", "use1-az[124]", "state", "available")}))
	if len(zones.AvailabilityZones) != 0 {
		t.Error("brackets mean nothing in filters")
	}
	zones = must[*ec2.DescribeAvailabilityZonesOutput](t)(f.DescribeAvailabilityZones(f.ctx, &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-east-1c"}, Filters: filters("opt-in-status", "opt-in-not-required")}))
	if len(zones.AvailabilityZones) != 1 || *zones.AvailabilityZones[0].ZoneId != "use1-az4" {
		t.Errorf("zones %s", shape(zones))
	}
	_, err := f.DescribeAvailabilityZones(f.ctx, &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-east-1z"}})
	wantError(t, "zone", err, "InvalidParameterValue", "Invalid availability zone: [us-east-1z]")
	regions := must[*ec2.DescribeRegionsOutput](t)(f.DescribeRegions(f.ctx, &ec2.DescribeRegionsInput{RegionNames: []string{"eu-west-1", "us-east-1"}}))
	if len(regions.Regions) != 2 || *regions.Regions[0].Endpoint != "ec2.eu-west-1.amazonaws.com" {
		t.Errorf("regions %s", shape(regions))
	}
	attributes := must[*ec2.DescribeAccountAttributesOutput](t)(f.DescribeAccountAttributes(f.ctx, &ec2.DescribeAccountAttributesInput{AttributeNames: []string{"supported-platforms"}}))
	if len(attributes.AccountAttributes) != 1 || *attributes.AccountAttributes[0].AttributeValues[0].AttributeValue != "VPC" {
		t.Errorf("attributes %s", shape(attributes))
	}
	if out := must[*ec2.DescribePrefixListsOutput](t)(f.DescribePrefixLists(f.ctx, &ec2.DescribePrefixListsInput{})); len(out.PrefixLists) != 0 {
		t.Error("there are prefix lists")
	}
	_, err = f.DescribeVpcClassicLink(f.ctx, &ec2.DescribeVpcClassicLinkInput{VpcIds: []string{"vpc-1"}})
	wantError(t, "classic link", err, "InvalidVpcID.NotFound", "")
	must[*ec2.DescribeVpcClassicLinkDnsSupportOutput](t)(f.DescribeVpcClassicLinkDnsSupport(f.ctx, &ec2.DescribeVpcClassicLinkDnsSupportInput{VpcIds: []string{v}}))
}
