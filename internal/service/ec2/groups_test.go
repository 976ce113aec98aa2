package ec2

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

func perm(protocol string, from, to int64) *ec2.IpPermission {
	p := &ec2.IpPermission{IpProtocol: &protocol}
	if from != none {
		p.FromPort = &from
	}
	if to != none {
		p.ToPort = &to
	}
	return p
}

const none = -99 // no port is given

func from(p *ec2.IpPermission, peers ...string) *ec2.IpPermission {
	for _, x := range peers {
		switch {
		case strings.HasPrefix(x, "sg-"):
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, &ec2.UserIdGroupPair{GroupId: wire.Ptr(x)})
		case strings.HasPrefix(x, "name "):
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, &ec2.UserIdGroupPair{GroupName: wire.Ptr(x[5:])})
		case strings.Contains(x, ":"):
			p.Ipv6Ranges = append(p.Ipv6Ranges, &ec2.Ipv6Range{CidrIpv6: wire.Ptr(x)})
		case strings.HasPrefix(x, "pl-"):
			p.PrefixListIds = append(p.PrefixListIds, &ec2.PrefixListId{PrefixListId: wire.Ptr(x)})
		default:
			p.IpRanges = append(p.IpRanges, &ec2.IpRange{CidrIp: wire.Ptr(x)})
		}
	}
	return p
}

func TestTraffic(t *testing.T) {
	tests := []struct {
		perm    *ec2.IpPermission
		want    string // protocol, from, to
		message string
	}{
		{perm("tcp", 80, 443), "tcp 80 443", ""},
		{perm("6", 0, 65535), "tcp 0 65535", ""},
		{perm("UDP", 53, 53), "udp 53 53", ""},
		{perm("17", 53, 53), "udp 53 53", ""},
		{perm("icmp", 8, -1), "icmp 8 -1", ""},
		{perm("1", -1, -1), "icmp -1 -1", ""},
		{perm("58", 128, 0), "icmpv6 128 0", ""},
		{perm("-1", 80, 80), "-1 -1 -1", ""},
		{perm("all", none, none), "-1 -1 -1", ""},
		{perm("50", none, none), "50 -1 -1", ""},
		{perm("50", 7, 8), "50 -1 -1", ""},
		{perm("255", none, none), "255 -1 -1", ""},
		{perm("256", none, none), "", "Invalid value '256' for IP protocol. Unknown protocol."},
		{perm("http", 80, 80), "", "Invalid value 'http' for IP protocol. Unknown protocol."},
		{perm("tcp", none, none), "", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."},
		{perm("udp", 53, none), "", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."},
		{perm("icmp", none, none), "", "Invalid value 'Must specify both type and code with ICMP.' for portRange."},
		{perm("tcp", 80, 65536), "", "TCP/UDP port (65536) out of range"},
		{perm("tcp", -1, 80), "", "TCP/UDP port (-1) out of range"},
		{perm("tcp", 81, 80), "", "Invalid TCP/UDP port range (81:80)"},
		{perm("icmp", 256, 0), "", "ICMP type/code (256/0) out of range"},
		{perm("icmp", -1, 0), "", "ICMP code (0) specified without an ICMP type"},
	}
	for _, tt := range tests {
		protocol, from, to, err := traffic(tt.perm.IpProtocol, tt.perm.FromPort, tt.perm.ToPort)
		if tt.message != "" {
			wantError(t, *tt.perm.IpProtocol, err, "InvalidParameterValue", tt.message)
			continue
		}
		if got := fmt.Sprint(protocol, " ", from, " ", to); got != tt.want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", *tt.perm.IpProtocol, got, err, tt.want)
		}
	}
}

func TestSecurityGroupNames(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	f.group(f.ctx, v, "web")
	tests := []struct{ name, description, vpc, code, message string }{
		{"web", "again", v, "InvalidGroup.Duplicate", "The security group 'web' already exists for VPC '" + v + "'"},
		{"default", "x", v, "InvalidParameterValue", "Cannot use reserved security group name: default"},
		{"sg-web", "x", v, "InvalidParameterValue", "Value (sg-web) for parameter GroupName is invalid. Group names may not be in the format sg-*"},
		{"wéb", "x", v, "InvalidParameterValue", ""},
		{strings.Repeat("x", 256), "x", v, "InvalidParameterValue", ""},
		{"db", "a\nb", v, "InvalidParameterValue", ""},
		{"", "x", v, "MissingParameter", ""},
		{"db", "", v, "MissingParameter", ""},
		{"db", "x", "vpc-1", "InvalidVpcID.NotFound", ""},
		{"db", "x", v, "", ""},
	}
	for _, tt := range tests {
		_, err := f.CreateSecurityGroup(f.ctx, &ec2.CreateSecurityGroupInput{GroupName: &tt.name, Description: &tt.description, VpcId: &tt.vpc})
		wantError(t, tt.name, err, tt.code, tt.message)
	}
	_, err := f.CreateSecurityGroup(f.ctx, &ec2.CreateSecurityGroupInput{GroupName: wire.Ptr("db"), Description: wire.Ptr("x")})
	wantError(t, "no VPC", err, "VPCIdNotSpecified", "")
	// The same name is free in another VPC.
	f.group(f.ctx, f.vpc(f.ctx, "10.0.0.0/16"), "web")

	out := must[*ec2.DescribeSecurityGroupsOutput](t)(f.DescribeSecurityGroups(f.ctx, &ec2.DescribeSecurityGroupsInput{Filters: filters("vpc-id", v, "group-name", "default")}))
	id := *out.SecurityGroups[0].GroupId
	_, err = f.DeleteSecurityGroup(f.ctx, &ec2.DeleteSecurityGroupInput{GroupId: &id})
	wantError(t, "default group", err, "CannotDelete", `the specified group: "`+id+`" name: "default" cannot be deleted by a user`)
}

// shape is JSON of a value, for comparison.
func shape(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func (f fixture) describeGroup(id string) *ec2.SecurityGroup {
	f.t.Helper()
	return must[*ec2.DescribeSecurityGroupsOutput](f.t)(f.DescribeSecurityGroups(f.ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})).SecurityGroups[0]
}

func TestSecurityGroupRules(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	web, db := f.group(f.ctx, v, "web"), f.group(f.ctx, v, "db")
	foreign := f.group(f.ctx, f.vpc(f.ctx, "10.0.0.0/16"), "web")

	g := f.describeGroup(web)
	if len(g.IpPermissions) != 0 || len(g.IpPermissionsEgress) != 1 ||
		shape(g.IpPermissionsEgress[0]) != shape(from(perm("-1", none, none), "0.0.0.0/0")) {
		t.Errorf("a new group has %s and %s", shape(g.IpPermissions), shape(g.IpPermissionsEgress))
	}
	authorize := func(perms ...*ec2.IpPermission) ([]*ec2.SecurityGroupRule, error) {
		out, err := f.AuthorizeSecurityGroupIngress(f.ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &db, IpPermissions: perms})
		if err != nil {
			return nil, err
		}
		return out.SecurityGroupRules, nil
	}
	rules := must[[]*ec2.SecurityGroupRule](t)(authorize(
		from(perm("tcp", 5432, 5432), web, "name db", "10.0.9.7/16", "::/0"),
		from(perm("icmp", 8, -1), "10.0.0.0/16"),
		from(perm("50", none, none), "10.0.0.0/16"),
		from(perm("-1", none, none), db),
	))
	if len(rules) != 7 || *rules[0].CidrIpv4 != "10.0.0.0/16" || *rules[3].ReferencedGroupInfo.GroupId != db || *rules[1].CidrIpv6 != "::/0" ||
		*rules[5].FromPort != -1 || !strings.HasPrefix(*rules[0].SecurityGroupRuleId, "sgr-") {
		t.Errorf("rules %s", shape(rules))
	}
	var seen []string
	for _, p := range f.describeGroup(db).IpPermissions {
		ports := ""
		if p.FromPort != nil {
			ports = fmt.Sprint(*p.FromPort, "-", *p.ToPort)
		}
		seen = append(seen, fmt.Sprint(*p.IpProtocol, " ", ports, " ", len(p.IpRanges), len(p.Ipv6Ranges), len(p.UserIdGroupPairs)))
	}
	if want := []string{"-1  0 0 1", "50  1 0 0", "icmp 8--1 1 0 0", "tcp 5432-5432 1 1 2"}; !slices.Equal(seen, want) {
		t.Errorf("permissions %q, want %q", seen, want)
	}

	for _, tt := range []struct {
		name, code, message string
		perm                *ec2.IpPermission
	}{
		{"duplicate group", "InvalidPermission.Duplicate", `the specified rule "peer: ` + web + `, TCP, from port: 5432, to port: 5432, ALLOW" already exists`, from(perm("6", 5432, 5432), web)},
		{"duplicate range", "InvalidPermission.Duplicate", `the specified rule "peer: 10.0.0.0/16, TCP, from port: 5432, to port: 5432, ALLOW" already exists`, from(perm("tcp", 5432, 5432), "10.0.0.0/16")},
		{"duplicate protocol", "InvalidPermission.Duplicate", `the specified rule "peer: 10.0.0.0/16, protocol: 50, ALLOW" already exists`, from(perm("50", none, none), "10.0.0.0/16")},
		{"duplicate all", "InvalidPermission.Duplicate", `the specified rule "peer: ` + db + `, ALL, ALLOW" already exists`, from(perm("-1", none, none), db)},
		{"twice", "InvalidParameterValue", "The same permission must not appear multiple times", from(perm("tcp", 1, 1), "10.0.0.0/8", "10.0.0.0/8")},
		{"no peer", "MissingParameter", "", perm("tcp", 1, 1)},
		{"bad range", "InvalidParameterValue", "CIDR block 10.0.0.0 is malformed", from(perm("tcp", 1, 1), "10.0.0.0")},
		{"another VPC's group", "InvalidGroup.NotFound", "You have specified two resources that belong to different networks.", from(perm("tcp", 1, 1), foreign)},
		{"no such group", "InvalidGroup.NotFound", "The security group 'sg-1' does not exist", from(perm("tcp", 1, 1), "sg-1")},
		{"no such name", "InvalidGroup.NotFound", "", from(perm("tcp", 1, 1), "name x")},
		{"prefix list", "InvalidPrefixListId.NotFound", "", from(perm("tcp", 1, 1), "pl-1")},
	} {
		_, err := authorize(tt.perm)
		wantError(t, tt.name, err, tt.code, tt.message)
	}
	if n := len(f.rules(db, false)); n != 7 {
		t.Errorf("%d rules after the failures, want 7", n)
	}

	// The group that a rule refers to can't go.
	_, err := f.DeleteSecurityGroup(f.ctx, &ec2.DeleteSecurityGroupInput{GroupId: &web})
	wantError(t, "referenced", err, "DependencyViolation", "resource "+web+" has a dependent object")

	revoke := func(perms ...*ec2.IpPermission) error {
		_, err := f.RevokeSecurityGroupIngress(f.ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &db, IpPermissions: perms})
		return err
	}
	wantError(t, "revoke", revoke(from(perm("tcp", 5432, 5432), web, "::/0")), "", "")
	wantError(t, "revoke again", revoke(from(perm("tcp", 5432, 5432), "10.0.0.0/16", web)), "InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
	_, err = f.RevokeSecurityGroupEgress(f.ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: &db, SecurityGroupRuleIds: []string{*rules[0].SecurityGroupRuleId}})
	wantError(t, "revoke in the other direction", err, "InvalidSecurityGroupRuleId.NotFound", "")
	_, err = f.RevokeSecurityGroupIngress(f.ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &db, SecurityGroupRuleIds: []string{*rules[0].SecurityGroupRuleId, *rules[4].SecurityGroupRuleId}})
	wantError(t, "revoke by id", err, "", "")
	if n := len(f.rules(db, false)); n != 3 {
		t.Errorf("%d rules are left, want 3", n)
	}
	// It refers to itself, which does not keep it.
	for _, id := range []string{web, db} {
		must[*ec2.DeleteSecurityGroupOutput](t)(f.DeleteSecurityGroup(f.ctx, &ec2.DeleteSecurityGroupInput{GroupId: &id}))
	}
}

// rules returns a group's rules of one direction.
func (f fixture) rules(group string, egress bool) []*ec2.SecurityGroupRule {
	f.t.Helper()
	out := must[*ec2.DescribeSecurityGroupRulesOutput](f.t)(f.DescribeSecurityGroupRules(f.ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: filters("group-id", group)}))
	return slices.DeleteFunc(out.SecurityGroupRules, func(r *ec2.SecurityGroupRule) bool { return *r.IsEgress != egress })
}

func TestChangeRules(t *testing.T) {
	f := newFixture(t)
	g := f.group(f.ctx, f.vpc(f.ctx, "10.0.0.0/16"), "web")
	// The older parameters.
	must[*ec2.AuthorizeSecurityGroupIngressOutput](t)(f.AuthorizeSecurityGroupIngress(f.ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &g, IpProtocol: wire.Ptr("tcp"), FromPort: wire.Ptr(int64(80)), ToPort: wire.Ptr(int64(80)), CidrIp: wire.Ptr("0.0.0.0/0"),
		TagSpecifications: []*ec2.TagSpecification{{ResourceType: wire.Ptr("security-group-rule"), Tags: []*ec2.Tag{{Key: wire.Ptr("a"), Value: wire.Ptr("b")}}}},
	}))
	must[*ec2.AuthorizeSecurityGroupIngressOutput](t)(f.AuthorizeSecurityGroupIngress(f.ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &g, IpPermissions: []*ec2.IpPermission{from(perm("tcp", 443, 443), "0.0.0.0/0")},
	}))
	out := must[*ec2.DescribeSecurityGroupRulesOutput](t)(f.DescribeSecurityGroupRules(f.ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: filters("tag:a", "b")}))
	if len(out.SecurityGroupRules) != 1 || *out.SecurityGroupRules[0].FromPort != 80 {
		t.Fatalf("tagged rules: %s", shape(out.SecurityGroupRules))
	}
	id := *out.SecurityGroupRules[0].SecurityGroupRuleId
	modify := func(q ec2.SecurityGroupRuleRequest) error {
		_, err := f.ModifySecurityGroupRules(f.ctx, &ec2.ModifySecurityGroupRulesInput{
			GroupId: &g, SecurityGroupRules: []*ec2.SecurityGroupRuleUpdate{{SecurityGroupRuleId: &id, SecurityGroupRule: &q}},
		})
		return err
	}
	port := func(n int64, cidr string) ec2.SecurityGroupRuleRequest {
		return ec2.SecurityGroupRuleRequest{IpProtocol: wire.Ptr("tcp"), FromPort: &n, ToPort: &n, CidrIpv4: &cidr, Description: wire.Ptr("x")}
	}
	wantError(t, "into another", modify(port(443, "0.0.0.0/0")), "InvalidPermission.Duplicate", "")
	wantError(t, "into itself", modify(port(80, "0.0.0.0/0")), "", "")
	both := port(80, "0.0.0.0/0")
	both.ReferencedGroupId = &g
	wantError(t, "two peers", modify(both), "InvalidParameterCombination", "")
	wantError(t, "change", modify(port(81, "10.0.0.0/8")), "", "")
	must[*ec2.UpdateSecurityGroupRuleDescriptionsIngressOutput](t)(f.UpdateSecurityGroupRuleDescriptionsIngress(f.ctx, &ec2.UpdateSecurityGroupRuleDescriptionsIngressInput{
		GroupId: &g, SecurityGroupRuleDescriptions: []*ec2.SecurityGroupRuleDescription{{SecurityGroupRuleId: &id, Description: wire.Ptr("by id")}},
	}))
	other := from(perm("tcp", 443, 443), "0.0.0.0/0")
	other.IpRanges[0].Description = wire.Ptr("by match")
	must[*ec2.UpdateSecurityGroupRuleDescriptionsIngressOutput](t)(f.UpdateSecurityGroupRuleDescriptionsIngress(f.ctx, &ec2.UpdateSecurityGroupRuleDescriptionsIngressInput{
		GroupId: &g, IpPermissions: []*ec2.IpPermission{other},
	}))
	var got []string
	for _, r := range f.rules(g, false) {
		got = append(got, fmt.Sprint(*r.FromPort, " ", *r.CidrIpv4, " ", *r.Description, " ", len(r.Tags), " ", *r.SecurityGroupRuleId == id))
	}
	slices.Sort(got)
	if want := []string{"443 0.0.0.0/0 by match 0 false", "81 10.0.0.0/8 by id 1 true"}; !slices.Equal(got, want) {
		t.Errorf("rules %q, want %q", got, want)
	}

	// The quota counts one direction of one group.
	var many []*ec2.IpPermission
	for p := range int64(maxRules - 2) {
		many = append(many, from(perm("udp", p, p), "10.0.0.0/8"))
	}
	must[*ec2.AuthorizeSecurityGroupIngressOutput](t)(f.AuthorizeSecurityGroupIngress(f.ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &g, IpPermissions: many}))
	more := []*ec2.IpPermission{from(perm("udp", 1000, 1000), "10.0.0.0/8")}
	_, err := f.AuthorizeSecurityGroupIngress(f.ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &g, IpPermissions: more})
	wantError(t, "too many", err, "RulesPerSecurityGroupLimitExceeded", "")
	must[*ec2.AuthorizeSecurityGroupEgressOutput](t)(f.AuthorizeSecurityGroupEgress(f.ctx, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: &g, IpPermissions: more}))
}

func TestGroupFilters(t *testing.T) {
	f := newFixture(t)
	v := f.vpc(f.ctx, "10.0.0.0/16")
	web, db := f.group(f.ctx, v, "web"), f.group(f.ctx, v, "db")
	must[*ec2.AuthorizeSecurityGroupIngressOutput](t)(f.AuthorizeSecurityGroupIngress(f.ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &db, IpPermissions: []*ec2.IpPermission{from(perm("tcp", 5432, 5433), web), from(perm("tcp", 22, 22), "10.1.0.0/16")},
	}))
	for _, tt := range []struct {
		name, value string
		want        int
	}{
		{"ip-permission.from-port", "5432", 1},
		{"ip-permission.to-port", "5433", 1},
		{"ip-permission.from-port", "5433", 0},
		{"ip-permission.group-id", web, 1},
		{"ip-permission.cidr", "10.1.*", 1},
		{"ip-permission.protocol", "tcp", 1},
		{"ip-permission.user-id", testAccount, 2}, // and the default group's reference to itself
		{"egress.ip-permission.cidr", "0.0.0.0/0", 3},
		{"egress.ip-permission.protocol", "tcp", 0},
		{"description", "db", 1},
		{"owner-id", otherAccount, 0},
	} {
		out := must[*ec2.DescribeSecurityGroupsOutput](t)(f.DescribeSecurityGroups(f.ctx, &ec2.DescribeSecurityGroupsInput{Filters: filters(tt.name, tt.value)}))
		if len(out.SecurityGroups) != tt.want {
			t.Errorf("%s=%s: %d groups, want %d", tt.name, tt.value, len(out.SecurityGroups), tt.want)
		}
	}
}
