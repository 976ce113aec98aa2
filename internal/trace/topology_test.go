package trace

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"pgregory.net/rapid"

	"github.com/isthmus-net/isthmus/internal/maglev"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// topology is random tables: small networks with the same addresses, so that
// whatever is mixed up between networks meets something to go wrong with.
type topology struct {
	tables  *tables.Tables
	devices []uint32 // ENIs that have a device
	addrs   []netip.Addr
}

// pool is where all addresses and ports come from: few, so that packets meet.
func poolAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, byte(i >> 2), byte(i&3 + 1)})
}

const poolSize = 16

var poolPorts = []uint16{80, 443, 8080, 1024, 40000}

func drawTopology(t *rapid.T) *topology {
	d := drawer{t, &tables.Tables{}}
	top := &topology{tables: d.tables}
	for i := range poolSize {
		top.addrs = append(top.addrs, poolAddress(i))
	}
	for n := uint32(1); n <= 3; n++ {
		d.tables.Networks = append(d.tables.Networks, tables.Network{Number: n, ID: fmt.Sprintf("vpc-%d", n)})
		d.routeTable(2*n - 1)
		d.routeTable(2 * n)
	}
	for range d.number("rule sets", 1, 4) {
		d.ruleSet()
	}
	free := map[uint32][]int{}
	for n := uint32(1); n <= 3; n++ {
		free[n] = rapid.Permutation(rangeOf(poolSize)).Draw(t, "addresses")
	}
	take := func(network uint32) (netip.Addr, bool) {
		if len(free[network]) == 0 {
			return netip.Addr{}, false
		}
		i := free[network][0]
		free[network] = free[network][1:]
		return poolAddress(i), true
	}
	var nodes, nats, carriers []uint32
	for number := uint32(1); number <= 14; number++ {
		network := uint32(d.number("network", 1, 3))
		addr, ok := take(network)
		if !ok {
			continue
		}
		e := d.eni(number, network, addr)
		switch kind := d.number("kind", 0, 9); {
		case kind < 4:
			e.Kind = tables.Host
			if d.chance("device", 85) {
				e.Device = &tables.Device{}
				top.devices = append(top.devices, number)
				carriers = append(carriers, number)
			}
			e.AnySource = d.chance("any source", 10)
			e.ReversePath = d.chance("reverse path", 15)
			if more, ok := take(network); ok && d.chance("secondary", 20) {
				e.Addresses = append(e.Addresses, more)
			}
		case kind < 6:
			e.Kind = tables.LoadBalancer
			e.Enforce = d.chance("enforce", 50)
			nodes = append(nodes, number)
		case kind < 7:
			e.Kind = tables.Endpoint
			if e.Owner = fmt.Sprintf("vpce-%017x", number); d.chance("other id", 10) {
				e.Owner = "vpce-short"
			}
			e.Available = d.chance("available", 80)
			if len(nodes) > 0 {
				e.Peer = rapid.SampledFrom(nodes).Draw(t, "peer")
			}
		case kind < 8:
			e.Kind = tables.NAT
			nats = append(nats, number)
		default:
			if len(nats) == 0 || len(carriers) == 0 {
				continue
			}
			e.Kind = tables.NATSource
			e.Peer = rapid.SampledFrom(nats).Draw(t, "nat")
			e.Carrier = rapid.SampledFrom(carriers).Draw(t, "carrier")
			for _, other := range d.tables.ENIs {
				for _, a := range other.Addresses {
					if device(&other) == e.Carrier && a == addr {
						ok = false // one device can't have an address twice
					}
				}
			}
			if !ok {
				continue
			}
		}
		d.tables.ENIs = append(d.tables.ENIs, e)
	}
	d.targets(nodes)
	d.chains()
	return top
}

type drawer struct {
	t      *rapid.T
	tables *tables.Tables
}

func (d drawer) number(what string, low, high int) int {
	return rapid.IntRange(low, high).Draw(d.t, what)
}
func (d drawer) chance(what string, percent int) bool { return d.number(what, 1, 100) <= percent }

func (d drawer) eni(number, network uint32, addr netip.Addr) tables.ENI {
	e := tables.ENI{
		Number: number, ID: fmt.Sprintf("eni-%d", number), Network: network, Addresses: []netip.Addr{addr},
		MAC:        [6]byte{0x0e, 0, 0, 0, 0, byte(number)},
		RouteTable: 2*network - uint32(d.number("route table", 0, 1)),
	}
	set := func(what string) (uint64, bool) {
		if d.chance(what, 60) {
			return 0, false
		}
		s := rapid.SampledFrom(d.tables.RuleSets).Draw(d.t, what)
		return s.ID, false
	}
	e.Ingress, _ = set("ingress")
	e.Egress, _ = set("egress")
	e.IngressOpen, e.EgressOpen = d.chance("ingress open", 30), d.chance("egress open", 60)
	return e
}

func (d drawer) routeTable(number uint32) {
	r := tables.RouteTable{Number: number, ID: fmt.Sprintf("rtb-%d", number)}
	for _, bits := range []int{0, 8, 16, 24, 32} {
		if !d.chance("route", map[bool]int{true: 80, false: 30}[bits == 16]) {
			continue
		}
		prefix, _ := poolAddress(d.number("prefix", 0, poolSize-1)).Prefix(bits)
		kind := tables.Local
		if bits != 16 && d.chance("not local", 30) {
			kind = tables.RouteKind(d.number("route kind", 1, 4))
		}
		r.Routes = append(r.Routes, d.route(prefix, kind))
	}
	d.tables.RouteTables = append(d.tables.RouteTables, r)
}

// route draws where a route leads that leads to an ENI: any or none.
func (d drawer) route(prefix netip.Prefix, kind tables.RouteKind) tables.Route {
	r := tables.Route{Prefix: prefix, Kind: kind}
	if kind == tables.Interface {
		r.ENI = uint32(d.number("route's ENI", 0, 14))
	}
	return r
}

// ruleSet draws prefixes whose ranges do not overlap and are in order.
func (d drawer) ruleSet() {
	var s tables.RuleSet
	for _, bits := range []int{0, 22, 30, 32} {
		if !d.chance("rule prefix", 60) {
			continue
		}
		prefix, _ := poolAddress(d.number("rule address", 0, poolSize-1)).Prefix(bits)
		p := tables.RulePrefix{Prefix: prefix}
		for _, protocol := range []uint8{tables.ICMP, tables.TCP, tables.UDP} {
			low := 0
			for low < 65536 && d.chance("range", 70) {
				from := low
				if d.chance("gap", 50) {
					from = rapid.IntRange(low, 65535).Draw(d.t, "low")
				}
				to := 65535
				if d.chance("bounded", 50) {
					to = rapid.IntRange(from, 65535).Draw(d.t, "high")
				}
				p.Ranges = append(p.Ranges, tables.Range{Protocol: protocol, Low: uint16(from), High: uint16(to), Open: d.chance("open", 50)})
				low = to + 1
			}
		}
		s.Prefixes = append(s.Prefixes, p)
	}
	s.ID = contentName(s)
	d.tables.RuleSets = append(d.tables.RuleSets, s)
}

func (d drawer) targets(nodes []uint32) {
	var sets []uint64
	for range d.number("target sets", 0, 3) {
		var s tables.TargetSet
		for range d.number("targets", 1, 3) {
			s.Targets = append(s.Targets, d.target())
		}
		s.Slots = maglev.Table(s.Targets, maglev.Size(len(s.Targets)))
		s.ID = contentName(s)
		d.tables.TargetSets = append(d.tables.TargetSets, s)
		sets = append(sets, s.ID)
	}
	seen := map[listenerKey]bool{}
	for _, node := range nodes {
		for range d.number("listeners", 0, 4) {
			l := tables.Listener{
				ENI: node, Protocol: rapid.SampledFrom([]uint8{tables.TCP, tables.UDP}).Draw(d.t, "protocol"),
				Port:  rapid.SampledFrom(poolPorts).Draw(d.t, "listener port"),
				Group: uint64(d.number("group", 1, 2)), Idle: uint16(d.number("idle", 60, 6000)),
				PreserveClient: d.chance("preserve", 50), ID: "listener",
			}
			l.Proxy = l.Protocol == tables.TCP && d.chance("proxy", 40)
			if len(sets) > 0 && d.chance("has targets", 90) {
				l.Targets = rapid.SampledFrom(sets).Draw(d.t, "target set")
			}
			if k := (listenerKey{l.ENI, l.Protocol, l.Port}); !seen[k] {
				seen[k] = true
				d.tables.Listeners = append(d.tables.Listeners, l)
			}
		}
	}
	members := map[tables.Member]bool{}
	for _, s := range d.tables.TargetSets {
		for _, target := range s.Targets {
			m := tables.Member{Group: uint64(d.number("member of", 1, 2)), Target: target}
			if !members[m] && d.chance("member", 80) {
				members[m] = true
				d.tables.Members = append(d.tables.Members, m)
			}
		}
	}
}

func (d drawer) addrPort(what string) netip.AddrPort {
	return netip.AddrPortFrom(poolAddress(d.number(what, 0, poolSize-1)), rapid.SampledFrom(poolPorts).Draw(d.t, what+" port"))
}

// target draws what may be one: mostly an address that a host has somewhere.
func (d drawer) target() netip.AddrPort {
	target := d.addrPort("target")
	hosts := slices.DeleteFunc(slices.Clone(d.tables.ENIs), func(e tables.ENI) bool { return e.Kind != tables.Host })
	if len(hosts) == 0 || d.chance("no host", 20) {
		return target
	}
	return netip.AddrPortFrom(rapid.SampledFrom(hosts).Draw(d.t, "host").Addresses[0], target.Port())
}

// chains has balancers choose endpoints, and what these lead to choose hosts;
// some lead back to themselves.
func (d drawer) chains() {
	of := func(kind tables.Kind, network uint32) (found []*tables.ENI) {
		for i := range d.tables.ENIs {
			if e := &d.tables.ENIs[i]; e.Kind == kind && (network == 0 || e.Network == network) {
				found = append(found, e)
			}
		}
		return found
	}
	for _, e := range of(tables.Endpoint, 0) {
		before, behind := of(tables.LoadBalancer, e.Network), of(tables.LoadBalancer, 0)
		if len(before) == 0 || !d.chance("chosen", 75) {
			continue
		}
		first := rapid.SampledFrom(before).Draw(d.t, "first node")
		second := rapid.SampledFrom(behind).Draw(d.t, "second node")
		if d.chance("loop", 15) {
			second = first
		}
		for _, open := range []*tables.ENI{e, first, second} {
			if d.chance("open", 75) {
				open.Ingress, open.Egress = 0, 0
			}
		}
		e.Peer, e.Available = second.Number, d.chance("accepted", 90)
		port := rapid.SampledFrom(poolPorts).Draw(d.t, "chosen port")
		d.choose(first, rapid.SampledFrom(poolPorts).Draw(d.t, "first port"), netip.AddrPortFrom(e.Addresses[0], port))
		if hosts := of(tables.Host, second.Network); len(hosts) > 0 && second != first {
			host := rapid.SampledFrom(hosts).Draw(d.t, "host")
			d.choose(second, port, netip.AddrPortFrom(host.Addresses[0], rapid.SampledFrom(poolPorts).Draw(d.t, "host port")))
		}
	}
}

// choose has a listener, new or not, choose one target.
func (d drawer) choose(node *tables.ENI, port uint16, target netip.AddrPort) {
	s := tables.TargetSet{Targets: []netip.AddrPort{target}}
	s.Slots = maglev.Table(s.Targets, maglev.Size(1))
	s.ID = contentName(s)
	if !slices.ContainsFunc(d.tables.TargetSets, func(o tables.TargetSet) bool { return o.ID == s.ID }) {
		d.tables.TargetSets = append(d.tables.TargetSets, s)
	}
	at := slices.IndexFunc(d.tables.Listeners, func(l tables.Listener) bool {
		return l.ENI == node.Number && l.Protocol == tables.TCP && l.Port == port
	})
	if at < 0 {
		at = len(d.tables.Listeners)
		d.tables.Listeners = append(d.tables.Listeners, tables.Listener{
			ENI: node.Number, Protocol: tables.TCP, Port: port, Idle: uint16(d.number("idle", 60, 6000)),
			Group: uint64(d.number("group", 1, 2)), PreserveClient: d.chance("preserve", 50), ID: "listener", Proxy: d.chance("proxy", 50),
		})
	}
	l := &d.tables.Listeners[at]
	l.Targets = s.ID
	if m := (tables.Member{Group: l.Group, Target: target}); !slices.Contains(d.tables.Members, m) {
		d.tables.Members = append(d.tables.Members, m)
	}
}

// contentName names a set as the compiler does: by what it holds.
func contentName(set any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, set)
	return h.Sum64()
}

func rangeOf(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}
