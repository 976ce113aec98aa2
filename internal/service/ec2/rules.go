package ec2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// maxRules is AWS's default quota of rules of a group in one direction.
const maxRules = 60

// flat is the older way to say one permission, by parameters of the request.
type flat struct {
	cidr, group, protocol *string
	from, to              *int64
}

// ruleRequest is what a request says about rules of one group.
type ruleRequest struct {
	dryRun   *bool
	id, name *string
	egress   bool
	perms    []*ec2.IpPermission
	flat     flat
	tags     []*ec2.TagSpecification
	ids      []string // of rules
}

// permissions returns the permissions in whichever way they were given.
func (q ruleRequest) permissions() []*ec2.IpPermission {
	f := q.flat
	if len(q.perms) > 0 || f == (flat{}) {
		return q.perms
	}
	p := &ec2.IpPermission{IpProtocol: f.protocol, FromPort: f.from, ToPort: f.to}
	if f.cidr != nil {
		p.IpRanges = []*ec2.IpRange{{CidrIp: f.cidr}}
	}
	if f.group != nil {
		p.UserIdGroupPairs = []*ec2.UserIdGroupPair{{GroupName: f.group}}
		if p.IpProtocol == nil {
			// A group alone stands for all of its traffic.
			p.IpProtocol = wire.Ptr("-1")
		}
	}
	return []*ec2.IpPermission{p}
}

// AuthorizeSecurityGroupIngress adds rules for what may come in.
func (s *Service) AuthorizeSecurityGroupIngress(ctx context.Context, in *ec2.AuthorizeSecurityGroupIngressInput) (*ec2.AuthorizeSecurityGroupIngressOutput, error) {
	rules, err := s.authorize(ctx, ruleRequest{
		dryRun: in.DryRun, id: in.GroupId, name: in.GroupName, perms: in.IpPermissions, tags: in.TagSpecifications,
		flat: flat{in.CidrIp, in.SourceSecurityGroupName, in.IpProtocol, in.FromPort, in.ToPort},
	})
	return &ec2.AuthorizeSecurityGroupIngressOutput{Return: wire.Ptr(true), SecurityGroupRules: rules}, err
}

// AuthorizeSecurityGroupEgress adds rules for what may go out.
func (s *Service) AuthorizeSecurityGroupEgress(ctx context.Context, in *ec2.AuthorizeSecurityGroupEgressInput) (*ec2.AuthorizeSecurityGroupEgressOutput, error) {
	rules, err := s.authorize(ctx, ruleRequest{
		dryRun: in.DryRun, id: in.GroupId, egress: true, perms: in.IpPermissions, tags: in.TagSpecifications,
		flat: flat{in.CidrIp, in.SourceSecurityGroupName, in.IpProtocol, in.FromPort, in.ToPort},
	})
	return &ec2.AuthorizeSecurityGroupEgressOutput{Return: wire.Ptr(true), SecurityGroupRules: rules}, err
}

func (s *Service) authorize(ctx context.Context, q ruleRequest) ([]*ec2.SecurityGroupRule, error) {
	id, err := groupID(q.id, q.name)
	if err != nil {
		return nil, err
	}
	perms := q.permissions()
	if len(perms) == 0 {
		return nil, missing("ipPermissions")
	}
	tags, err := tagsFor(kindRule.typ, q.tags)
	if err != nil {
		return nil, err
	}
	var added []*ec2.SecurityGroupRule
	err = s.update(ctx, q.dryRun, func(tx *store.Tx, c caller) error {
		added = nil
		g, err := find(tx, c, store.SecurityGroups, kindGroup, id)
		if err != nil {
			return err
		}
		rules, err := rulesOf(tx, g, q.egress, perms)
		if err != nil {
			return err
		}
		if err := checkNew(tx, g, q.egress, rules); err != nil {
			return err
		}
		for _, rule := range rules {
			rule.Tags = tags
			vpc.AddRule(tx, g, rule)
			added = append(added, ruleShape(tx, rule))
		}
		return nil
	})
	return added, err
}

// checkNew says whether rules can be added to a group: they are not there yet
// and not too many.
func checkNew(r store.Reader, g *resource.SecurityGroup, egress bool, rules []*resource.SecurityGroupRule) error {
	fresh := make(map[match]bool, len(rules))
	for _, rule := range rules {
		if fresh[matchOf(rule)] {
			return invalidValue("The same permission must not appear multiple times")
		}
		fresh[matchOf(rule)] = true
	}
	count := len(rules)
	for old := range store.SecurityGroupRules.Scan(r) {
		if old.Group != g.ID || old.Egress != egress {
			continue
		}
		if fresh[matchOf(old)] {
			return wire.Errorf(400, "InvalidPermission.Duplicate", `the specified rule "%s" already exists`, matchOf(old))
		}
		count++
	}
	if count > maxRules {
		return wire.Errorf(400, "RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
	}
	return nil
}

// RevokeSecurityGroupIngress removes rules for what may come in.
func (s *Service) RevokeSecurityGroupIngress(ctx context.Context, in *ec2.RevokeSecurityGroupIngressInput) (*ec2.RevokeSecurityGroupIngressOutput, error) {
	err := s.revoke(ctx, ruleRequest{
		dryRun: in.DryRun, id: in.GroupId, name: in.GroupName, perms: in.IpPermissions, ids: in.SecurityGroupRuleIds,
		flat: flat{in.CidrIp, in.SourceSecurityGroupName, in.IpProtocol, in.FromPort, in.ToPort},
	})
	return &ec2.RevokeSecurityGroupIngressOutput{Return: wire.Ptr(true)}, err
}

// RevokeSecurityGroupEgress removes rules for what may go out.
func (s *Service) RevokeSecurityGroupEgress(ctx context.Context, in *ec2.RevokeSecurityGroupEgressInput) (*ec2.RevokeSecurityGroupEgressOutput, error) {
	err := s.revoke(ctx, ruleRequest{
		dryRun: in.DryRun, id: in.GroupId, egress: true, perms: in.IpPermissions, ids: in.SecurityGroupRuleIds,
		flat: flat{in.CidrIp, in.SourceSecurityGroupName, in.IpProtocol, in.FromPort, in.ToPort},
	})
	return &ec2.RevokeSecurityGroupEgressOutput{Return: wire.Ptr(true)}, err
}

func (s *Service) revoke(ctx context.Context, q ruleRequest) error {
	id, err := groupID(q.id, q.name)
	if err != nil {
		return err
	}
	perms := q.permissions()
	if len(perms) == 0 && len(q.ids) == 0 {
		return missing("ipPermissions")
	}
	if len(perms) > 0 && len(q.ids) > 0 {
		return wire.Errorf(400, "InvalidParameterCombination", "The parameter securityGroupRuleIds cannot be used with the parameter ipPermissions")
	}
	return s.update(ctx, q.dryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.SecurityGroups, kindGroup, id)
		if err != nil {
			return err
		}
		for _, id := range sortedUnique(q.ids) {
			if _, err := ruleOf(tx, c, g, id, q.egress); err != nil {
				return err
			}
			store.SecurityGroupRules.Delete(tx, id)
		}
		rules, err := matching(tx, g, q.egress, perms)
		if err != nil {
			return err
		}
		for _, rule := range rules {
			store.SecurityGroupRules.Delete(tx, rule.id)
		}
		return nil
	})
}

// ruleOf returns a rule of a group and a direction by its id.
func ruleOf(r store.Reader, c caller, g *resource.SecurityGroup, id string, egress bool) (*resource.SecurityGroupRule, error) {
	rule, err := find(r, c, store.SecurityGroupRules, kindRule, id)
	if err != nil {
		return nil, err
	}
	if rule.Group != g.ID || rule.Egress != egress {
		return nil, kindRule.notFound(id)
	}
	return rule, nil
}

// matched is a stored rule that a request means, and the description that the
// request gives to it.
type matched struct{ id, description string }

// matching returns the rules of a group that permissions mean; each must exist.
func matching(r store.Reader, g *resource.SecurityGroup, egress bool, perms []*ec2.IpPermission) ([]matched, error) {
	wanted, err := rulesOf(r, g, egress, perms)
	if err != nil || len(wanted) == 0 {
		return nil, err
	}
	stored := make(map[match]string)
	for rule := range store.SecurityGroupRules.Scan(r) {
		if rule.Group == g.ID {
			stored[matchOf(rule)] = rule.ID
		}
	}
	var found []matched
	for _, w := range wanted {
		id, ok := stored[matchOf(w)]
		if !ok {
			return nil, wire.Errorf(400, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
		found = append(found, matched{id, w.Description})
	}
	return found, nil
}

// UpdateSecurityGroupRuleDescriptionsIngress changes descriptions of rules for
// what may come in.
func (s *Service) UpdateSecurityGroupRuleDescriptionsIngress(ctx context.Context, in *ec2.UpdateSecurityGroupRuleDescriptionsIngressInput) (*ec2.UpdateSecurityGroupRuleDescriptionsIngressOutput, error) {
	err := s.describeRules(ctx, ruleRequest{dryRun: in.DryRun, id: in.GroupId, name: in.GroupName, perms: in.IpPermissions}, in.SecurityGroupRuleDescriptions)
	return &ec2.UpdateSecurityGroupRuleDescriptionsIngressOutput{Return: wire.Ptr(true)}, err
}

// UpdateSecurityGroupRuleDescriptionsEgress changes descriptions of rules for
// what may go out.
func (s *Service) UpdateSecurityGroupRuleDescriptionsEgress(ctx context.Context, in *ec2.UpdateSecurityGroupRuleDescriptionsEgressInput) (*ec2.UpdateSecurityGroupRuleDescriptionsEgressOutput, error) {
	err := s.describeRules(ctx, ruleRequest{dryRun: in.DryRun, id: in.GroupId, name: in.GroupName, egress: true, perms: in.IpPermissions}, in.SecurityGroupRuleDescriptions)
	return &ec2.UpdateSecurityGroupRuleDescriptionsEgressOutput{Return: wire.Ptr(true)}, err
}

func (s *Service) describeRules(ctx context.Context, q ruleRequest, byID []*ec2.SecurityGroupRuleDescription) error {
	id, err := groupID(q.id, q.name)
	if err != nil {
		return err
	}
	if len(q.perms) == 0 && len(byID) == 0 {
		return missing("ipPermissions")
	}
	return s.update(ctx, q.dryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.SecurityGroups, kindGroup, id)
		if err != nil {
			return err
		}
		rules, err := matching(tx, g, q.egress, q.perms)
		if err != nil {
			return err
		}
		for _, d := range byID {
			rules = append(rules, matched{wire.Val(d.SecurityGroupRuleId), wire.Val(d.Description)})
		}
		for _, m := range rules {
			rule, err := ruleOf(tx, c, g, m.id, q.egress)
			if err != nil {
				return err
			}
			rule.Description = m.description
			store.SecurityGroupRules.Put(tx, rule)
		}
		return nil
	})
}

// ModifySecurityGroupRules replaces what rules allow.
func (s *Service) ModifySecurityGroupRules(ctx context.Context, in *ec2.ModifySecurityGroupRulesInput) (*ec2.ModifySecurityGroupRulesOutput, error) {
	err := s.update(ctx, in.DryRun, func(tx *store.Tx, c caller) error {
		g, err := find(tx, c, store.SecurityGroups, kindGroup, wire.Val(in.GroupId))
		if err != nil {
			return err
		}
		for _, u := range in.SecurityGroupRules {
			id := wire.Val(u.SecurityGroupRuleId)
			rule, err := find(tx, c, store.SecurityGroupRules, kindRule, id)
			if err != nil {
				return err
			}
			if rule.Group != g.ID || u.SecurityGroupRule == nil {
				return kindRule.notFound(id)
			}
			changed, err := rulesOf(tx, g, rule.Egress, []*ec2.IpPermission{permissionOf(u.SecurityGroupRule)})
			if err != nil {
				return err
			}
			if len(changed) != 1 {
				return wire.Errorf(400, "InvalidParameterCombination", "A security group rule has exactly one source or destination.")
			}
			// The rule itself does not count as a duplicate of what it becomes.
			store.SecurityGroupRules.Delete(tx, id)
			if err := checkNew(tx, g, rule.Egress, changed); err != nil {
				return err
			}
			changed[0].Meta, changed[0].ID = rule.Meta, rule.ID
			store.SecurityGroupRules.Put(tx, changed[0])
		}
		return nil
	})
	return &ec2.ModifySecurityGroupRulesOutput{Return: wire.Ptr(true)}, err
}

func permissionOf(q *ec2.SecurityGroupRuleRequest) *ec2.IpPermission {
	p := &ec2.IpPermission{IpProtocol: q.IpProtocol, FromPort: q.FromPort, ToPort: q.ToPort}
	if q.CidrIpv4 != nil {
		p.IpRanges = []*ec2.IpRange{{CidrIp: q.CidrIpv4, Description: q.Description}}
	}
	if q.CidrIpv6 != nil {
		p.Ipv6Ranges = []*ec2.Ipv6Range{{CidrIpv6: q.CidrIpv6, Description: q.Description}}
	}
	if q.ReferencedGroupId != nil {
		p.UserIdGroupPairs = []*ec2.UserIdGroupPair{{GroupId: q.ReferencedGroupId, Description: q.Description}}
	}
	if q.PrefixListId != nil {
		p.PrefixListIds = []*ec2.PrefixListId{{PrefixListId: q.PrefixListId}}
	}
	return p
}

// DescribeSecurityGroupRules lists rules.
func (s *Service) DescribeSecurityGroupRules(ctx context.Context, in *ec2.DescribeSecurityGroupRulesInput) (*ec2.DescribeSecurityGroupRulesOutput, error) {
	r := s.db.View()
	rows, err := pick(r, callerOf(ctx), store.SecurityGroupRules, kindRule, in.SecurityGroupRuleIds)
	if err != nil {
		return nil, err
	}
	items := shapes(rows, func(rule *resource.SecurityGroupRule) *ec2.SecurityGroupRule { return ruleShape(r, rule) })
	page, next, err := ruleListing.apply(items, in.Filters, in.MaxResults, in.NextToken)
	return &ec2.DescribeSecurityGroupRulesOutput{SecurityGroupRules: page, NextToken: next}, err
}

func ruleShape(r store.Reader, rule *resource.SecurityGroupRule) *ec2.SecurityGroupRule {
	out := &ec2.SecurityGroupRule{
		SecurityGroupRuleId: &rule.ID,
		GroupId:             &rule.Group,
		GroupOwnerId:        &rule.Account,
		IsEgress:            &rule.Egress,
		IpProtocol:          &rule.Protocol,
		FromPort:            wire.Ptr(int64(rule.From)),
		ToPort:              wire.Ptr(int64(rule.To)),
		Description:         optional(rule.Description),
		Tags:                tagList(rule.Tags),
	}
	switch {
	case rule.ReferencedGroup != "":
		out.ReferencedGroupInfo = &ec2.ReferencedSecurityGroup{GroupId: &rule.ReferencedGroup}
		if g, ok := store.SecurityGroups.Get(r, rule.ReferencedGroup); ok {
			out.ReferencedGroupInfo.UserId, out.ReferencedGroupInfo.VpcId = &g.Account, &g.VPC
		}
	case rule.CIDR.Addr().Is4():
		out.CidrIpv4 = wire.Ptr(rule.CIDR.String())
	default:
		out.CidrIpv6 = wire.Ptr(rule.CIDR.String())
	}
	return out
}

var ruleListing = listing[*ec2.SecurityGroupRule]{
	id:   func(r *ec2.SecurityGroupRule) *string { return r.SecurityGroupRuleId },
	tags: func(r *ec2.SecurityGroupRule) []*ec2.Tag { return r.Tags },
	fields: fields[*ec2.SecurityGroupRule]{
		"group-id":               func(r *ec2.SecurityGroupRule) []string { return text(r.GroupId) },
		"security-group-rule-id": func(r *ec2.SecurityGroupRule) []string { return text(r.SecurityGroupRuleId) },
	},
}
