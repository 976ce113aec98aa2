package compile

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/dns/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// NamesInput is the rows from which names are made. Rows of other regions are
// ignored.
type NamesInput struct {
	Region            string
	VPCs              []*resource.VPC
	Subnets           []*resource.Subnet
	Interfaces        []*resource.NetworkInterface
	Endpoints         []*resource.VPCEndpoint
	RestAPIs          []*resource.RestAPI
	LoadBalancers     []*resource.LoadBalancer
	Listeners         []*resource.Listener
	ListenerRules     []*resource.ListenerRule
	TargetGroups      []*resource.TargetGroup
	TargetHealth      []*resource.TargetHealth
	Namespaces        []*resource.CloudMapNamespace
	CloudMapServices  []*resource.CloudMapService
	CloudMapInstances []*resource.CloudMapInstance
}

// awsTTL is the TTL of AWS's own names, in seconds.
const awsTTL = 60

// names is the input arranged for look-ups.
type names struct {
	NamesInput
	subnets    map[string]*resource.Subnet
	interfaces map[string]*resource.NetworkInterface
	balancers  map[string][]netip.Addr // by the balancer's name, in lower case
}

// Names compiles what the resolver of one region answers. The result is the
// same for the same rows in whatever order.
func Names(in NamesInput) config.Config {
	n := names{NamesInput: in, subnets: index(in.Subnets), interfaces: index(in.Interfaces), balancers: map[string][]netip.Addr{}}
	out := config.Config{Askers: map[netip.Addr]string{}, VPCs: map[string][]config.Zone{}}
	out.Public = sortZones(append(n.balancerZones(), n.endpointZones()...))
	services := groupBy(in.CloudMapServices, func(s *resource.CloudMapService) string { return s.Namespace })
	instances := groupBy(in.CloudMapInstances, func(i *resource.CloudMapInstance) string { return i.Service })
	namespaces := groupBy(in.Namespaces, func(s *resource.CloudMapNamespace) string { return s.VPC })
	endpoints := groupBy(in.Endpoints, func(e *resource.VPCEndpoint) string { return e.VPC })
	hosts := groupBy(in.Interfaces, func(i *resource.NetworkInterface) string { return i.VPC })
	for _, v := range in.VPCs {
		if v.Region != in.Region || v.Resolver == nil || !v.EnableDNSSupport {
			continue
		}
		node := n.interfaces[v.Resolver.Node]
		if node == nil || len(node.Addresses) == 0 {
			continue
		}
		out.Askers[node.Addresses[0]] = v.ID
		zones := append(n.privateDNS(endpoints[v.ID]), hostZones(v, hosts[v.ID])...)
		for _, s := range namespaces[v.ID] {
			if s.Type == resource.NamespaceDNSPrivate {
				zones = append(zones, n.namespace(s, services[s.ID], instances))
			}
		}
		if !v.EnableDNSHostnames {
			for i := range zones {
				zones[i].Off = "enableDnsHostnames of " + v.ID + " is false"
			}
		}
		out.VPCs[v.ID] = sortZones(zones)
	}
	return out
}

// endpointZones hold the names of interface endpoints, and those of private
// APIs that name an endpoint.
func (n *names) endpointZones() []config.Zone {
	endpoints := newZone(n.Region+".vpce.amazonaws.com", awsTTL)
	apis := newZone(resource.AWSDomain("execute-api", n.Region), awsTTL)
	endpoints.Outside, apis.Outside = true, true
	apis.Hint = "no endpoint of the VPC takes " + apis.Name + " over by private DNS"
	invoked := map[string][]netip.Addr{}
	for _, e := range n.Endpoints {
		if e.Region != n.Region || !resolves(e) {
			continue
		}
		all, zonal := n.endpointAddresses(e)
		add(&endpoints, e.Name(), addresses(awsTTL, all...))
		for zone, a := range zonal {
			add(&endpoints, e.ZonalName(zone), addresses(awsTTL, a))
		}
		if e.AWS == "execute-api" {
			invoked[e.ID] = all
		}
	}
	for _, a := range n.RestAPIs {
		if a.Region != n.Region || a.EndpointType != "PRIVATE" {
			continue
		}
		for _, e := range a.VPCEndpoints {
			add(&apis, a.ID+"-"+e+"."+apis.Name, addresses(awsTTL, invoked[e]...))
		}
	}
	return []config.Zone{endpoints, apis}
}

// privateDNS are the zones that the endpoints of a VPC take over.
func (n *names) privateDNS(endpoints []*resource.VPCEndpoint) []config.Zone {
	var zones []config.Zone
	for _, e := range endpoints {
		if !e.PrivateDNS || e.AWS == "" || !resolves(e) {
			continue
		}
		all, _ := n.endpointAddresses(e)
		z := newZone(resource.AWSDomain(e.AWS, n.Region), awsTTL)
		add(&z, z.Name, addresses(awsTTL, all...))
		add(&z, "*."+z.Name, addresses(awsTTL, all...))
		zones = append(zones, z)
	}
	return zones
}

// resolves says whether an endpoint has names: once it is accepted.
func resolves(e *resource.VPCEndpoint) bool {
	return e.State == resource.EndpointAvailable || e.State == resource.EndpointPending
}

// endpointAddresses are an endpoint's, and that of each of its zones.
func (n *names) endpointAddresses(e *resource.VPCEndpoint) (all []netip.Addr, zonal map[string]netip.Addr) {
	zonal = map[string]netip.Addr{}
	for _, id := range e.Interfaces {
		i := n.interfaces[id]
		if i == nil || len(i.Addresses) == 0 {
			continue
		}
		all = append(all, i.Addresses[0])
		if s := n.subnets[i.Subnet]; s != nil {
			zonal[s.Zone] = i.Addresses[0]
		}
	}
	return all, zonal
}

// balancerZones hold the names of load balancers, and those of their nodes by
// zone.
func (n *names) balancerZones() []config.Zone {
	// AWS names network load balancers in the one, all others in the other.
	network, other := newZone("elb."+n.Region+".amazonaws.com", awsTTL), newZone(n.Region+".elb.amazonaws.com", awsTTL)
	network.Outside, other.Outside = true, true
	healthy, groups := healthyTargets(n.TargetHealth), groupsByBalancer(uses(n.LoadBalancers, n.Listeners, n.ListenerRules, n.TargetGroups))
	for _, l := range n.LoadBalancers {
		if l.Region != n.Region || l.DNSName == "" {
			continue
		}
		z := &other
		if strings.HasSuffix(domain(l.DNSName), "."+network.Name) {
			z = &network
		}
		var all []netip.Addr
		for _, node := range servingZones(l, groups[l.ARN], healthy) {
			all = append(all, node.Address)
			add(z, node.Zone+"."+l.DNSName, addresses(awsTTL, node.Address))
		}
		add(z, l.DNSName, addresses(awsTTL, all...))
		n.balancers[domain(l.DNSName)] = all
	}
	return []config.Zone{network, other}
}

// newZone is an empty zone; negative is in seconds.
func newZone(name string, negative uint32) config.Zone {
	return config.Zone{Name: domain(name), Negative: negative, Names: map[string][]config.RRSet{}}
}

// domain is a name in the form of the configuration.
func domain(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, ".")) + "."
}

// add gives a name records; nothing if there are none.
func add(z *config.Zone, name string, set config.RRSet) {
	if len(set.Data) == 0 {
		return
	}
	slices.Sort(set.Data)
	set.Data = slices.Compact(set.Data)
	name = domain(name)
	z.Names[name] = append(z.Names[name], set)
}

// addresses are A records.
func addresses(ttl uint32, list ...netip.Addr) config.RRSet {
	set := config.RRSet{Type: "A", TTL: ttl}
	for _, a := range list {
		set.Data = append(set.Data, a.String())
	}
	return set
}

// sortZones orders zones by name. Of two with the same name the first is kept.
func sortZones(zones []config.Zone) []config.Zone {
	slices.SortStableFunc(zones, func(a, b config.Zone) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(zones, func(a, b config.Zone) bool { return a.Name == b.Name })
}
