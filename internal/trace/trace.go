// Package trace says what the data plane does with a packet, and why: the
// packet program's story (package tables, README.md) once more in Go, over the
// same tables. It explains failures to people and is the oracle that the
// packet program is tested against.
package trace

import (
	"net/netip"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Verdict is what became of a packet.
type Verdict struct {
	Reason bpf.DropReason `json:"-"`
	// Reset says that a TCP RST went back to the sender.
	Reset bool `json:"reset,omitempty"`
	// Told are the RSTs that went to the other end of a flow that has ended.
	Told []Reset `json:"-"`
	// What a forwarded packet became, and the ENI whose device received it.
	Src    netip.AddrPort `json:"src,omitzero"`
	Dst    netip.AddrPort `json:"dst,omitzero"`
	Device uint32         `json:"device,omitempty"`
	DMAC   [6]byte        `json:"-"`
	// TCP: the numbers, the flags, and what took the payload's place, if it is
	// not nil. Plain says that only harmless options are left.
	Seq     uint32 `json:"-"`
	Ack     uint32 `json:"-"`
	Flags   uint8  `json:"-"`
	Payload []byte `json:"-"`
	Plain   bool   `json:"-"`
	// Cached says that a known flow answered alone.
	Cached bool   `json:"-"`
	Steps  []Step `json:"steps,omitempty"`
	// Listeners are the ARNs of the load balancers' listeners that a new flow
	// met, and Chosen the targets of those that could choose one.
	Listeners []string         `json:"-"`
	Chosen    []netip.AddrPort `json:"-"`
}

// Step is one station of a packet's way.
type Step struct {
	At   string `json:"at"`   // what decided: an id
	Text string `json:"text"` // what it decided
	// The packet's addresses from here on.
	Source      netip.Addr     `json:"source,omitzero"`
	Destination netip.AddrPort `json:"destination,omitzero"`
}

// Trace carries p through the tables and changes flows as the packet program
// changes its table.
func (x *Index) Trace(flows *Flows, p Packet) Verdict {
	if p.related() {
		return x.traceRelated(flows, p)
	}
	key := Key{Device: p.Device, Src: p.Src, Dst: p.Dst, Protocol: p.Protocol}
	if f := flows.Entries[key]; f != nil {
		if p.MAC != f.SMAC {
			return Verdict{Reason: bpf.DropSpoofed}
		}
		back := flows.Entries[f.back(p.Protocol)]
		closing := f.Fin || f.Rst || back != nil && (back.Fin || back.Rst)
		switch {
		case p.Protocol == tables.TCP && p.syn() && (closing || f.Shift > 0 && !f.Reverse && p.Seq != f.ISS):
			flows.remove(key, f)
		case f.Epoch == x.Epoch:
			return flows.forward(key, f, p, true)
		default:
			if v, done := x.again(flows, key, f, p); done {
				return v
			}
		}
	}
	return x.start(flows, key, p)
}

// forward lets a flow's entry answer.
func (fs *Flows) forward(key Key, f *Flow, p Packet, cached bool) Verdict {
	v := Verdict{Src: f.Src, Dst: f.Dst, Device: f.Device, DMAC: f.DMAC, Cached: cached, Seq: p.Seq, Ack: p.Ack}
	if f.Shift > 0 {
		if v.Reason = fs.proxied(key, f, &p, &v); v.Reason != bpf.DropNone {
			return v
		}
	}
	v.Flags = p.Flags
	if p.Protocol == tables.TCP {
		f.Fin = f.Fin || p.Flags&FIN != 0
		f.Rst = f.Rst || p.Flags&RST != 0
	}
	f.Replied = f.Replied || f.Reverse
	f.Packets++
	f.Bytes += uint64(p.Length)
	return v
}

// start evaluates the first packet of a flow and writes the flow.
func (x *Index) start(flows *Flows, key Key, p Packet) Verdict {
	sender := x.source(p.Device, p.Src.Addr())
	if sender == nil || x.mac(sender) != p.MAC {
		return refuse(bpf.DropSpoofed, p, nil, []Step{{At: x.eniID(p.Device),
			Text: "spoofed: " + p.Src.Addr().String() + " is not an address of the sending ENI"}})
	}
	w := x.evaluate(sender, p, nil)
	if w.reason != bpf.DropNone {
		return refuse(w.reason, p, nil, w.steps)
	}
	if p.Protocol == tables.ICMP && p.Type != EchoRequest {
		return refuse(bpf.DropUnrelated, p, nil, w.steps)
	}
	hash := tables.Hash(p.Src, p.Dst, p.Protocol, p.seqOfStart())
	for i := 0; i < tables.PortTries; i++ {
		port, ok := p.Src.Port(), i == 0
		if w.rewritesSource && p.Protocol != tables.ICMP {
			port, ok = tables.CandidatePort(p.Src.Port(), hash, i)
		}
		if !ok {
			continue
		}
		f, r := x.pair(sender, p, w, port)
		switch reason := flows.insert(key, f, r); reason {
		case bpf.DropPortExhausted:
			continue
		case bpf.DropNone:
			v := flows.forward(key, f, p, false)
			v.Steps = w.steps
			return v
		default:
			return refuse(reason, p, nil, w.steps)
		}
	}
	return refuse(bpf.DropPortExhausted, p, nil, w.steps)
}

// pair makes the two entries of a flow that was let through.
func (x *Index) pair(sender *tables.ENI, p Packet, w *walk, port uint16) (forward, reverse *Flow) {
	dst := w.dst
	if p.Protocol == tables.ICMP { // the identifier stays on both sides
		dst = netip.AddrPortFrom(w.dst.Addr(), p.Dst.Port())
		port = p.Src.Port()
	}
	src := netip.AddrPortFrom(w.src, port)
	trackedSrc, trackedDst := w.tracked(p)
	forward = &Flow{
		Src: src, Dst: dst, Device: w.arrived.Number, SMAC: p.MAC, DMAC: w.arrived.MAC,
		ENI: sender.Number, Epoch: x.Epoch, Idle: w.idle(p), Translated: src != p.Src || dst != p.Dst,
		TrackedSrc: trackedSrc, TrackedDst: trackedDst, Chosen: w.chosen,
	}
	if len(w.chosen) < 2 { // the entry itself tells
		forward.Chosen = nil
	}
	if len(w.header) > 0 {
		forward.Chosen = w.chosen
		forward.Shift, forward.ISS, forward.Preamble = uint32(len(w.header)), p.Seq, true
		forward.preamble = preamble{Header: w.header, Missing: true}
	}
	reverse = &Flow{
		Src: p.Dst, Dst: p.Src, Device: p.Device, SMAC: w.arrived.MAC, DMAC: p.MAC,
		ENI: w.arrived.Number, Epoch: x.Epoch, Idle: forward.Idle, Translated: forward.Translated,
		TrackedSrc: trackedSrc, TrackedDst: trackedDst, Reverse: true,
		Shift: forward.Shift, ISS: forward.ISS, Preamble: forward.Preamble,
	}
	return forward, reverse
}

// again evaluates a known flow under changed tables. done is false if nothing
// was known after all.
func (x *Index) again(flows *Flows, key Key, f *Flow, p Packet) (v Verdict, done bool) {
	fwdKey, fwd := key, f
	if f.Reverse {
		fwdKey = f.back(p.Protocol)
		if fwd = flows.Entries[fwdKey]; fwd == nil {
			delete(flows.Entries, key)
			return Verdict{}, false
		}
	}
	rev := flows.Entries[fwd.back(p.Protocol)]
	if rev == nil {
		delete(flows.Entries, fwdKey)
		return Verdict{}, false
	}
	first := p
	first.Device, first.Src, first.Dst, first.MAC = fwdKey.Device, fwdKey.Src, fwdKey.Dst, fwd.SMAC
	first.Type, first.Code = EchoRequest, 0
	sender := x.source(fwdKey.Device, fwdKey.Src.Addr())
	w := &walk{reason: bpf.DropSpoofed}
	if sender != nil && x.mac(sender) == fwd.SMAC {
		w = x.evaluate(sender, first, fwd)
	}
	if w.reason != bpf.DropNone {
		var told []Reset
		if w.reason != bpf.DropSpoofed && len(fwd.choices(fwdKey.Dst)) > 0 {
			told = f.resets(p, fwd)
		}
		flows.remove(fwdKey, fwd)
		return refuse(w.reason, p, told, w.steps), true
	}
	if w.arrived.Number != fwd.Device {
		// The receiver is another, whose packets have another key.
		delete(flows.Entries, fwd.back(p.Protocol))
		fwd.Device = w.arrived.Number
		if flows.Entries[fwd.back(p.Protocol)] != nil {
			delete(flows.Entries, fwdKey)
			return refuse(bpf.DropPortExhausted, p, nil, w.steps), true
		}
		flows.Entries[fwd.back(p.Protocol)] = rev
	}
	fwd.Epoch, rev.Epoch = x.Epoch, x.Epoch
	fwd.DMAC, rev.SMAC, rev.ENI = w.arrived.MAC, w.arrived.MAC, w.arrived.Number
	if flows.Entries[key] != f {
		return Verdict{Reason: bpf.DropSpoofed}, true
	}
	return flows.forward(key, f, p, false), true
}

// traceRelated carries an ICMP error along the flow whose packet it quotes.
func (x *Index) traceRelated(flows *Flows, p Packet) Verdict {
	key := Key{Device: p.Device, Src: p.Quoted.Dst, Dst: p.Quoted.Src, Protocol: p.Quoted.Protocol}
	f := flows.Entries[key]
	if f == nil || f.Translated || f.Epoch != x.Epoch || f.Src.Addr() != p.Src.Addr() || f.Dst.Addr() != p.Dst.Addr() {
		return Verdict{Reason: bpf.DropUnrelated}
	}
	if f.SMAC != p.MAC {
		return Verdict{Reason: bpf.DropSpoofed}
	}
	return Verdict{Src: p.Src, Dst: p.Dst, Device: f.Device, DMAC: f.DMAC}
}

// seqOfStart is the part of the hash that tells two connections of the same
// tuple apart.
func (p Packet) seqOfStart() uint32 {
	if p.Protocol == tables.TCP {
		return p.Seq
	}
	return 0
}

func (x *Index) eniID(number uint32) string {
	if e := x.enis[number]; e != nil {
		return e.ID
	}
	return "unknown device"
}

// From traces the first packet of a new flow sent by an ENI, whether or not it
// has a device, as if no other flow existed.
func (x *Index) From(sender *tables.ENI, p Packet) Verdict {
	p.Device = device(sender)
	w := x.evaluate(sender, p, nil)
	v := refuse(w.reason, p, nil, w.steps)
	if w.reason == bpf.DropNone {
		f, _ := x.pair(sender, p, w, p.Src.Port())
		v = NewFlows(0).forward(Key{}, f, p, false)
		v.Steps = w.steps
	}
	v.Listeners, v.Chosen = w.listeners, w.chosen
	return v
}
