package trace

import (
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/tables"
)

// Index is the tables arranged for look-ups, as the maps of the packet program
// are.
type Index struct {
	Epoch     uint32
	enis      map[uint32]*tables.ENI
	networks  map[uint32]string
	sources   map[address]*tables.ENI // by device and source
	anySource map[uint32]*tables.ENI  // by device
	mappings  map[address]*tables.ENI // by network and address
	routes    map[uint32]*tables.RouteTable
	rules     map[uint64]*tables.RuleSet
	listeners map[listenerKey]*tables.Listener
	targets   map[uint64]*tables.TargetSet
	members   map[tables.Member]bool
}

type address struct {
	number uint32 // of a device or a network
	addr   netip.Addr
}

type listenerKey struct {
	eni      uint32
	protocol uint8
	port     uint16
}

// NewIndex arranges t, which must not change while the index is used.
func NewIndex(t *tables.Tables, epoch uint32) *Index {
	x := &Index{
		Epoch:     epoch,
		enis:      map[uint32]*tables.ENI{},
		networks:  map[uint32]string{},
		sources:   map[address]*tables.ENI{},
		anySource: map[uint32]*tables.ENI{},
		mappings:  map[address]*tables.ENI{},
		routes:    map[uint32]*tables.RouteTable{},
		rules:     map[uint64]*tables.RuleSet{},
		listeners: map[listenerKey]*tables.Listener{},
		targets:   map[uint64]*tables.TargetSet{},
		members:   map[tables.Member]bool{},
	}
	for _, n := range t.Networks {
		x.networks[n.Number] = n.ID
	}
	for i := range t.ENIs {
		e := &t.ENIs[i]
		x.enis[e.Number] = e
		for _, a := range e.Addresses {
			x.mappings[address{e.Network, a}] = e
			if d := device(e); d != 0 {
				x.sources[address{d, a}] = e
			}
		}
		if e.AnySource && e.Device != nil {
			x.anySource[e.Number] = e
		}
	}
	for i := range t.RouteTables {
		x.routes[t.RouteTables[i].Number] = &t.RouteTables[i]
	}
	for i := range t.RuleSets {
		x.rules[t.RuleSets[i].ID] = &t.RuleSets[i]
	}
	for i := range t.Listeners {
		l := &t.Listeners[i]
		x.listeners[listenerKey{l.ENI, l.Protocol, l.Port}] = l
	}
	for i := range t.TargetSets {
		x.targets[t.TargetSets[i].ID] = &t.TargetSets[i]
	}
	for _, m := range t.Members {
		x.members[m] = true
	}
	return x
}

// device is the ENI on whose device e's packets arrive; zero: it has none.
func device(e *tables.ENI) uint32 {
	switch {
	case e.Kind == tables.NATSource:
		return e.Carrier
	case e.Device != nil:
		return e.Number
	}
	return 0
}

// mac is the address of the device that carries e.
func (x *Index) mac(e *tables.ENI) [6]byte {
	if e.Kind == tables.NATSource {
		if carrier := x.enis[e.Carrier]; carrier != nil {
			return carrier.MAC
		}
	}
	return e.MAC
}

// source finds the ENI that a packet from a device claims to be sent by.
func (x *Index) source(device uint32, src netip.Addr) *tables.ENI {
	if e := x.sources[address{device, src}]; e != nil {
		return e
	}
	return x.anySource[device]
}

// route is the route that a table has for dst; nil if none.
func (x *Index) route(table uint32, dst netip.Addr) *tables.Route {
	t := x.routes[table]
	if t == nil {
		return nil
	}
	var best *tables.Route
	for i := range t.Routes {
		r := &t.Routes[i]
		if r.Prefix.Contains(dst) && (best == nil || r.Prefix.Bits() > best.Prefix.Bits()) {
			best = r
		}
	}
	return best
}

// allowed says whether a rule set allows a port towards or from an address,
// and whether because of a rule for everybody.
func (x *Index) allowed(set uint64, addr netip.Addr, protocol uint8, port uint16) (ok, open bool) {
	if set == 0 {
		return true, true
	}
	s := x.rules[set]
	if s == nil {
		return false, false
	}
	var best *tables.RulePrefix
	for i := range s.Prefixes {
		p := &s.Prefixes[i]
		if p.Prefix.Contains(addr) && (best == nil || p.Prefix.Bits() > best.Prefix.Bits()) {
			best = p
		}
	}
	if best == nil {
		return false, false
	}
	for _, r := range best.Ranges {
		if r.Protocol == protocol && r.Low <= port && port <= r.High {
			return true, r.Open
		}
	}
	return false, false
}
