package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/vpc"
)

// sender finds the ENI of which packets are traced, and their source address,
// which is source, if that is given; zero: the ENI's primary one.
func (t *tracing) sender(name string, source netip.Addr) (*tables.ENI, netip.Addr, error) {
	id, err := t.senderID(name)
	if err != nil {
		return nil, source, err
	}
	wire, from, err := t.onPremises(name)
	if err != nil {
		return nil, source, err
	}
	if wire != nil {
		id = wire.ID
		switch {
		case !from.IsValid():
		case !source.IsValid():
			source = firstHost(from)
		case !from.Contains(source):
			return nil, source, fmt.Errorf("source address %s is not in %s", source, sourceText(from))
		}
	}
	if e := t.eni(id); e != nil {
		return e, source, nil
	}
	if wire != nil {
		return nil, source, fmt.Errorf("virtual interface %s leads nowhere: its gateway %s is attached to no VPC", wire.ID, wire.Gateway)
	}
	return nil, source, fmt.Errorf("there is no network interface %q", name)
}

// senderID is the id of the ENI that a name stands for; the name itself if it
// is no other.
func (t *tracing) senderID(name string) (string, error) {
	switch {
	case name == gatewayOwner || name == healthOwner:
		if e := t.process(name); e != nil {
			return e.ID, nil
		}
	case strings.HasPrefix(name, "i-"):
		i, ok := store.Instances.Get(t.rows, name)
		if !ok {
			return "", fmt.Errorf("there is no instance %s", name)
		}
		return i.Interface, nil
	default:
		if l, ok := store.VPCLinksV2.Get(t.rows, name); ok {
			if len(l.Interfaces) == 0 {
				return "", fmt.Errorf("VPC link %s has no network interface", name)
			}
			return l.Interfaces[0].Provider, nil
		}
	}
	return name, nil
}

// name is an ENI's id and what people know it by.
func (t *tracing) name(e *tables.ENI) string {
	known := e.Owner
	if row, ok := store.NetworkInterfaces.Get(t.rows, e.ID); ok && row.Attachment != nil && row.Attachment.Instance != "" {
		known = row.Attachment.Instance
		if i, ok := store.Instances.Get(t.rows, known); ok && i.Tags["Name"] != "" {
			known = i.Tags["Name"]
		}
	}
	text := e.ID
	if known != "" {
		text += " (" + known + ")"
	}
	return text + " in " + t.vpc(e)
}

// vpc is the id of an ENI's VPC.
func (t *tracing) vpc(e *tables.ENI) string {
	for _, n := range t.tables.Networks {
		if n.Number == e.Network {
			return n.ID
		}
	}
	return ""
}

// destination is an address that a name stands for.
type destination struct {
	name, zone string
	address    netip.AddrPort
}

// destinations are what a name stands for: ADDRESS, eni-…, i-…, vpce-… or a
// name of an endpoint; a load balancer's name, ARN or DNS name or a listener's
// ARN; a Cloud Map service's id, ARN or name. A port follows after a colon; it
// may be left out where there is only one.
func (t *tracing) destinations(name string, protocol uint8) ([]destination, error) {
	base, port, err := splitPort(name)
	if err != nil {
		return nil, err
	}
	found, err := t.resolve(base, port, protocol)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("nothing is called %q: want an address, an id, or a name of an endpoint, load balancer or Cloud Map service", base)
	}
	for i := range found {
		switch {
		case !found[i].address.Addr().Is4():
			return nil, fmt.Errorf("destination %s is not an IPv4 address", found[i].address.Addr())
		case found[i].address.Port() == 0 && protocol != tables.ICMP:
			return nil, errNoPort
		}
	}
	return found, nil
}

// splitPort takes the port off a name. Colons of ARNs are none of its.
func splitPort(name string) (string, uint16, error) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || strings.HasPrefix(name, "arn:") && strings.Count(name, ":") < 6 {
		return name, 0, nil
	}
	port, err := strconv.ParseUint(name[i+1:], 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q is no port", name[i+1:])
	}
	return name[:i], uint16(port), nil
}

func (t *tracing) resolve(name string, port uint16, protocol uint8) ([]destination, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []destination{{name: name, address: netip.AddrPortFrom(a, port)}}, nil
	}
	switch {
	case strings.HasPrefix(name, "eni-"):
		return t.interfaces([]string{name}, port), nil
	case strings.HasPrefix(name, "i-"):
		if i, ok := store.Instances.Get(t.rows, name); ok {
			return t.interfaces([]string{i.Interface}, port), nil
		}
		return nil, nil
	}
	if found := t.endpoint(name, port); found != nil {
		return found, nil
	}
	if found, err := t.balancer(name, port, protocol); found != nil || err != nil {
		return found, err
	}
	return t.cloudMapService(name)
}

// interfaces are the primary addresses of ENIs.
func (t *tracing) interfaces(ids []string, port uint16) (found []destination) {
	for _, id := range ids {
		e, ok := store.NetworkInterfaces.Get(t.rows, id)
		if !ok || len(e.Addresses) == 0 {
			continue
		}
		zone := ""
		if s, ok := store.Subnets.Get(t.rows, e.Subnet); ok {
			zone = s.Zone
		}
		found = append(found, destination{name: id, zone: zone, address: netip.AddrPortFrom(e.Addresses[0], port)})
	}
	return found
}

// endpoint finds an interface endpoint by its id or one of its names.
func (t *tracing) endpoint(name string, port uint16) []destination {
	for e := range store.VPCEndpoints.Scan(t.rows) {
		named := slices.Index(t.endpointNames(e), strings.ToLower(name))
		if e.ID != name && named < 0 {
			continue
		}
		if port == 0 {
			port = t.endpointPort(e)
		}
		ids := e.Interfaces
		if named > 0 { // the name of one zone
			ids = ids[named-1 : named]
		}
		return t.interfaces(ids, port)
	}
	return nil
}

// endpointNames are an endpoint's own DNS names: the regional one, then one
// for each interface.
func (t *tracing) endpointNames(e *resource.VPCEndpoint) (names []string) {
	var zones []string
	for _, id := range e.Subnets {
		zone := ""
		if s, ok := store.Subnets.Get(t.rows, id); ok {
			zone = s.Zone
		}
		zones = append(zones, zone)
	}
	for _, entry := range vpc.EndpointDNS(e, zones)[:1+len(zones)] {
		names = append(names, entry.Name)
	}
	return names
}

// endpointPort is the port of an endpoint's service, if it has only one.
func (t *tracing) endpointPort(e *resource.VPCEndpoint) uint16 {
	if e.AWS != "" {
		return 443
	}
	if s, ok := store.EndpointServices.Get(t.rows, e.Service); ok && len(s.LoadBalancers) > 0 {
		return t.onlyPort(s.LoadBalancers[0])
	}
	return 0
}

// onlyPort is the port of a load balancer's only listener; 0 if it has none or
// several.
func (t *tracing) onlyPort(arn string) (port uint16) {
	for l := range store.Listeners.Scan(t.rows) {
		if l.LoadBalancer != arn {
			continue
		}
		if port != 0 {
			return 0
		}
		port = uint16(l.Port)
	}
	return port
}

// balancer finds a load balancer by name, ARN, DNS name, or by the ARN of one
// of its listeners.
func (t *tracing) balancer(name string, port uint16, protocol uint8) ([]destination, error) {
	if l, ok := store.Listeners.Get(t.rows, name); ok {
		name, port = l.LoadBalancer, uint16(l.Port)
	}
	var found *resource.LoadBalancer
	zone := ""
	for lb := range store.LoadBalancers.Scan(t.rows) {
		before, zonal := strings.CutSuffix(name, "."+lb.DNSName)
		if name != lb.ARN && name != lb.Name && !strings.EqualFold(name, lb.DNSName) && !zonal {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("load balancers of accounts %s and %s are called %s: give the ARN", found.Account, lb.Account, name)
		}
		if found = lb; zonal {
			zone = before
		}
	}
	if found == nil {
		return nil, nil
	}
	if port == 0 && protocol != tables.ICMP {
		if port = t.onlyPort(found.ARN); port == 0 {
			return nil, fmt.Errorf("%s has not exactly one listener: %w", found.Name, errNoPort)
		}
	}
	var ends []destination
	for _, z := range found.Zones {
		if zone == "" || z.Zone == zone {
			ends = append(ends, destination{name: z.Interface, zone: z.Zone, address: netip.AddrPortFrom(z.Address, port)})
		}
	}
	return ends, nil
}

// cloudMapService finds the instances of a Cloud Map service by the service's
// id, ARN or NAME.NAMESPACE.
func (t *tracing) cloudMapService(name string) ([]destination, error) {
	for s := range store.CloudMapServices.Scan(t.rows) {
		n, ok := store.CloudMapNamespaces.Get(t.rows, s.Namespace)
		if s.ID != name && s.ARN() != name && (!ok || !strings.EqualFold(s.Name+"."+n.Name, name)) {
			continue
		}
		var found []destination
		for i := range store.CloudMapInstances.ScanPrefix(t.rows, s.ID+"/") {
			if address, ok := i.Address(); ok && !(s.CustomHealth && i.Unhealthy) {
				found = append(found, destination{name: i.ID, address: address})
			}
		}
		if len(found) == 0 {
			return nil, errors.New("no-healthy-target: Cloud Map service " + s.ID + " has no healthy instance with an address and a port")
		}
		return found, nil
	}
	return nil, nil
}
