package compile

import (
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/dns/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// resolverIdle is for how many seconds a query over UDP may wait for its answer.
// It is short, since clients take a new port for each query, and the node that
// stands for the VPC has one flow for each.
const resolverIdle = 10

// resolve adds the resolver of each VPC: an endpoint at the VPC's two
// addresses, which leads to a node in API Gateway's VPC, a load balancer whose
// only target is the resolver's process. So the node's address, which is all
// that the process sees of a client, names the VPC.
func (c *compiler) resolve(t *tables.Tables) {
	for _, v := range c.in.VPCs {
		process, node := c.processes[processKey{"dns", v.Region}], c.resolverNode(v)
		if process == nil || node == nil {
			continue
		}
		t.ENIs = append(t.ENIs, tables.ENI{
			Number: v.Resolver.Number, ID: v.Resolver.Interface, Kind: tables.Endpoint, Network: v.Number,
			Addresses: v.ResolverAddresses(), Peer: node.Number, Available: true, Owner: "resolver of " + v.ID,
		})
		set := targetSet([]resource.Target{{Address: process.Addresses[0], Port: config.Port}})
		group := hashText("resolver " + set.Targets[0].String())
		t.TargetSets = append(t.TargetSets, set)
		t.Members = append(t.Members, tables.Member{Group: group, Target: set.Targets[0]})
		for _, l := range []tables.Listener{{Protocol: tables.TCP, Idle: defaultTCPIdle}, {Protocol: tables.UDP, Idle: resolverIdle}} {
			l.ENI, l.Port, l.Targets, l.Group, l.ID = node.Number, 53, set.ID, group, "resolver of "+v.ID
			t.Listeners = append(t.Listeners, l)
		}
	}
}

// resolverNode is the node of a VPC's resolver; nil if it answers nothing.
func (c *compiler) resolverNode(v *resource.VPC) *resource.NetworkInterface {
	if v.Resolver == nil || !v.EnableDNSSupport {
		return nil
	}
	return c.interfaces[v.Resolver.Node]
}

// toResolver is what every egress rule set of a VPC allows beside its rules:
// security groups do not filter what goes to the resolver.
func (c *compiler) toResolver(vpc string) []grant {
	v := c.vpcs[vpc]
	if v == nil || c.resolverNode(v) == nil {
		return nil
	}
	var prefixes []netip.Prefix
	for _, a := range v.ResolverAddresses() {
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	return []grant{{prefixes, []tables.Range{
		{Protocol: tables.TCP, Low: 53, High: 53}, {Protocol: tables.UDP, Low: 53, High: 53},
	}}}
}

// resolverRoutes lead to the resolver whatever a route table says.
func (c *compiler) resolverRoutes(v *resource.VPC) []tables.Route {
	if c.resolverNode(v) == nil {
		return nil
	}
	var routes []tables.Route
	for _, a := range v.ResolverAddresses() {
		routes = append(routes, tables.Route{Prefix: netip.PrefixFrom(a, a.BitLen()), Kind: tables.Local})
	}
	return routes
}
