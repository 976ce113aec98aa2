package trace

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// drawPacket draws a packet that has some chance to be let through: from an
// ENI's device with an address that belongs there, towards an address of the
// pool, or of a flow that exists, which is likelier if the tables have changed.
func drawPacket(t *rapid.T, top *topology, x *Index, flows *Flows, changed bool) (Packet, bool) {
	if len(top.devices) == 0 {
		return Packet{}, false
	}
	d := drawer{t, top.tables}
	if keys := sortedKeys(flows); len(keys) > 0 && d.chance("of a flow", map[bool]int{false: 40, true: 90}[changed]) {
		key := rapid.SampledFrom(keys).Draw(t, "flow")
		p := Packet{Device: key.Device, Src: key.Src, Dst: key.Dst, Protocol: key.Protocol, MAC: flows.Entries[key].SMAC, Length: 60}
		d.transport(&p)
		if f := flows.Entries[key]; f.Shift > 0 { // numbers that mean something
			p.Flags = rapid.SampledFrom([]uint8{ACK, ACK | PSH, ACK, ACK, SYN | ACK, SYN, FIN | ACK, RST, RST | ACK}).Draw(t, "flags of a proxied flow")
			p.Seq = f.ISS + rapid.SampledFrom([]uint32{0, 1, 1, 1, 2, 40}).Draw(t, "seq behind iss")
			p.Ack = f.ISS + 1 + rapid.SampledFrom([]uint32{0, 0, 5, f.Shift - 1, f.Shift, f.Shift, f.Shift + 9, 1 << 31}).Draw(t, "ack behind iss")
		}
		if p.Protocol == tables.ICMP {
			p.Type = EchoRequest
			if flows.Entries[key].Reverse {
				p.Type = EchoReply
			}
		}
		return p, true
	}
	if d.chance("to a listener", 40) {
		if p, ok := d.toListener(); ok {
			return p, true
		}
	}
	p := Packet{
		Device:   rapid.SampledFrom(top.devices).Draw(t, "device"),
		Protocol: rapid.SampledFrom([]uint8{tables.TCP, tables.TCP, tables.UDP, tables.ICMP}).Draw(t, "protocol"),
	}
	var own []netip.Addr
	for i := range top.tables.ENIs {
		if e := &top.tables.ENIs[i]; device(e) == p.Device {
			own = append(own, e.Addresses...)
		}
	}
	p.Src, p.Dst = d.addrPort("source"), d.addrPort("destination")
	if d.chance("own address", 95) {
		p.Src = netip.AddrPortFrom(rapid.SampledFrom(own).Draw(t, "own"), p.Src.Port())
	}
	if d.chance("to an ENI", 75) {
		p.Dst = d.neighbour(x.source(p.Device, p.Src.Addr()), p.Dst)
	}
	p.MAC = x.enis[p.Device].MAC
	if d.chance("wrong MAC", 2) {
		p.MAC[5] ^= 0xff
	}
	d.transport(&p)
	switch {
	case p.Protocol != tables.ICMP:
	case d.chance("error", 20):
		p.Type, p.Quoted = DestUnreachable, Tuple{Src: d.addrPort("quoted source"), Dst: p.Src, Protocol: tables.UDP}
		if keys := sortedKeys(flows); len(keys) > 0 && d.chance("of a known flow", 80) {
			key := rapid.SampledFrom(keys).Draw(t, "quoted flow")
			p.Device, p.MAC = key.Device, flows.Entries[key].SMAC
			p.Src = netip.AddrPortFrom(key.Src.Addr(), 0)
			p.Dst = netip.AddrPortFrom(key.Dst.Addr(), 0)
			p.Quoted = Tuple{Src: key.Dst, Dst: key.Src, Protocol: key.Protocol}
		}
		p.Src, p.Dst = netip.AddrPortFrom(p.Src.Addr(), 0), netip.AddrPortFrom(p.Dst.Addr(), 0)
	default:
		id := p.Src.Port()
		p.Dst = netip.AddrPortFrom(p.Dst.Addr(), id)
		p.Type = EchoRequest
		if d.chance("reply", 10) {
			p.Type = EchoReply
		}
	}
	return p, true
}

// toListener draws the start of a connection to a balancer, or to an endpoint
// that leads to one, from a host of the same network.
func (d drawer) toListener() (Packet, bool) {
	var all []Packet
	for _, l := range d.tables.Listeners {
		for _, to := range d.tables.ENIs {
			if to.Number != l.ENI && (to.Kind != tables.Endpoint || to.Peer != l.ENI) {
				continue
			}
			for _, from := range d.tables.ENIs {
				if from.Network == to.Network && from.Kind == tables.Host && from.Device != nil {
					p := Packet{
						Device: from.Number, MAC: from.MAC, Protocol: l.Protocol, Flags: SYN,
						Src: netip.AddrPortFrom(from.Addresses[0], 0), Dst: netip.AddrPortFrom(to.Addresses[0], l.Port),
					}
					if all = append(all, p); d.leadsToEndpoint(l) { // the longer ways are of more interest
						all = append(all, p, p, p, p)
					}
				}
			}
		}
	}
	if len(all) == 0 {
		return Packet{}, false
	}
	p := rapid.SampledFrom(all).Draw(d.t, "to a listener")
	p.Src = netip.AddrPortFrom(p.Src.Addr(), rapid.SampledFrom(poolPorts).Draw(d.t, "client port"))
	if p.Protocol == tables.UDP {
		p.Flags = 0
	} else {
		p.Seq = rapid.Uint32().Draw(d.t, "seq")
		d.payload(&p)
	}
	return p, true
}

func (d drawer) payload(p *Packet) {
	if d.chance("payload", 60) {
		p.Payload = len(payloadText)
	}
}

// leadsToEndpoint says whether a listener chooses the address of an endpoint.
func (d drawer) leadsToEndpoint(l tables.Listener) bool {
	for _, s := range d.tables.TargetSets {
		for _, e := range d.tables.ENIs {
			if s.ID == l.Targets && e.Kind == tables.Endpoint && s.Targets[0].Addr() == e.Addresses[0] {
				return true
			}
		}
	}
	return false
}

// neighbour draws an ENI of the network that a sender's packets appear in, and
// one of its listeners' ports if it has any; otherwise if there is no sender.
func (d drawer) neighbour(sender *tables.ENI, otherwise netip.AddrPort) netip.AddrPort {
	if sender == nil {
		return otherwise
	}
	network := sender.Network
	for _, e := range d.tables.ENIs {
		if sender.Kind == tables.NATSource && e.Number == sender.Peer {
			network = e.Network
		}
	}
	var to []netip.AddrPort
	for _, e := range d.tables.ENIs {
		node := e.Number
		if e.Kind == tables.Endpoint {
			node = e.Peer
		}
		if e.Network != network || e.Number == sender.Number {
			continue
		}
		to = append(to, netip.AddrPortFrom(e.Addresses[0], otherwise.Port()))
		for _, l := range d.tables.Listeners {
			if l.ENI == node {
				at := netip.AddrPortFrom(e.Addresses[0], l.Port)
				to = append(to, at, at, at) // the longer ways are of more interest
			}
		}
	}
	if len(to) == 0 {
		return otherwise
	}
	return rapid.SampledFrom(to).Draw(d.t, "neighbour")
}

func (d drawer) transport(p *Packet) {
	p.Length = d.number("length", 60, 200)
	if p.Protocol == tables.TCP {
		p.Flags = rapid.SampledFrom([]uint8{SYN, SYN, SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST}).Draw(d.t, "flags")
		p.Seq, p.Ack = rapid.Uint32().Draw(d.t, "seq"), rapid.Uint32().Draw(d.t, "ack")
		d.payload(p)
	}
}

func sortedKeys(flows *Flows) []Key {
	var keys []Key
	for k := range flows.Entries {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), a.Src.Compare(b.Src), a.Dst.Compare(b.Dst), cmp.Compare(a.Protocol, b.Protocol))
	})
	return keys
}

// TestFlowsArePairs: whatever happens, the two directions of a flow lead to
// each other, no more entries exist than fit, and a packet that was let
// through is answered on the way back.
func TestFlowsArePairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top := drawTopology(t)
		x := NewIndex(top.tables, 1)
		flows := NewFlows(16)
		for range 40 {
			p, ok := drawPacket(t, top, x, flows, false)
			if !ok {
				return
			}
			v := x.Trace(flows, p)
			if len(flows.Entries) > flows.Max {
				t.Fatalf("%d entries in a table for %d", len(flows.Entries), flows.Max)
			}
			for key, f := range flows.Entries {
				back := flows.Entries[f.back(key.Protocol)]
				if back == nil || back.Reverse == f.Reverse || back.back(key.Protocol) != key {
					t.Fatalf("%+v has no other direction", key)
				}
			}
			if v.Reason != bpf.DropNone || p.related() || p.Protocol == tables.ICMP {
				continue
			}
			answer := Packet{Device: v.Device, Src: v.Dst, Dst: v.Src, Protocol: p.Protocol, Flags: ACK, MAC: v.DMAC}
			back := x.Trace(flows, answer)
			if back.Reason != bpf.DropNone || back.Device != p.Device || back.Src != p.Dst || back.Dst != p.Src {
				t.Fatalf("the answer to %+v became %+v", p, back)
			}
		}
	})
}

// TestExplains: the last step of a refused flow begins with its reason.
func TestExplains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top := drawTopology(t)
		x := NewIndex(top.tables, 1)
		for _, e := range top.tables.ENIs {
			dst := rapid.SampledFrom(top.addrs).Draw(t, "destination")
			v := x.From(&e, Packet{Src: netip.AddrPortFrom(e.Addresses[0], 40000), Dst: netip.AddrPortFrom(dst, 80), Protocol: tables.TCP, Flags: SYN})
			if v.Reason != bpf.DropNone && !strings.HasPrefix(v.Steps[len(v.Steps)-1].Text, v.Reason.String()+": ") {
				t.Fatalf("%s is explained by %q", v.Reason, v.Steps[len(v.Steps)-1].Text)
			}
		}
	})
}
