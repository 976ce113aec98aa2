package ec2

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// This file turns permissions of the wire, each for several peers, into rules
// for one peer, and back.

// match is what a rule allows, without its id and description: two rules of a
// group with the same match are the same rule to AWS.
type match struct {
	egress   bool
	protocol string
	from, to int
	cidr     netip.Prefix
	group    string
}

func matchOf(r *resource.SecurityGroupRule) match {
	return match{r.Egress, r.Protocol, r.From, r.To, r.CIDR, r.ReferencedGroup}
}

// String is the rule as AWS's messages have it.
func (m match) String() string {
	peer := m.group
	if peer == "" {
		peer = m.cidr.String()
	}
	switch m.protocol {
	case "-1":
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer)
	case "tcp", "udp":
		return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(m.protocol), m.from, m.to)
	case "icmp", "icmpv6":
		word := func(n int) string {
			if n < 0 {
				return "ALL"
			}
			return strconv.Itoa(n)
		}
		return fmt.Sprintf("peer: %s, %s, type: %s, code: %s, ALLOW", peer, strings.ToUpper(m.protocol), word(m.from), word(m.to))
	}
	return fmt.Sprintf("peer: %s, protocol: %s, ALLOW", peer, m.protocol)
}

// protocolNames are the protocols that EC2 shows by name.
var protocolNames = map[string]string{
	"all": "-1", "-1": "-1",
	"1": "icmp", "icmp": "icmp",
	"6": "tcp", "tcp": "tcp",
	"17": "udp", "udp": "udp",
	"58": "icmpv6", "icmpv6": "icmpv6",
}

// traffic reads what a permission says about protocol and ports (or ICMP type
// and code), in the form that rules have.
func traffic(protocol *string, from, to *int64) (string, int, int, error) {
	if protocol == nil {
		return "", 0, 0, missing("ipProtocol")
	}
	name, ok := protocolNames[strings.ToLower(*protocol)]
	if !ok {
		if n, err := strconv.ParseUint(*protocol, 10, 8); err == nil {
			// The other protocols have no ports to match.
			return strconv.FormatUint(n, 10), -1, -1, nil
		}
		return "", 0, 0, invalidValue("Invalid value '%s' for IP protocol. Unknown protocol.", *protocol)
	}
	if name == "-1" {
		return name, -1, -1, nil
	}
	if from == nil || to == nil {
		if name == "tcp" || name == "udp" {
			return "", 0, 0, invalidValue("Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
		}
		return "", 0, 0, invalidValue("Invalid value 'Must specify both type and code with ICMP.' for portRange.")
	}
	if name == "tcp" || name == "udp" {
		for _, port := range []int64{*from, *to} {
			if port < 0 || port > 65535 {
				return "", 0, 0, invalidValue("TCP/UDP port (%d) out of range", port)
			}
		}
		if *from > *to {
			return "", 0, 0, invalidValue("Invalid TCP/UDP port range (%d:%d)", *from, *to)
		}
	} else {
		if *from < -1 || *from > 255 || *to < -1 || *to > 255 {
			return "", 0, 0, invalidValue("ICMP type/code (%d/%d) out of range", *from, *to)
		}
		if *from == -1 && *to != -1 {
			return "", 0, 0, invalidValue("ICMP code (%d) specified without an ICMP type", *to)
		}
	}
	return name, int(*from), int(*to), nil
}

// parsePeer reads the range of a permission and clears its host bits.
func parsePeer(s string, v6 bool) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4() == v6 {
		return netip.Prefix{}, invalidValue("CIDR block %s is malformed", s)
	}
	return p.Masked(), nil
}

// rulesOf turns permissions for a group into rules without ids.
func rulesOf(r store.Reader, g *resource.SecurityGroup, egress bool, perms []*ec2.IpPermission) ([]*resource.SecurityGroupRule, error) {
	var rules []*resource.SecurityGroupRule
	for _, p := range perms {
		protocol, from, to, err := traffic(p.IpProtocol, p.FromPort, p.ToPort)
		if err != nil {
			return nil, err
		}
		add := func(cidr netip.Prefix, group string, description *string) {
			rules = append(rules, &resource.SecurityGroupRule{
				Group: g.ID, Egress: egress, Protocol: protocol, From: from, To: to,
				CIDR: cidr, ReferencedGroup: group, Description: wire.Val(description),
			})
		}
		before := len(rules)
		for _, x := range p.IpRanges {
			cidr, err := parsePeer(wire.Val(x.CidrIp), false)
			if err != nil {
				return nil, err
			}
			add(cidr, "", x.Description)
		}
		for _, x := range p.Ipv6Ranges {
			cidr, err := parsePeer(wire.Val(x.CidrIpv6), true)
			if err != nil {
				return nil, err
			}
			add(cidr, "", x.Description)
		}
		for _, x := range p.UserIdGroupPairs {
			id, err := referencedGroup(r, g, x)
			if err != nil {
				return nil, err
			}
			add(netip.Prefix{}, id, x.Description)
		}
		for _, x := range p.PrefixListIds {
			return nil, kindPrefixList.notFound(wire.Val(x.PrefixListId))
		}
		if len(rules) == before {
			return nil, wire.Errorf(400, "MissingParameter", "Source group or cidr must be specified")
		}
	}
	for _, rule := range rules {
		if rule.Description != "" && !groupText.MatchString(rule.Description) {
			return nil, invalidValue("Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
		}
	}
	return rules, nil
}

// referencedGroup returns the id of the group that a permission of g refers to
// by id or, in the same VPC, by name. Groups of another VPC could be referred
// to only through peering.
func referencedGroup(r store.Reader, g *resource.SecurityGroup, ref *ec2.UserIdGroupPair) (string, error) {
	c := caller{g.Account, g.Region}
	if ref.GroupId != nil {
		other, err := find(r, c, store.SecurityGroups, kindGroup, *ref.GroupId)
		if err != nil {
			return "", err
		}
		if other.VPC != g.VPC {
			return "", wire.Errorf(400, "InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
		}
		return other.ID, nil
	}
	name := wire.Val(ref.GroupName)
	for other := range store.SecurityGroups.Scan(r) {
		if other.VPC == g.VPC && other.Name == name {
			return other.ID, nil
		}
	}
	return "", wire.Errorf(400, "InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", name, g.VPC)
}

// permissions groups rules of one direction as EC2 shows them: by protocol and
// ports.
func permissions(r store.Reader, rules []*resource.SecurityGroupRule) []*ec2.IpPermission {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b *resource.SecurityGroupRule) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), a.Created.Compare(b.Created))
	})
	list := []*ec2.IpPermission{}
	var last *resource.SecurityGroupRule
	for _, rule := range rules {
		if last == nil || last.Protocol != rule.Protocol || last.From != rule.From || last.To != rule.To {
			p := &ec2.IpPermission{IpProtocol: &rule.Protocol}
			if _, named := protocolNames[rule.Protocol]; named && rule.Protocol != "-1" {
				p.FromPort, p.ToPort = wire.Ptr(int64(rule.From)), wire.Ptr(int64(rule.To))
			}
			list = append(list, p)
			last = rule
		}
		p := list[len(list)-1]
		description := optional(rule.Description)
		switch {
		case rule.ReferencedGroup != "":
			pair := &ec2.UserIdGroupPair{GroupId: &rule.ReferencedGroup, Description: description}
			if g, ok := store.SecurityGroups.Get(r, rule.ReferencedGroup); ok {
				pair.UserId = &g.Account
			}
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, pair)
		case rule.CIDR.Addr().Is4():
			p.IpRanges = append(p.IpRanges, &ec2.IpRange{CidrIp: wire.Ptr(rule.CIDR.String()), Description: description})
		default:
			p.Ipv6Ranges = append(p.Ipv6Ranges, &ec2.Ipv6Range{CidrIpv6: wire.Ptr(rule.CIDR.String()), Description: description})
		}
	}
	return list
}
