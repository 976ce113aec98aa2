package compile

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/bgp/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// onPremises is what virtual private gateways have learned, and what they have
// forgotten.
type onPremises struct {
	gateways   map[string]*resource.VPNGateway
	interfaces map[string][]*resource.VirtualInterface // by gateway
	sessions   map[string]*resource.BGPSession         // by virtual interface
	learned    map[string][]resource.LearnedRoute      // by gateway
}

func newOnPremises(in Input) onPremises {
	o := onPremises{
		gateways:   index(in.VPNGateways),
		interfaces: groupBy(in.VirtualInterfaces, func(v *resource.VirtualInterface) string { return v.Gateway }),
		sessions:   index(in.BGPSessions),
		learned:    map[string][]resource.LearnedRoute{},
	}
	for id, all := range o.interfaces {
		o.learned[id] = resource.LearnedRoutes(id, all, o.sessions)
	}
	return o
}

// extend adds the routes of a table that lead to virtual interfaces: those that
// a gateway propagates, and those that the static routes to a gateway stand
// for. t has all others.
func (o onPremises) extend(t *tables.RouteTable, r *resource.RouteTable, vpc *resource.VPC) {
	for _, id := range r.Propagating {
		if g := o.gateways[id]; g == nil || g.VPC != vpc.ID {
			continue
		}
		for _, l := range r.Propagated(vpc, o.learned[id]) {
			addRoute(t, toInterface(l.Prefix, l.Interface))
		}
		t.Withdrawn = append(t.Withdrawn, o.withdrawn(id)...)
	}
	// What is there now decides which static route is the longest.
	others := slices.Clone(t.Routes)
	var static []netip.Prefix
	for _, s := range r.Routes {
		if s.Kind == resource.RouteVPNGateway {
			static = append(static, s.Destination)
		}
	}
	for _, s := range r.Routes {
		if s.Kind != resource.RouteVPNGateway {
			continue
		}
		g := o.gateways[s.Target]
		route := tables.Route{Prefix: s.Destination, Kind: tables.Blackhole}
		if g != nil && g.VPC == vpc.ID {
			for _, l := range o.learned[g.ID] {
				switch {
				case covers(l.Prefix, s.Destination): // the last is the longest
					route = toInterface(s.Destination, l.Interface)
				case covers(s.Destination, l.Prefix) && !vpc.Covers(l.Prefix) && longest(l.Prefix, others, static) == s.Destination:
					addRoute(t, toInterface(l.Prefix, l.Interface))
				}
			}
			t.Withdrawn = append(t.Withdrawn, o.withdrawn(g.ID)...)
		}
		addRoute(t, route)
	}
}

// addRoute adds a route, unless the table has one for the same range.
func addRoute(t *tables.RouteTable, r tables.Route) {
	if !slices.ContainsFunc(t.Routes, func(have tables.Route) bool { return have.Prefix == r.Prefix }) {
		t.Routes = append(t.Routes, r)
	}
}

func toInterface(p netip.Prefix, v *resource.VirtualInterface) tables.Route {
	return tables.Route{Prefix: p, Kind: tables.Interface, ENI: v.CustomerNumber}
}

// covers says whether a range contains another, or is it.
func covers(a, b netip.Prefix) bool { return a.Bits() <= b.Bits() && a.Contains(b.Addr()) }

// longest is the longest prefix, of routes and of others, that covers p.
func longest(p netip.Prefix, routes []tables.Route, others []netip.Prefix) (best netip.Prefix) {
	consider := func(q netip.Prefix) {
		if covers(q, p) && (!best.IsValid() || q.Bits() > best.Bits()) {
			best = q
		}
	}
	for _, r := range routes {
		consider(r.Prefix)
	}
	for _, q := range others {
		consider(q)
	}
	return best
}

// withdrawn are the ranges to which a gateway had routes from sessions that are
// down, each once.
func (o onPremises) withdrawn(gateway string) (gone []tables.Withdrawn) {
	down := map[netip.Prefix][]*resource.VirtualInterface{}
	for _, v := range o.interfaces[gateway] {
		if s := o.sessions[v.ID]; s != nil && !s.Up {
			for _, p := range s.Withdrawn {
				down[p] = append(down[p], v)
			}
		}
	}
	for p, all := range down {
		gone = append(gone, tables.Withdrawn{Prefix: p, Cause: o.why(gateway, all...)})
	}
	slices.SortFunc(gone, func(a, b tables.Withdrawn) int { return comparePrefix(a.Prefix, b.Prefix) })
	return gone
}

// why tells people why virtual interfaces of a gateway lead nowhere.
func (o onPremises) why(gateway string, all ...*resource.VirtualInterface) string {
	slices.SortFunc(all, func(a, b *resource.VirtualInterface) int { return cmp.Compare(a.CustomerNumber, b.CustomerNumber) })
	var causes []string
	for _, v := range all {
		causes = append(causes, v.SessionDown(o.sessions[v.ID]))
	}
	return "propagated routes of " + gateway + " are withdrawn because " + strings.Join(causes, "; ")
}

// wired is a virtual interface whose gateway is attached to a VPC.
type wired struct {
	*resource.VirtualInterface
	gateway *resource.VPNGateway
	vpc     *resource.VPC
	node    *resource.NetworkInterface
}

// wired are the virtual interfaces that lead somewhere.
func (c *compiler) wired() (all []wired) {
	for _, v := range c.in.VirtualInterfaces {
		w := wired{VirtualInterface: v, gateway: c.onPremises.gateways[v.Gateway], node: c.interfaces[v.Node]}
		if w.gateway == nil || w.node == nil {
			continue
		}
		if w.vpc = c.vpcs[w.gateway.VPC]; w.vpc != nil {
			all = append(all, w)
		}
	}
	return all
}

// virtualInterfaces adds the two ends of every wire. The customer's is a host
// that sends from whatever addresses its router has announced. Amazon's is an
// endpoint that leads to a node in API Gateway's VPC, from whose address the
// BGP process knows the virtual interface.
func (c *compiler) virtualInterfaces(t *tables.Tables) {
	for _, v := range c.wired() {
		customer := tables.ENI{
			Number: v.CustomerNumber, ID: v.ID, Kind: tables.Host, Network: v.vpc.Number,
			Addresses: []netip.Addr{v.CustomerAddress.Addr()}, Subnet: v.CustomerAddress.Masked(), RouteTable: v.RouteTable,
			AnySource: true, ReversePath: true, Owner: v.Gateway,
		}
		if mac, err := net.ParseMAC(v.MAC); err == nil {
			copy(customer.MAC[:], mac)
		}
		if v.Attachment != nil {
			customer.Device = &tables.Device{Netns: v.Attachment.Netns, MTU: int(v.MTU), NoRoutes: true}
		}
		session, _ := ruleSet([]grant{{
			prefixes: []netip.Prefix{netip.PrefixFrom(v.CustomerAddress.Addr(), 32)},
			ranges:   []tables.Range{{Protocol: tables.TCP, Low: config.Port, High: config.Port}},
		}})
		t.RuleSets = append(t.RuleSets, session)
		amazon := tables.ENI{
			Number: v.AmazonNumber, ID: v.ID + "-amazon", Kind: tables.Endpoint, Network: v.vpc.Number, MAC: customer.MAC,
			Addresses: []netip.Addr{v.AmazonAddress.Addr()}, Subnet: v.AmazonAddress.Masked(), RouteTable: v.RouteTable,
			Ingress: session.ID, Peer: v.node.Number, Available: true, Owner: v.ID,
		}
		t.ENIs = append(t.ENIs, customer, amazon)
		t.RouteTables = append(t.RouteTables, c.wireTable(v))
		if process := c.processes[processKey{"bgp", v.Region}]; process != nil {
			at := resource.Target{Address: process.Addresses[0], Port: config.Port}
			set, group := targetSet([]resource.Target{at}), hashText("bgp "+addrPort(at).String())
			t.TargetSets = append(t.TargetSets, set)
			t.Members = append(t.Members, tables.Member{Group: group, Target: addrPort(at)})
			t.Listeners = append(t.Listeners, tables.Listener{
				ENI: v.node.Number, Protocol: tables.TCP, Port: config.Port, Targets: set.ID, Group: group, Idle: defaultTCPIdle, ID: v.ID,
			})
		}
	}
}

// wireTable is the route table of what comes from a customer's router: into
// the VPC, to the other end of the wire, and back to where it came from, which
// says whose packets may come.
func (c *compiler) wireTable(v wired) tables.RouteTable {
	t := tables.RouteTable{Number: v.RouteTable, ID: v.ID}
	for _, p := range v.vpc.CIDRs {
		t.Routes = append(t.Routes, tables.Route{Prefix: p, Kind: tables.Local})
	}
	t.Routes = append(t.Routes,
		tables.Route{Prefix: netip.PrefixFrom(v.AmazonAddress.Addr(), 32), Kind: tables.Local},
		toInterface(v.CustomerAddress.Masked(), v.VirtualInterface))
	if s := c.onPremises.sessions[v.ID]; s != nil && s.Up {
		for _, r := range s.Routes {
			if !v.vpc.Covers(r.Prefix) && r.Prefix != v.CustomerAddress.Masked() && r.Prefix != netip.PrefixFrom(v.AmazonAddress.Addr(), 32) {
				t.Routes = append(t.Routes, toInterface(r.Prefix, v.VirtualInterface))
			}
		}
	} else {
		t.Withdrawn = []tables.Withdrawn{{Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Cause: c.onPremises.why(v.Gateway, v.VirtualInterface)}}
	}
	slices.SortFunc(t.Routes, func(a, b tables.Route) int { return comparePrefix(a.Prefix, b.Prefix) })
	return t
}

// BGP compiles the sessions of the BGP process of a region.
func BGP(in Input, region string) config.Config {
	c := newCompiler(in)
	var out config.Config
	if process := c.processes[processKey{"bgp", region}]; process != nil {
		out.RouterID = process.Addresses[0]
	}
	for _, v := range c.wired() {
		if v.Region != region || len(v.node.Addresses) == 0 {
			continue
		}
		announce := slices.Clone(v.vpc.CIDRs)
		slices.SortFunc(announce, netip.Prefix.Compare)
		out.Sessions = append(out.Sessions, config.Session{
			Interface: v.ID, Number: v.CustomerNumber, Peer: v.node.Addresses[0], LocalASN: uint32(v.gateway.ASN),
			PeerASN: uint32(v.ASN), NextHop: v.AmazonAddress.Addr(), Announce: announce,
		})
	}
	slices.SortFunc(out.Sessions, func(a, b config.Session) int { return cmp.Compare(a.Number, b.Number) })
	return out
}
