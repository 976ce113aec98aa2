package vpc

import (
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
)

var anyIPv4 = netip.MustParsePrefix("0.0.0.0/0")

// CreateGroup makes a security group with AWS's default rule, which lets
// everything out. Names are unique in a VPC.
func CreateGroup(tx *store.Tx, v *resource.VPC, name, description string, tags map[string]string) (*resource.SecurityGroup, error) {
	for g := range store.SecurityGroups.Scan(tx) {
		if g.VPC == v.ID && g.Name == name {
			return nil, wire.Errorf(400, "InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, v.ID)
		}
	}
	return newGroup(tx, v, name, description, tags), nil
}

func newGroup(tx *store.Tx, v *resource.VPC, name, description string, tags map[string]string) *resource.SecurityGroup {
	g := &resource.SecurityGroup{
		Meta:        newMeta(v.Account, v.Region, tags),
		ID:          NewID("sg"),
		VPC:         v.ID,
		Name:        name,
		Description: description,
	}
	store.SecurityGroups.Put(tx, g)
	AddRule(tx, g, &resource.SecurityGroupRule{Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: anyIPv4})
	return g
}

// AddRule stores a rule of a group under a new id. The caller has checked that
// the group does not have it yet.
func AddRule(tx *store.Tx, g *resource.SecurityGroup, rule *resource.SecurityGroupRule) {
	rule.Meta = newMeta(g.Account, g.Region, rule.Tags)
	rule.ID = NewID("sgr")
	rule.Group = g.ID
	store.SecurityGroupRules.Put(tx, rule)
}

// DeleteGroup removes a security group and its rules.
func DeleteGroup(tx *store.Tx, id string) {
	for _, rule := range store.SecurityGroupRules.List(tx) {
		if rule.Group == id {
			store.SecurityGroupRules.Delete(tx, rule.ID)
		}
	}
	store.SecurityGroups.Delete(tx, id)
}
