package compile

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/isthmus-net/isthmus/internal/dns/config"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// How many answers the routing policies of Cloud Map give.
const (
	maxMultivalue = 8
	maxWeighted   = 1
)

// hostLabels is what an instance's id must look like to be part of a name.
var hostLabels = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*$`)

// namespace is the zone of a private DNS namespace.
func (n *names) namespace(s *resource.CloudMapNamespace, services []*resource.CloudMapService, instances map[string][]*resource.CloudMapInstance) config.Zone {
	z := newZone(s.Name, uint32(s.SOATTL))
	for _, service := range services {
		if service.DNS == nil {
			continue
		}
		limit := maxMultivalue
		if service.DNS.RoutingPolicy == "WEIGHTED" {
			limit = maxWeighted
		}
		name := service.Name + "." + s.Name
		healthy := answered(service, instances[service.ID])
		for _, r := range service.DNS.Records {
			set := config.RRSet{Type: r.Type, TTL: uint32(r.TTL), Limit: limit}
			for _, i := range healthy {
				set.Data = append(set.Data, n.recordData(r.Type, i, name)...)
			}
			add(&z, name, set)
			if r.Type == "SRV" {
				for _, i := range healthy {
					target(&z, i, name, uint32(r.TTL))
				}
			}
		}
	}
	return z
}

// answered are the instances that names lead to: the healthy ones; if there are
// none, all, as Route 53 has it.
func answered(s *resource.CloudMapService, all []*resource.CloudMapInstance) []*resource.CloudMapInstance {
	var healthy []*resource.CloudMapInstance
	for _, i := range all {
		if !s.CustomHealth || !i.Unhealthy {
			healthy = append(healthy, i)
		}
	}
	if len(healthy) == 0 {
		return all
	}
	return healthy
}

// recordData is what a record of a type says of an instance; nothing if the
// instance lacks what it takes. service is the service's name in DNS.
func (n *names) recordData(typ string, i *resource.CloudMapInstance, service string) []string {
	switch typ {
	case "A":
		if alias := i.Attributes[resource.AttributeAlias]; alias != "" {
			if all := addresses(0, n.balancers[domain(alias)]...).Data; len(all) > 0 {
				return []string{strings.Join(all, " ")}
			}
			return nil
		}
		if a, ok := instanceAddress(i, resource.AttributeInstanceIPv4); ok && a.Is4() {
			return []string{a.String()}
		}
	case "AAAA":
		if a, ok := instanceAddress(i, resource.AttributeInstanceIPv6); ok && a.Is6() {
			return []string{a.String()}
		}
	case "CNAME":
		if name := i.Attributes[resource.AttributeInstanceName]; hostLabels.MatchString(name) {
			return []string{domain(name)}
		}
	case "SRV":
		if port := i.Attributes[resource.AttributeInstancePort]; port != "" && hostLabels.MatchString(i.ID) {
			return []string{fmt.Sprintf("1 1 %s %s", port, domain(i.ID+"."+service))}
		}
	}
	return nil
}

// target adds the addresses of the name that an SRV record leads to.
func target(z *config.Zone, i *resource.CloudMapInstance, service string, ttl uint32) {
	if !hostLabels.MatchString(i.ID) {
		return
	}
	name := i.ID + "." + service
	a, v4 := instanceAddress(i, resource.AttributeInstanceIPv4)
	if v4 && a.Is4() {
		add(z, name, addresses(ttl, a))
	}
	b, v6 := instanceAddress(i, resource.AttributeInstanceIPv6)
	if v6 && b.Is6() {
		add(z, name, config.RRSet{Type: "AAAA", TTL: ttl, Data: []string{b.String()}})
	}
	if alias := i.Attributes[resource.AttributeInstanceName]; !v4 && !v6 && hostLabels.MatchString(alias) {
		add(z, name, config.RRSet{Type: "CNAME", TTL: ttl, Data: []string{domain(alias)}})
	}
}

func instanceAddress(i *resource.CloudMapInstance, attribute string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(i.Attributes[attribute])
	return a.WithZone(""), err == nil
}
