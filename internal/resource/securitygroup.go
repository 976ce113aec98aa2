package resource

import "net/netip"

// SecurityGroup is a named set of rules of one VPC. The rules are rows of
// their own, since AWS gives each an id.
type SecurityGroup struct {
	Meta
	ID          string `json:"id"` // sg-…
	VPC         string `json:"vpc"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// Key is the group's id.
func (g *SecurityGroup) Key() string { return g.ID }

// SecurityGroupRule allows one peer: exactly one of CIDR and ReferencedGroup
// is set.
type SecurityGroupRule struct {
	Meta
	ID              string       `json:"id"` // sgr-…
	Group           string       `json:"group"`
	Egress          bool         `json:"egress"`
	Protocol        string       `json:"protocol"` // "tcp", "udp", "icmp", "-1", or a protocol number
	From            int          `json:"from"`     // port; ICMP type; -1 for any
	To              int          `json:"to"`       // port; ICMP code; -1 for any
	CIDR            netip.Prefix `json:"cidr,omitzero"`
	ReferencedGroup string       `json:"referencedGroup,omitempty"`
	Description     string       `json:"description,omitempty"`
}

// Key is the rule's id.
func (r *SecurityGroupRule) Key() string { return r.ID }
