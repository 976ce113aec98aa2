package dns

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/isthmus-net/isthmus/internal/dns/config"
)

// zone is a domain arranged for look-ups.
type zone struct {
	name     string
	negative uint32 // seconds
	off      string
	outside  bool
	hint     string
	// nodes are all names that exist. Those that exist only because there are
	// names under them have no records.
	nodes map[string]map[uint16]*rrset
}

// rrset is the records of a type.
type rrset struct {
	limit   int
	choices [][]dns.RR // records that are given together; without names
}

// newZone arranges a zone. What can't be sent in DNS is left out, and is told.
func newZone(c config.Zone, skipped func(name string, err error)) *zone {
	z := &zone{name: c.Name, negative: c.Negative, off: c.Off, outside: c.Outside, hint: c.Hint, nodes: map[string]map[uint16]*rrset{c.Name: {}}}
	for name, sets := range c.Names {
		if _, ok := dns.IsDomainName(name); !ok || !dns.IsSubDomain(z.name, name) {
			skipped(name, fmt.Errorf("it is no name in %s", z.name))
			continue
		}
		node := z.node(name)
		for _, s := range sets {
			typ, set := dns.StringToType[s.Type], &rrset{limit: s.Limit}
			for _, data := range s.Data {
				if records, err := newRecords(typ, s.TTL, data); err != nil {
					skipped(name, err)
				} else {
					set.choices = append(set.choices, records)
				}
			}
			if len(set.choices) > 0 {
				node[typ] = set
			}
		}
	}
	return z
}

// node makes a name exist, and with it all between it and the zone's own.
func (z *zone) node(name string) map[uint16]*rrset {
	for at := name; z.nodes[at] == nil; at = parent(at) {
		z.nodes[at] = map[uint16]*rrset{}
	}
	return z.nodes[name]
}

// parent is the name without its first label.
func parent(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

// newRecords reads the data of records.
func newRecords(typ uint16, ttl uint32, data string) ([]dns.RR, error) {
	header := dns.RR_Header{Rrtype: typ, Class: dns.ClassINET, Ttl: ttl}
	var records []dns.RR
	for word := range strings.FieldsSeq(data) {
		a, err := netip.ParseAddr(word)
		switch {
		case typ == dns.TypeA && err == nil && a.Is4():
			records = append(records, &dns.A{Hdr: header, A: a.AsSlice()})
			continue
		case typ == dns.TypeAAAA && err == nil && a.Is6():
			records = append(records, &dns.AAAA{Hdr: header, AAAA: a.AsSlice()})
			continue
		case typ == dns.TypeA || typ == dns.TypeAAAA:
			return nil, fmt.Errorf("%q is no address of type %s", word, dns.TypeToString[typ])
		}
		break
	}
	switch typ {
	case dns.TypeA, dns.TypeAAAA:
		return records, nil
	case dns.TypeCNAME:
		return one(&dns.CNAME{Hdr: header, Target: data}, data)
	case dns.TypePTR:
		return one(&dns.PTR{Hdr: header, Ptr: data}, data)
	case dns.TypeSRV:
		srv := &dns.SRV{Hdr: header}
		if _, err := fmt.Sscanf(data, "%d %d %d %s", &srv.Priority, &srv.Weight, &srv.Port, &srv.Target); err != nil {
			return nil, fmt.Errorf("read SRV record %q: %w", data, err)
		}
		return one(srv, srv.Target)
	}
	return nil, fmt.Errorf("records of type %d are not known", typ)
}

func one(record dns.RR, name string) ([]dns.RR, error) {
	if _, ok := dns.IsDomainName(name); !ok || !dns.IsFqdn(name) {
		return nil, fmt.Errorf("%q is no name", name)
	}
	return []dns.RR{record}, nil
}

// find returns the records of a name, and whether it exists.
func (z *zone) find(name string) (map[uint16]*rrset, bool) {
	if node, ok := z.nodes[name]; ok {
		return node, true
	}
	// RFC 4592: the wildcard of the longest name that exists.
	for at := name; at != z.name; {
		at = parent(at)
		if _, ok := z.nodes[at]; ok {
			node, ok := z.nodes["*."+at]
			return node, ok
		}
	}
	return nil, false
}

// Route 53's name servers of private zones.
var nameServers = []string{"ns-0.awsdns-00.com.", "ns-512.awsdns-00.net.", "ns-1024.awsdns-00.org.", "ns-1536.awsdns-00.co.uk."}

const nameServerTTL = 172800 // seconds

// soa is the zone's, as Route 53 has it. Its TTL is the one of negative answers
// (RFC 2308: the lower of both).
func (z *zone) soa() dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: z.name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: z.negative},
		Ns:  nameServers[3], Mbox: "awsdns-hostmaster.amazon.com.", Serial: 1, Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: 86400,
	}
}

func (z *zone) ns() []dns.RR {
	var records []dns.RR
	for _, n := range nameServers {
		records = append(records, &dns.NS{Hdr: dns.RR_Header{Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: nameServerTTL}, Ns: n})
	}
	return records
}
