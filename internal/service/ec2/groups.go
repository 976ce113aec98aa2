package ec2

import (
	"context"
	"regexp"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// groupText is what AWS allows in the names and descriptions of groups.
var groupText = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}$`)

// CreateSecurityGroup makes a security group whose only rule lets everything
// out.
func (s *Service) CreateSecurityGroup(ctx context.Context, in *ec2.CreateSecurityGroupInput) (*ec2.CreateSecurityGroupOutput, error) {
	name, description := wire.Val(in.GroupName), wire.Val(in.Description)
	switch {
	case name == "":
		return nil, missing("GroupName")
	case description == "":
		return nil, missing("GroupDescription")
	case strings.EqualFold(name, "default"):
		return nil, invalidValue("Cannot use reserved security group name: %s", name)
	case strings.HasPrefix(name, "sg-"):
		return nil, invalidValue("Value (%s) for parameter GroupName is invalid. Group names may not be in the format sg-*", name)
	case !groupText.MatchString(name):
		return nil, invalidValue("Invalid security group name. Valid names are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
	case !groupText.MatchString(description):
		return nil, invalidValue("Invalid security group description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
	case in.VpcId == nil:
		return nil, noDefaultVPC()
	}
	tags, err := tagsFor(kindGroup.typ, in.TagSpecifications)
	if err != nil {
		return nil, err
	}
	var g *resource.SecurityGroup
	err = s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		v, err := find(tx, c, store.VPCs, kindVPC, *in.VpcId)
		if err != nil {
			return err
		}
		g, err = vpc.CreateGroup(tx, v, name, description, tags)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ec2.CreateSecurityGroupOutput{GroupId: &g.ID, Tags: tagList(g.Tags)}, nil
}

// noDefaultVPC is the error for what works only in a default VPC.
func noDefaultVPC() error {
	return wire.Errorf(400, "VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
}

// groupID returns the group that a request is about. Naming it works only in a
// default VPC, which accounts do not have.
func groupID(id, name *string) (string, error) {
	switch {
	case id != nil:
		return *id, nil
	case name != nil:
		return "", noDefaultVPC()
	}
	return "", wire.Errorf(400, "MissingParameter", "The request must contain the parameter groupName or groupId")
}

// DeleteSecurityGroup removes a group that no interface has and no rule of
// another group refers to.
func (s *Service) DeleteSecurityGroup(ctx context.Context, in *ec2.DeleteSecurityGroupInput) (*ec2.DeleteSecurityGroupOutput, error) {
	id, err := groupID(in.GroupId, in.GroupName)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.SecurityGroups, kindGroup, id)
		if err != nil {
			return err
		}
		if v, ok := store.VPCs.Get(tx, g.VPC); ok && v.DefaultGroup == g.ID {
			return wire.Errorf(400, "CannotDelete", `the specified group: "%s" name: "%s" cannot be deleted by a user`, g.ID, g.Name)
		}
		if groupInUse(tx, id) {
			return wire.Errorf(400, "DependencyViolation", "resource %s has a dependent object", id)
		}
		vpc.DeleteGroup(tx, id)
		return nil
	})
}

// groupInUse says whether something other than the group itself needs it.
func groupInUse(r store.Reader, id string) bool {
	has := func(groups []string) bool {
		for _, g := range groups {
			if g == id {
				return true
			}
		}
		return false
	}
	for n := range store.NetworkInterfaces.Scan(r) {
		if has(n.Groups) {
			return true
		}
	}
	for rule := range store.SecurityGroupRules.Scan(r) {
		if rule.ReferencedGroup == id && rule.Group != id {
			return true
		}
	}
	// These have it even while they have no interfaces.
	for e := range store.VPCEndpoints.Scan(r) {
		if has(e.Groups) {
			return true
		}
	}
	for l := range store.LoadBalancers.Scan(r) {
		if has(l.Groups) {
			return true
		}
	}
	for l := range store.VPCLinksV2.Scan(r) {
		if has(l.Groups) {
			return true
		}
	}
	return false
}

// DescribeSecurityGroups lists groups with their rules.
func (s *Service) DescribeSecurityGroups(ctx context.Context, in *ec2.DescribeSecurityGroupsInput) (*ec2.DescribeSecurityGroupsOutput, error) {
	if len(in.GroupNames) > 0 {
		return nil, noDefaultVPC()
	}
	r := s.db.View()
	groups, err := pick(r, callerOf(ctx), store.SecurityGroups, kindGroup, in.GroupIds)
	if err != nil {
		return nil, err
	}
	rules := make(map[string][]*resource.SecurityGroupRule)
	for rule := range store.SecurityGroupRules.Scan(r) {
		rules[rule.Group] = append(rules[rule.Group], rule)
	}
	items := shapes(groups, func(g *resource.SecurityGroup) *ec2.SecurityGroup { return groupShape(r, g, rules[g.ID]) })
	page, next, err := groupListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeSecurityGroupsOutput{SecurityGroups: page, NextToken: next}, err
}

func groupShape(r store.Reader, g *resource.SecurityGroup, rules []*resource.SecurityGroupRule) *ec2.SecurityGroup {
	var in, out []*resource.SecurityGroupRule
	for _, rule := range rules {
		if rule.Egress {
			out = append(out, rule)
		} else {
			in = append(in, rule)
		}
	}
	return &ec2.SecurityGroup{
		GroupId:             &g.ID,
		GroupName:           &g.Name,
		Description:         &g.Description,
		OwnerId:             &g.Account,
		VpcId:               &g.VPC,
		Tags:                tagList(g.Tags),
		IpPermissions:       permissions(r, in),
		IpPermissionsEgress: permissions(r, out),
	}
}

// permissionFields are the filters for a group's permissions of one direction.
func permissionFields(f fields[*ec2.SecurityGroup], prefix string, get func(*ec2.SecurityGroup) []*ec2.IpPermission) {
	add := func(name string, of func(*ec2.IpPermission) []string) {
		f[prefix+name] = func(g *ec2.SecurityGroup) []string { return each(get(g), of) }
	}
	pairs := func(of func(*ec2.UserIdGroupPair) []string) func(*ec2.IpPermission) []string {
		return func(p *ec2.IpPermission) []string { return each(p.UserIdGroupPairs, of) }
	}
	add("cidr", func(p *ec2.IpPermission) []string {
		return each(p.IpRanges, func(r *ec2.IpRange) []string { return text(r.CidrIp) })
	})
	add("ipv6-cidr", func(p *ec2.IpPermission) []string {
		return each(p.Ipv6Ranges, func(r *ec2.Ipv6Range) []string { return text(r.CidrIpv6) })
	})
	add("from-port", func(p *ec2.IpPermission) []string { return number(p.FromPort) })
	add("to-port", func(p *ec2.IpPermission) []string { return number(p.ToPort) })
	add("protocol", func(p *ec2.IpPermission) []string { return text(p.IpProtocol) })
	add("group-id", pairs(func(g *ec2.UserIdGroupPair) []string { return text(g.GroupId) }))
	add("group-name", pairs(func(g *ec2.UserIdGroupPair) []string { return text(g.GroupName) }))
	add("user-id", pairs(func(g *ec2.UserIdGroupPair) []string { return text(g.UserId) }))
	f[prefix+"prefix-list-id"] = never[*ec2.SecurityGroup]
}

var groupListing = func() listing[*ec2.SecurityGroup] {
	f := fields[*ec2.SecurityGroup]{
		"description": func(g *ec2.SecurityGroup) []string { return text(g.Description) },
		"group-id":    func(g *ec2.SecurityGroup) []string { return text(g.GroupId) },
		"group-name":  func(g *ec2.SecurityGroup) []string { return text(g.GroupName) },
		"owner-id":    func(g *ec2.SecurityGroup) []string { return text(g.OwnerId) },
		"vpc-id":      func(g *ec2.SecurityGroup) []string { return text(g.VpcId) },
	}
	permissionFields(f, "ip-permission.", func(g *ec2.SecurityGroup) []*ec2.IpPermission { return g.IpPermissions })
	permissionFields(f, "egress.ip-permission.", func(g *ec2.SecurityGroup) []*ec2.IpPermission { return g.IpPermissionsEgress })
	return listing[*ec2.SecurityGroup]{
		id:     func(g *ec2.SecurityGroup) *string { return g.GroupId },
		tags:   func(g *ec2.SecurityGroup) []*ec2.Tag { return g.Tags },
		fields: f,
	}
}()
