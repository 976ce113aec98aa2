package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/isthmus-net/isthmus/internal/proxy/way"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// upstreams makes the ways through VPC links that integrations ask for, each once.
type upstreams struct {
	made      map[string]way.Upstream
	linksV1   map[string]*resource.VPCLinkV1
	linksV2   map[string]*resource.VPCLinkV2
	endpoints map[string]*resource.VPCEndpoint
	enis      map[string]*resource.NetworkInterface
	subnets   map[string]*resource.Subnet
	balancers map[string]*resource.LoadBalancer
	listeners map[string]*resource.Listener
	byPort    map[string]*resource.Listener // by portKey
	groups    map[string]*resource.TargetGroup
	used      map[string][]*resource.TargetGroup // by the balancers that use them
	healthy   map[string]bool                    // by TargetHealth.Key
	services  map[string]*resource.CloudMapService
	instances map[string][]*resource.CloudMapInstance // by service
	zones     map[placeKey]string                     // of addresses in VPCs; made when first asked for
}

func newUpstreams(in GatewayInput) *upstreams {
	u := &upstreams{
		made:      map[string]way.Upstream{},
		linksV1:   index(in.LinksV1),
		linksV2:   index(in.LinksV2),
		endpoints: index(in.Endpoints),
		enis:      index(in.Interfaces),
		subnets:   index(in.Subnets),
		balancers: index(in.LoadBalancers),
		listeners: index(in.Listeners),
		byPort:    map[string]*resource.Listener{},
		groups:    index(in.TargetGroups),
		used:      groupsByBalancer(uses(in.LoadBalancers, in.Listeners, in.ListenerRules, in.TargetGroups)),
		healthy:   map[string]bool{},
		services:  index(in.CloudMapServices),
		instances: groupBy(in.CloudMapInstances, func(i *resource.CloudMapInstance) string { return i.Service }),
	}
	for _, h := range in.TargetHealth {
		u.healthy[h.Key()] = h.State == "healthy"
	}
	for _, l := range in.Listeners {
		u.byPort[portKey(l.LoadBalancer, l.Port)] = l
	}
	return u
}

func portKey(loadBalancer string, port int) string { return fmt.Sprint(loadBalancer, ":", port) }

// rest returns the key of the way that a REST integration takes: by a version
// 1 link to the link's balancer, by a version 2 link to the one that target
// (the ARN of a balancer or of one of its listeners) names. The port chooses
// the listener in either case.
func (u *upstreams) rest(account, link, target string, port int) string {
	if v2 := u.linksV2[link]; v2 != nil && v2.Account == account {
		return u.v2(v2, resource.LoadBalancerOf(target), port)
	}
	v1 := u.linksV1[link]
	if v1 == nil || v1.Account != account {
		return u.missing(link)
	}
	key := way.Key(link, "", port)
	return u.make(key, func() way.Upstream {
		out := way.Upstream{Link: link, Version: 1, LoadBalancer: v1.TargetARNs[0]}
		if out.Cause = notAvailable(link, v1.Status, v1.StatusMessage); out.Cause != "" {
			return out
		}
		endpoint := u.endpoints[v1.Endpoint]
		if endpoint == nil {
			out.Cause = fmt.Sprintf("interface endpoint %s of VPC link %s does not exist", v1.Endpoint, link)
			return out
		}
		for _, id := range endpoint.Interfaces {
			if eni := u.enis[id]; eni != nil && len(eni.Addresses) > 0 {
				out.Destinations = append(out.Destinations, way.Destination{
					Zone: u.zone(eni.Subnet), Address: netip.AddrPortFrom(eni.Addresses[0], uint16(port)),
				})
			}
		}
		out.Destinations = u.usable(out.Destinations, out.LoadBalancer, port)
		if len(out.Destinations) == 0 {
			out.Cause = fmt.Sprintf("interface endpoint %s of VPC link %s has no address", v1.Endpoint, link)
		}
		return out
	})
}

// http returns the key of the way to a listener or a Cloud Map service.
func (u *upstreams) http(account, link, listener string) string {
	v2 := u.linksV2[link]
	if v2 == nil || v2.Account != account {
		return u.missing(link)
	}
	if t, ok := resource.ParseCloudMapTarget(listener); ok {
		return u.cloudMap(v2, listener, t)
	}
	l := u.listeners[listener]
	if l == nil || l.Account != account {
		return u.make(way.Key(link, listener, 0), func() way.Upstream {
			return way.Upstream{Link: link, Version: 2, Cause: fmt.Sprintf("listener %s does not exist", listener)}
		})
	}
	return u.v2(v2, l.LoadBalancer, l.Port)
}

func (u *upstreams) v2(link *resource.VPCLinkV2, loadBalancer string, port int) string {
	key := way.Key(link.ID, loadBalancer, port)
	return u.make(key, func() way.Upstream {
		out := way.Upstream{Link: link.ID, Version: 2, LoadBalancer: loadBalancer}
		if out.Cause = notAvailable(link.ID, link.Status, link.StatusMessage); out.Cause != "" {
			return out
		}
		lb := u.balancers[loadBalancer]
		if lb == nil || lb.Account != link.Account {
			out.Cause = fmt.Sprintf("load balancer %s does not exist", loadBalancer)
			return out
		}
		out.Sources = u.sources(link)
		for _, z := range lb.Zones {
			out.Destinations = append(out.Destinations, way.Destination{
				Zone: z.Zone, Address: netip.AddrPortFrom(z.Address, uint16(port)),
			})
		}
		out.Destinations = u.usable(out.Destinations, loadBalancer, port)
		switch {
		case len(out.Sources) == 0:
			out.Cause = noInterface(link)
		case len(out.Destinations) == 0:
			out.Cause = fmt.Sprintf("load balancer %s has no address", loadBalancer)
		default:
			return out
		}
		out.Sources, out.Destinations = nil, nil
		return out
	})
}

// sources are the addresses in API Gateway's VPC that stand for a version 2
// link's interfaces.
func (u *upstreams) sources(link *resource.VPCLinkV2) []way.Source {
	var out []way.Source
	for i, pair := range link.Interfaces {
		if eni := u.enis[pair.Provider]; eni != nil && len(eni.Addresses) > 0 && i < len(link.Subnets) {
			out = append(out, way.Source{Zone: u.zone(link.Subnets[i]), Address: eni.Addresses[0]})
		}
	}
	return out
}

func noInterface(link *resource.VPCLinkV2) string {
	return fmt.Sprintf("VPC link %s has no network interface", link.ID)
}

// missing is the way through a link that is not there, or is somebody else's.
func (u *upstreams) missing(link string) string {
	return u.make("missing:"+link, func() way.Upstream {
		return way.Upstream{Link: link, Cause: fmt.Sprintf("VPC link %q does not exist", link)}
	})
}

func (u *upstreams) make(key string, f func() way.Upstream) string {
	if _, ok := u.made[key]; !ok {
		way := f()
		way.Key = key
		u.made[key] = way
	}
	return key
}

// usable keeps the destinations in zones from which the port's listener
// reaches a target that may be chosen, all if there is no such zone. The
// result is sorted.
func (u *upstreams) usable(all []way.Destination, loadBalancer string, port int) []way.Destination {
	slices.SortFunc(all, func(a, b way.Destination) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), a.Address.Compare(b.Address))
	})
	lb, l := u.balancers[loadBalancer], u.byPort[portKey(loadBalancer, port)]
	if lb == nil || l == nil {
		return all
	}
	if lb.Type == resource.ApplicationLoadBalancer {
		// Its name leads to these.
		serving := servingZones(lb, u.used[lb.ARN], u.healthy)
		return slices.DeleteFunc(all, func(d way.Destination) bool {
			return !slices.ContainsFunc(serving, func(z resource.LoadBalancerZone) bool { return z.Zone == d.Zone })
		})
	}
	group := u.groups[groupOf(l)]
	if group == nil {
		return all
	}
	targets := choosable(group, u.healthy)
	var out []way.Destination
	for _, d := range all {
		if len(eligible(targets, d.Zone, lb, group)) > 0 {
			out = append(out, d)
		}
	}
	if len(out) == 0 {
		return all
	}
	return out
}

// crossZone says whether a node uses targets of other zones than its own. The
// group's attribute, where set, overrides the balancer's; off is the default of
// Network Load Balancers, and an Application Load Balancer's is always on.
func crossZone(lb *resource.LoadBalancer, group *resource.TargetGroup) bool {
	const name = "load_balancing.cross_zone.enabled"
	switch v := group.Attributes[name]; v {
	case "", "use_load_balancer_configuration":
		return lb.Type == resource.ApplicationLoadBalancer || lb.Attributes[name] == "true"
	default:
		return v == "true"
	}
}

func (u *upstreams) zone(subnet string) string {
	if s := u.subnets[subnet]; s != nil {
		return s.Zone
	}
	return ""
}

// notAvailable says why a link in this state carries nothing; empty if it does.
func notAvailable(link string, status resource.VPCLinkStatus, message string) string {
	switch {
	case status == resource.VPCLinkAvailable:
		return ""
	case message != "" && status == resource.VPCLinkFailed:
		return fmt.Sprintf("VPC link %s is %s: %s", link, status, message)
	default:
		return fmt.Sprintf("VPC link %s is %s", link, status)
	}
}
