package compile

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

var everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// grant is one rule with its peers resolved: ranges for each of prefixes.
type grant struct {
	prefixes []netip.Prefix
	ranges   []tables.Range
}

// ruleSet compiles what grants allow together. open says that everything is
// allowed for everybody.
//
// The data plane asks for the longest prefix only. So what a shorter prefix
// allows is repeated at each longer one that it contains.
func ruleSet(grants []grant) (set tables.RuleSet, open bool) {
	byPrefix := map[netip.Prefix][]tables.Range{}
	for _, g := range grants {
		for _, p := range g.prefixes {
			for _, r := range g.ranges {
				r.Open = p == everywhere
				byPrefix[p] = append(byPrefix[p], r)
			}
		}
	}
	prefixes := make([]netip.Prefix, 0, len(byPrefix))
	for p := range byPrefix {
		prefixes = append(prefixes, p)
	}
	slices.SortFunc(prefixes, comparePrefix)
	for _, p := range prefixes {
		var ranges []tables.Range
		for bits := 0; bits <= p.Bits(); bits++ {
			wider, _ := p.Addr().Prefix(bits)
			ranges = append(ranges, byPrefix[wider]...)
		}
		set.Prefixes = append(set.Prefixes, tables.RulePrefix{Prefix: p, Ranges: merge(ranges)})
	}
	set.ID = ruleSetID(set.Prefixes)
	return set, len(prefixes) > 0 && prefixes[0] == everywhere && coversAll(set.Prefixes[0].Ranges)
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
}

// merge orders ranges, joins what touches and cuts them where Open changes.
func merge(ranges []tables.Range) []tables.Range {
	var out []tables.Range
	for _, protocol := range []uint8{tables.ICMP, tables.TCP, tables.UDP} {
		var cuts []int // where a range begins, or first does no longer hold
		for _, r := range ranges {
			if r.Protocol == protocol {
				cuts = append(cuts, int(r.Low), int(r.High)+1)
			}
		}
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		for i := 0; i+1 < len(cuts); i++ {
			low, high := uint16(cuts[i]), uint16(cuts[i+1]-1)
			covered, open := false, false
			for _, r := range ranges {
				if r.Protocol == protocol && r.Low <= low && high <= r.High {
					covered, open = true, open || r.Open
				}
			}
			if !covered {
				continue
			}
			if n := len(out); n > 0 && out[n-1].Protocol == protocol && int(out[n-1].High)+1 == int(low) && out[n-1].Open == open {
				out[n-1].High = high
				continue
			}
			out = append(out, tables.Range{Protocol: protocol, Low: low, High: high, Open: open})
		}
	}
	return out
}

func coversAll(ranges []tables.Range) bool {
	for _, protocol := range []uint8{tables.ICMP, tables.TCP, tables.UDP} {
		if !slices.Contains(ranges, tables.Range{Protocol: protocol, Low: 0, High: 65535, Open: true}) {
			return false
		}
	}
	return true
}

// ruleSetID names a rule set by its content. A set that allows nothing has an
// id too: zero means that there are no groups at all.
func ruleSetID(prefixes []tables.RulePrefix) uint64 {
	h := fnv.New64a()
	for _, p := range prefixes {
		b, _ := p.Prefix.MarshalBinary()
		h.Write(b)
		for _, r := range p.Ranges {
			b := []byte{r.Protocol, 0, 0, 0, 0, 0}
			binary.BigEndian.PutUint16(b[1:], r.Low)
			binary.BigEndian.PutUint16(b[3:], r.High)
			if r.Open {
				b[5] = 1
			}
			h.Write(b)
		}
		h.Write([]byte{0xff})
	}
	return max(h.Sum64(), 1)
}

// ruleRanges is what a rule allows of the protocols that the data plane
// carries; nothing for others.
func ruleRanges(r *resource.SecurityGroupRule) []tables.Range {
	all := func(protocol uint8) tables.Range { return tables.Range{Protocol: protocol, High: 65535} }
	protocol := r.Protocol
	if n, err := strconv.Atoi(protocol); err == nil {
		protocol = map[int]string{1: "icmp", 6: "tcp", 17: "udp", -1: "-1"}[n]
	}
	switch protocol {
	case "-1":
		return []tables.Range{all(tables.ICMP), all(tables.TCP), all(tables.UDP)}
	case "icmp":
		switch {
		case r.From < 0:
			return []tables.Range{all(tables.ICMP)}
		case r.To < 0:
			return []tables.Range{{Protocol: tables.ICMP, Low: uint16(r.From) << 8, High: uint16(r.From)<<8 | 0xff}}
		}
		number := uint16(r.From)<<8 | uint16(r.To)&0xff
		return []tables.Range{{Protocol: tables.ICMP, Low: number, High: number}}
	case "tcp", "udp":
		number := tables.TCP
		if protocol == "udp" {
			number = tables.UDP
		}
		if r.From < 0 {
			return []tables.Range{all(number)}
		}
		return []tables.Range{{Protocol: number, Low: uint16(r.From), High: uint16(r.To)}}
	}
	return nil
}
