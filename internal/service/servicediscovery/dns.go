package servicediscovery

import (
	"slices"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// readDNS reads how a new service is found: its type, and its records if it
// has names in a VPC.
func readDNS(n *resource.CloudMapNamespace, in *api.CreateServiceInput) (kind string, dns *resource.CloudMapDNS, err error) {
	switch {
	case n.Type == resource.NamespaceHTTP && in.DnsConfig != nil:
		return "", nil, invalid("Services of the HTTP namespace %s can't have a DnsConfig.", n.ID)
	case n.Type == resource.NamespaceHTTP:
		return resource.ServiceHTTP, nil, nil
	case in.Type != nil && in.DnsConfig != nil:
		return "", nil, invalid("Services of the type HTTP can't have a DnsConfig.")
	case in.Type != nil:
		return resource.ServiceHTTP, nil, nil
	case in.DnsConfig == nil:
		return "", nil, invalid("Services of the DNS namespace %s need a DnsConfig, unless their type is HTTP.", n.ID)
	}
	dns = &resource.CloudMapDNS{RoutingPolicy: wire.Val(in.DnsConfig.RoutingPolicy), Records: readRecords(in.DnsConfig.DnsRecords)}
	if dns.RoutingPolicy == "" {
		dns.RoutingPolicy = api.RoutingPolicyMultivalue
	}
	return resource.ServiceDNSHTTP, dns, checkDNS(dns)
}

func readRecords(list []*api.DnsRecord) []resource.CloudMapRecord {
	var records []resource.CloudMapRecord
	for _, r := range list {
		records = append(records, resource.CloudMapRecord{Type: wire.Val(r.Type), TTL: wire.Val(r.TTL)})
	}
	return records
}

// checkDNS checks the combination of records: AWS allows A, AAAA, both, SRV,
// or CNAME, the last with weights only.
func checkDNS(dns *resource.CloudMapDNS) error {
	types := recordTypes(dns)
	if len(types) == 0 {
		return invalid("A DnsConfig needs at least one record.")
	}
	if len(slices.Compact(slices.Clone(types))) < len(types) {
		return invalid("A DnsConfig can have one record of a type only.")
	}
	alone := slices.Contains(types, api.RecordTypeCname) || slices.Contains(types, api.RecordTypeSrv)
	if alone && len(types) > 1 {
		return invalid("Records of the types SRV and CNAME can't be combined with others.")
	}
	if types[0] == api.RecordTypeCname && dns.RoutingPolicy != api.RoutingPolicyWeighted {
		return invalid("CNAME records need the routing policy WEIGHTED.")
	}
	return nil
}

// recordTypes are sorted.
func recordTypes(dns *resource.CloudMapDNS) []string {
	var types []string
	if dns != nil {
		for _, r := range dns.Records {
			types = append(types, r.Type)
		}
	}
	slices.Sort(types)
	return types
}

// changeDNS sets the records' TTLs, or removes the records if none are given.
func changeDNS(s *resource.CloudMapService, change *api.DnsConfigChange) error {
	if change == nil {
		s.DNS, s.Type = nil, resource.ServiceHTTP
		return nil
	}
	changed := &resource.CloudMapDNS{Records: readRecords(change.DnsRecords)}
	if s.DNS == nil || !slices.Equal(recordTypes(s.DNS), recordTypes(changed)) {
		return invalid("The types of a service's DNS records can't be changed; delete the service and make it again.")
	}
	s.DNS.Records = changed.Records
	return nil
}

func showDNS(s *resource.CloudMapService) *api.DnsConfig {
	if s.DNS == nil {
		return nil
	}
	out := &api.DnsConfig{NamespaceId: &s.Namespace, RoutingPolicy: &s.DNS.RoutingPolicy}
	for _, r := range s.DNS.Records {
		out.DnsRecords = append(out.DnsRecords, &api.DnsRecord{Type: &r.Type, TTL: &r.TTL})
	}
	return out
}
