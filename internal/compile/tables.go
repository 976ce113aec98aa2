// Package compile makes, from a snapshot of the desired state, the tables of
// the data plane, the configuration of the gateway and of the load balancers'
// nodes, and the probes of the health checker. Its functions are pure: no I/O, no clock, equal input gives
// equal output.
package compile

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Input is the desired state that the data plane is made of.
type Input struct {
	VPCs              []*resource.VPC
	Subnets           []*resource.Subnet
	RouteTables       []*resource.RouteTable
	SecurityGroups    []*resource.SecurityGroup
	Rules             []*resource.SecurityGroupRule
	NetworkInterfaces []*resource.NetworkInterface
	EndpointServices  []*resource.EndpointService
	VPCEndpoints      []*resource.VPCEndpoint
	LoadBalancers     []*resource.LoadBalancer
	Listeners         []*resource.Listener
	ListenerRules     []*resource.ListenerRule
	Certificates      []*resource.Certificate
	TrustStores       []*resource.TrustStore
	TargetGroups      []*resource.TargetGroup
	TargetHealth      []*resource.TargetHealth
	VPNGateways       []*resource.VPNGateway
	VirtualInterfaces []*resource.VirtualInterface
	BGPSessions       []*resource.BGPSession
}

// Tables compiles the tables of the data plane.
func Tables(in Input) *tables.Tables {
	c := newCompiler(in)
	t := &tables.Tables{}
	for _, v := range in.VPCs {
		t.Networks = append(t.Networks, tables.Network{Number: v.Number, ID: v.ID})
	}
	for _, r := range in.RouteTables {
		if vpc := c.vpcs[r.VPC]; vpc != nil {
			t.RouteTables = append(t.RouteTables, c.routeTable(r, vpc))
		}
	}
	for _, n := range in.NetworkInterfaces {
		if e, ok := c.eni(n); ok {
			t.ENIs = append(t.ENIs, e)
		}
	}
	c.balance(t)
	c.invoke(t)
	c.resolve(t)
	c.virtualInterfaces(t)
	for _, s := range c.ruleSets {
		t.RuleSets = append(t.RuleSets, s.set)
	}
	order(t)
	return t
}

// order makes equal tables equal to the byte.
func order(t *tables.Tables) {
	slices.SortFunc(t.Networks, func(a, b tables.Network) int { return cmp.Compare(a.Number, b.Number) })
	slices.SortFunc(t.RouteTables, func(a, b tables.RouteTable) int { return cmp.Compare(a.Number, b.Number) })
	slices.SortFunc(t.ENIs, func(a, b tables.ENI) int { return cmp.Compare(a.Number, b.Number) })
	slices.SortFunc(t.RuleSets, func(a, b tables.RuleSet) int { return cmp.Compare(a.ID, b.ID) })
	t.RuleSets = slices.CompactFunc(t.RuleSets, func(a, b tables.RuleSet) bool { return a.ID == b.ID })
	slices.SortFunc(t.Listeners, func(a, b tables.Listener) int {
		return cmp.Or(cmp.Compare(a.ENI, b.ENI), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	slices.SortFunc(t.TargetSets, func(a, b tables.TargetSet) int { return cmp.Compare(a.ID, b.ID) })
	t.TargetSets = slices.CompactFunc(t.TargetSets, func(a, b tables.TargetSet) bool { return a.ID == b.ID })
	slices.SortFunc(t.Members, func(a, b tables.Member) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), a.Target.Compare(b.Target))
	})
	t.Members = slices.Compact(t.Members)
}

// compiler is the input arranged for look-ups.
type compiler struct {
	in           Input
	vpcs         map[string]*resource.VPC
	subnets      map[string]*resource.Subnet
	interfaces   map[string]*resource.NetworkInterface
	routeTables  map[string]uint32 // by subnet
	mainTables   map[string]uint32 // by VPC
	groupRules   map[string][]*resource.SecurityGroupRule
	groupMembers map[string][]netip.Prefix // addresses of the ENIs in a group
	ruleSets     map[string]compiledRules  // by direction and group ids
	endpoints    map[string]*resource.VPCEndpoint
	services     map[string]*resource.EndpointService
	balancers    map[string]*resource.LoadBalancer
	nodes        map[string]*resource.LoadBalancer // by the node's ENI
	processes    map[processKey]*resource.NetworkInterface
	onPremises   onPremises
}

// processKey names one of Isthmus's own processes that have an ENI.
type processKey struct{ owner, region string }

type compiledRules struct {
	set  tables.RuleSet
	open bool
}

func newCompiler(in Input) *compiler {
	c := &compiler{
		in:           in,
		vpcs:         index(in.VPCs),
		subnets:      index(in.Subnets),
		interfaces:   index(in.NetworkInterfaces),
		routeTables:  map[string]uint32{},
		mainTables:   map[string]uint32{},
		groupRules:   map[string][]*resource.SecurityGroupRule{},
		groupMembers: map[string][]netip.Prefix{},
		ruleSets:     map[string]compiledRules{},
		endpoints:    map[string]*resource.VPCEndpoint{},
		services:     index(in.EndpointServices),
		balancers:    index(in.LoadBalancers),
		nodes:        map[string]*resource.LoadBalancer{},
		processes:    map[processKey]*resource.NetworkInterface{},
	}
	c.onPremises = newOnPremises(in)
	for _, r := range in.RouteTables {
		if r.Main != "" {
			c.mainTables[r.VPC] = r.Number
		}
		for _, a := range r.Associations {
			c.routeTables[a.Subnet] = r.Number
		}
	}
	for _, r := range in.Rules {
		c.groupRules[r.Group] = append(c.groupRules[r.Group], r)
	}
	for _, n := range in.NetworkInterfaces {
		if n.Requester == "isthmus" && n.Attachment != nil && len(n.Addresses) > 0 {
			c.processes[processKey{n.Owner, n.Region}] = n
		}
		for _, g := range n.Groups {
			for _, a := range n.Addresses {
				c.groupMembers[g] = append(c.groupMembers[g], netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	for _, e := range in.VPCEndpoints {
		for _, n := range e.Interfaces {
			c.endpoints[n] = e
		}
	}
	for _, l := range in.LoadBalancers {
		for _, z := range l.Zones {
			c.nodes[z.Interface] = l
		}
	}
	return c
}

func (c *compiler) routeTable(r *resource.RouteTable, vpc *resource.VPC) tables.RouteTable {
	t := tables.RouteTable{Number: r.Number, ID: r.ID}
	for _, p := range vpc.CIDRs {
		t.Routes = append(t.Routes, tables.Route{Prefix: p, Kind: tables.Local})
	}
	own := c.resolverRoutes(vpc)
	t.Routes = append(t.Routes, own...)
	for _, route := range r.Routes {
		if slices.ContainsFunc(own, func(o tables.Route) bool { return o.Prefix == route.Destination }) {
			continue
		}
		kind := tables.Blackhole
		switch route.Kind {
		case resource.RouteLocal:
			kind = tables.Local
		case resource.RouteInternetGateway:
			kind = tables.Internet
		case resource.RouteVPNGateway: // below
			continue
		}
		t.Routes = append(t.Routes, tables.Route{Prefix: route.Destination, Kind: kind})
	}
	c.onPremises.extend(&t, r, vpc)
	slices.SortFunc(t.Routes, func(a, b tables.Route) int { return comparePrefix(a.Prefix, b.Prefix) })
	return t
}

// eni compiles one network interface; ok is false while something that it
// needs is missing.
func (c *compiler) eni(n *resource.NetworkInterface) (e tables.ENI, ok bool) {
	vpc, subnet := c.vpcs[n.VPC], c.subnets[n.Subnet]
	if vpc == nil || subnet == nil || len(n.Addresses) == 0 {
		return e, false
	}
	e = tables.ENI{
		Number:    n.Number,
		ID:        n.ID,
		Kind:      tables.Host,
		Network:   vpc.Number,
		Addresses: n.Addresses,
		Subnet:    subnet.CIDR,
		Groups:    slices.Sorted(slices.Values(n.Groups)),
		Owner:     n.Owner,
	}
	if mac, err := net.ParseMAC(n.MAC); err == nil {
		copy(e.MAC[:], mac)
	}
	if e.RouteTable = c.routeTables[n.Subnet]; e.RouteTable == 0 {
		e.RouteTable = c.mainTables[n.VPC]
	}
	e.Ingress, e.IngressOpen = c.rules(n.VPC, n.Groups, false)
	e.Egress, e.EgressOpen = c.rules(n.VPC, n.Groups, true)

	switch {
	case n.NAT != "":
		e.Kind = tables.NATSource
		peer, carrier := c.interfaces[n.NAT], c.interfaces[n.Carrier]
		if peer == nil || carrier == nil {
			return e, false
		}
		e.Peer, e.Carrier = peer.Number, carrier.Number
	case n.Type == resource.InterfaceAPIGatewayNAT:
		e.Kind = tables.NAT
	case n.Type == resource.InterfaceEndpoint:
		e.Kind = tables.Endpoint
		if endpoint := c.endpoints[n.ID]; endpoint != nil {
			e.Owner = endpoint.ID
			if node := c.endpointNode(endpoint, n.ID); node != nil {
				e.Peer = node.Number
			} else {
				e.Peer = c.endpointPeer(endpoint, subnet.Zone)
			}
			// A connection that was accepted works before its state says so:
			// the state waits for the data plane.
			e.Available = endpoint.State == resource.EndpointAvailable || endpoint.State == resource.EndpointPending
		}
	case n.Type == resource.InterfaceNLB:
		e.Kind = tables.LoadBalancer
		if lb := c.nodes[n.ID]; lb != nil {
			e.Owner, e.Enforce = lb.ARN, lb.EnforceOnPrivateLink
		}
	default:
		if c.nodes[n.ID] != nil { // of an Application Load Balancer
			e.Owner = albconfig.Role(n.ID)
		}
		e.AnySource = !n.SourceDestCheck
		if n.Attachment != nil {
			e.Device = &tables.Device{Netns: n.Attachment.Netns}
			if s := c.interfaces[n.Attachment.Source]; s != nil && len(s.Addresses) > 0 {
				e.Device.Source = s.Addresses[0]
			}
		}
	}
	return e, true
}

// endpointPeer is the number of the load balancer's ENI that an endpoint's ENI
// in a zone leads to; zero if the service has none there.
func (c *compiler) endpointPeer(e *resource.VPCEndpoint, zone string) uint32 {
	service := c.services[e.Service]
	if service == nil {
		return 0
	}
	for _, arn := range service.LoadBalancers {
		if lb := c.balancers[arn]; lb != nil {
			for _, z := range lb.Zones {
				if node := c.interfaces[z.Interface]; z.Zone == zone && node != nil {
					return node.Number
				}
			}
		}
	}
	return 0
}

// rules is the rule set of a set of a VPC's groups in one direction; zero for
// none.
func (c *compiler) rules(vpc string, groups []string, egress bool) (id uint64, open bool) {
	if len(groups) == 0 {
		return 0, false
	}
	key := strings.Join(slices.Sorted(slices.Values(groups)), " ")
	if egress {
		key += " egress"
	}
	r, ok := c.ruleSets[key]
	if !ok {
		var grants []grant
		if egress {
			grants = c.toResolver(vpc)
		}
		for _, g := range groups {
			for _, rule := range c.groupRules[g] {
				if rule.Egress == egress {
					grants = append(grants, grant{prefixes: c.peers(rule), ranges: ruleRanges(rule)})
				}
			}
		}
		r.set, r.open = ruleSet(grants)
		c.ruleSets[key] = r
	}
	return r.set.ID, r.open
}

// peers is whom a rule speaks of.
func (c *compiler) peers(r *resource.SecurityGroupRule) []netip.Prefix {
	switch {
	case r.ReferencedGroup != "":
		return c.groupMembers[r.ReferencedGroup]
	case r.CIDR.IsValid() && r.CIDR.Addr().Is4():
		return []netip.Prefix{r.CIDR.Masked()}
	}
	return nil
}
