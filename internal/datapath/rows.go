package datapath

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// rows is what the tables of the program are to hold.
type rows struct {
	enis      map[uint32]bpf.ENI
	endpoints map[uint32]bpf.Endpoint
	sources   map[bpf.SourceKey]uint32
	mappings  map[bpf.MappingKey]uint32
	routes    map[bpf.RouteKey]bpf.Route
	rules     map[bpf.RuleKey]bpf.Rule
	ranges    map[bpf.RangeKey]bpf.Range
	listeners map[bpf.ListenerKey]bpf.Listener
	members   map[bpf.MemberKey]uint8
	sets      map[uint64][]bpf.Target
}

// Bits of the longest prefix that come before the address's in a key, and
// those that an IPv4 address, being mapped, has before its own.
const (
	routeTableBits = 32
	ruleSetBits    = 64
	mappedBits     = 96
)

// makeRows turns compiled tables into rows. devices are the indices of the
// host sides of devices by ENI number.
func makeRows(t *tables.Tables, devices map[uint32]int) (*rows, error) {
	r := &rows{
		enis:      make(map[uint32]bpf.ENI, len(t.ENIs)),
		endpoints: map[uint32]bpf.Endpoint{},
		sources:   map[bpf.SourceKey]uint32{},
		mappings:  make(map[bpf.MappingKey]uint32, len(t.ENIs)),
		routes:    map[bpf.RouteKey]bpf.Route{},
		rules:     map[bpf.RuleKey]bpf.Rule{},
		ranges:    map[bpf.RangeKey]bpf.Range{},
		listeners: make(map[bpf.ListenerKey]bpf.Listener, len(t.Listeners)),
		members:   make(map[bpf.MemberKey]uint8, len(t.Members)),
		sets:      make(map[uint64][]bpf.Target, len(t.TargetSets)),
	}
	macs := make(map[uint32][6]byte, len(t.ENIs))
	for i := range t.ENIs {
		macs[t.ENIs[i].Number] = t.ENIs[i].MAC
	}
	for i := range t.ENIs {
		if err := r.addENI(&t.ENIs[i], macs, devices); err != nil {
			return nil, err
		}
	}
	for _, table := range t.RouteTables {
		for _, route := range table.Routes {
			length, addr := prefix(route.Prefix)
			r.routes[bpf.RouteKey{Prefixlen: routeTableBits + length, RouteTable: table.Number, Addr: addr}] =
				bpf.Route{Kind: bpf.RouteKind(route.Kind), Eni: route.ENI}
		}
	}
	for _, set := range t.RuleSets {
		r.addRuleSet(set)
	}
	for _, set := range t.TargetSets {
		if len(set.Slots) > 0 {
			r.sets[set.ID] = slots(set)
		}
	}
	for _, l := range t.Listeners {
		r.addListener(l)
	}
	for _, m := range t.Members {
		r.members[bpf.MemberKey{
			Group: m.Group, Addr: bpf.AddrFrom(m.Target.Addr()), Port: bpf.Port(m.Target.Port()),
		}] = 1
	}
	return r, nil
}

func (r *rows) addENI(e *tables.ENI, macs map[uint32][6]byte, devices map[uint32]int) error {
	row := bpf.ENI{
		Ingress:    e.Ingress,
		Egress:     e.Egress,
		Network:    e.Network,
		Peer:       e.Peer,
		RouteTable: e.RouteTable,
		Kind:       bpf.ENIKind(e.Kind),
		Mac:        e.MAC,
	}
	if len(e.Addresses) > 0 {
		row.Addr = bpf.AddrFrom(e.Addresses[0])
	}
	for _, f := range []struct {
		set  bool
		flag bpf.ENIFlags
	}{
		{e.Available, bpf.ENIAvailable},
		{e.Enforce, bpf.ENIEnforce},
		{e.EgressOpen, bpf.ENIEgressOpen},
		{e.IngressOpen, bpf.ENIIngressOpen},
		{e.ReversePath, bpf.ENIReversePath},
	} {
		if f.set {
			row.Flags |= f.flag
		}
	}
	switch e.Kind {
	case tables.Host:
		row.Ifindex = uint32(devices[e.Number])
	case tables.NATSource:
		row.Ifindex = uint32(devices[e.Carrier])
		row.Mac = macs[e.Carrier] // its packets leave by the carrier's device
	}
	r.enis[e.Number] = row
	if id := (bpf.Endpoint{}); e.Kind == tables.Endpoint && len(e.Owner) == len(id.Id) {
		copy(id.Id[:], e.Owner)
		r.endpoints[e.Number] = id
	}

	for _, a := range e.Addresses {
		key := bpf.MappingKey{Network: e.Network, Addr: bpf.AddrFrom(a)}
		if other, ok := r.mappings[key]; ok {
			return fmt.Errorf("make rows: %s in network %d belongs to ENI %d and to ENI %d", a, e.Network, other, e.Number)
		}
		r.mappings[key] = e.Number
		if row.Ifindex == 0 {
			continue
		}
		source := bpf.SourceKey{Ifindex: row.Ifindex, Addr: bpf.AddrFrom(a)}
		if other, ok := r.sources[source]; ok {
			return fmt.Errorf("make rows: %s at device %d belongs to ENI %d and to ENI %d", a, row.Ifindex, other, e.Number)
		}
		r.sources[source] = e.Number
	}
	if e.AnySource && e.Kind == tables.Host && row.Ifindex != 0 {
		r.sources[bpf.SourceKey{Ifindex: row.Ifindex}] = e.Number
	}
	return nil
}

func (r *rows) addRuleSet(set tables.RuleSet) {
	var id [8]byte
	binary.NativeEndian.PutUint64(id[:], set.ID)
	for _, p := range set.Prefixes {
		length, addr := prefix(p.Prefix)
		name := rangesName(p.Ranges)
		r.rules[bpf.RuleKey{Prefixlen: ruleSetBits + length, RuleSet: id, Addr: addr}] =
			bpf.Rule{Ranges: name, Count: uint32(len(p.Ranges))}
		for i, ports := range p.Ranges {
			row := bpf.Range{Low: ports.Low, High: ports.High, Proto: ports.Protocol}
			if ports.Open {
				row.Open = 1
			}
			r.ranges[bpf.RangeKey{Ranges: name, Index: uint32(i)}] = row
		}
	}
}

func (r *rows) addListener(l tables.Listener) {
	row := bpf.Listener{Group: l.Group, Idle: uint32(l.Idle)}
	if set := r.sets[l.Targets]; len(set) > 0 {
		row.Targets, row.Size = l.Targets, uint32(len(set))
	}
	if l.PreserveClient {
		row.Flags |= bpf.ListenerPreserveClient
	}
	if l.Proxy {
		row.Flags |= bpf.ListenerProxy
	}
	r.listeners[bpf.ListenerKey{Eni: l.ENI, Port: bpf.Port(l.Port), Proto: l.Protocol}] = row
}

// slots lays a target set out as the program looks it up.
func slots(set tables.TargetSet) []bpf.Target {
	rows := make([]bpf.Target, len(set.Slots))
	for i, n := range set.Slots {
		t := set.Targets[n]
		rows[i] = bpf.Target{Addr: bpf.AddrFrom(t.Addr()), Port: bpf.Port(t.Port())}
	}
	return rows
}

// prefix is a prefix as the program's keys hold it.
func prefix(p netip.Prefix) (length uint32, addr bpf.Addr) {
	length = uint32(p.Bits())
	if p.Addr().Is4() {
		length += mappedBits
	}
	return length, bpf.AddrFrom(p.Masked().Addr())
}

// rangesName names a list of ranges by its content, so that prefixes share
// equal lists and a list never changes under a reader.
func rangesName(ranges []tables.Range) uint64 {
	h := fnv.New64a()
	for _, r := range ranges {
		open := byte(0)
		if r.Open {
			open = 1
		}
		h.Write([]byte{r.Protocol, byte(r.Low >> 8), byte(r.Low), byte(r.High >> 8), byte(r.High), open})
	}
	return h.Sum64()
}
