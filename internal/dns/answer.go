package dns

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/isthmus-net/isthmus/internal/dns/config"
)

// names is a configuration arranged for look-ups.
type names struct {
	askers map[netip.Addr]string // VPCs
	public view
	vpcs   map[string]view
}

// view is the zones that one asker sees, by name.
type view struct{ own, public map[string]*zone }

func newNames(c config.Config, skipped func(name string, err error)) *names {
	arrange := func(zones []config.Zone) map[string]*zone {
		m := make(map[string]*zone, len(zones))
		for _, z := range zones {
			m[z.Name] = newZone(z, skipped)
		}
		return m
	}
	n := &names{askers: c.Askers, vpcs: make(map[string]view, len(c.VPCs))}
	n.public.public = arrange(c.Public)
	for id, zones := range c.VPCs {
		n.vpcs[id] = view{arrange(zones), n.public.public}
	}
	return n
}

// zone is the one with the longest name that a name lies in, one of the
// asker's own if both have it; nil if there is none. off tells why a zone that
// would have been longer is not in force.
func (v view) zone(name string) (z *zone, off string) {
	for at := name; ; at = parent(at) {
		if own := v.own[at]; own != nil {
			if own.off == "" {
				return own, off
			}
			off = fmt.Sprintf("zone %s is not in force: %s", own.name, own.off)
		}
		if z := v.public[at]; z != nil {
			return z, off
		}
		if at == "." {
			return nil, off
		}
	}
}

// maxChain bounds a chain of CNAME records.
const maxChain = 8

// answer is what is known about a question.
type answer struct {
	rcode   int
	records []dns.RR
	zone    *zone // whose SOA record makes the answer negative; nil if it is not
	// outside is the name about which somebody else is to be asked, after
	// records if there are any. rcode and zone hold if there is nobody.
	outside string
	cause   string // why there is no answer
}

// answer answers a question about a name in lower case. owner is the name as
// it was asked for, which the client may compare (RFC 5452, "0x20").
func (v view) answer(owner, name string, typ uint16) answer {
	var a answer
	for range maxChain {
		z, off := v.zone(name)
		if z == nil {
			a.rcode, a.outside, a.cause = dns.RcodeRefused, name, off
			return a
		}
		node, ok := z.find(name)
		switch {
		case !ok && z.outside:
			a.outside, a.cause = name, cmp.Or(off, z.hint)
			fallthrough
		case !ok:
			a.rcode, a.zone = dns.RcodeNameError, z
			return a
		case name == z.name && typ == dns.TypeSOA:
			a.records = append(a.records, named(owner, z.soa())...)
			return a
		case name == z.name && typ == dns.TypeNS:
			a.records = append(a.records, named(owner, z.ns()...)...)
			return a
		case node[typ] != nil:
			a.records = append(a.records, named(owner, node[typ].choose()...)...)
			return a
		case node[dns.TypeCNAME] == nil:
			a.zone = z
			return a
		}
		cname := named(owner, node[dns.TypeCNAME].choose()...)
		a.records = append(a.records, cname...)
		owner = cname[0].(*dns.CNAME).Target
		name = strings.ToLower(owner)
	}
	return answer{rcode: dns.RcodeServerFailure, cause: "the chain of CNAME records is too long"}
}

// choose takes the records of an answer, in an order left to chance.
func (s *rrset) choose() []dns.RR {
	limit := len(s.choices)
	if s.limit > 0 {
		limit = min(limit, s.limit)
	}
	var records []dns.RR
	for _, i := range rand.Perm(len(s.choices))[:limit] {
		records = append(records, s.choices[i]...)
	}
	return records
}

// named gives records, which others share, a name.
func named(owner string, records ...dns.RR) []dns.RR {
	list := make([]dns.RR, len(records))
	for i, r := range records {
		list[i] = dns.Copy(r)
		list[i].Header().Name = owner
	}
	return list
}
