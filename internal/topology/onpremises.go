package topology

import (
	"cmp"
	"fmt"

	"github.com/isthmus-net/isthmus/internal/resource"
)

// onPremises adds virtual private gateways, the virtual interfaces that lead
// to them, and for each connection what is at its other end.
func (b *builder) onPremises() {
	for _, g := range b.in.VPNGateways {
		if g.VPC != "" {
			b.add(Node{ID: g.ID, Kind: VPNGateway, Label: named("gateway", g.Tags, g.ID), Detail: fmt.Sprintf("AS %d", g.ASN), Parent: g.VPC, Account: g.Account})
		}
	}
	sessions := map[string]*resource.BGPSession{}
	for _, s := range b.in.BGPSessions {
		sessions[s.Interface] = s
	}
	connections := map[string]*resource.DXConnection{}
	for _, c := range b.in.DXConnections {
		connections[c.ID] = c
	}
	for _, v := range b.in.VirtualInterfaces {
		site := Node{ID: "on-premises/" + v.Connection, Kind: OnPremises, Label: "on-premises", Account: v.Account}
		if c := connections[v.Connection]; c != nil {
			site.Detail = cmp.Or(c.Name, c.ID) + " at " + c.Location
		}
		b.add(site)
		state := b.virtualInterface(v, sessions[v.ID])
		b.join(site.ID, v.ID, state)
		b.join(v.ID, v.Gateway, state)
	}
}

// virtualInterface adds a virtual interface with what its router announces, or
// did so until its session went down.
func (b *builder) virtualInterface(v *resource.VirtualInterface, s *resource.BGPSession) State {
	if s == nil {
		s = &resource.BGPSession{}
	}
	state, is := Bad, "down"
	if s.Up {
		state, is = Good, "up"
	}
	b.add(Node{
		ID: v.ID, Kind: VirtualInterface, Label: v.Name + " " + v.ID, State: state, Account: v.Account, Interfaces: []string{v.ID},
		Detail: fmt.Sprintf("peer %s, AS %d, BGP %s", v.CustomerAddress.Addr(), v.ASN, is),
	})
	row := func(label, detail string) {
		b.add(Node{ID: v.ID + "/" + label, Kind: Prefix, Label: label, Detail: detail, State: state, Parent: v.ID, Account: v.Account})
	}
	for _, r := range s.Routes {
		row(r.Prefix.String(), "learned")
	}
	for _, p := range s.Withdrawn {
		row(p.String(), "withdrawn")
	}
	if !s.Up {
		row(s.Why(), "")
	}
	return state
}
