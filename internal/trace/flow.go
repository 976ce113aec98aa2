package trace

import (
	"net/netip"

	"github.com/isthmus-net/isthmus/bpf"
)

// Key is what a flow is found by: what arrives at a device.
type Key struct {
	Device   uint32 // ENI number of the device
	Src, Dst netip.AddrPort
	Protocol uint8
}

// Flow is the final answer for one direction.
type Flow struct {
	Src, Dst   netip.AddrPort // as rewritten
	Device     uint32         // ENI whose device receives
	SMAC, DMAC [6]byte
	ENI        uint32 // the ENI that sends in this direction
	Epoch      uint32
	Idle       uint32 // seconds

	Reverse, Translated    bool
	TrackedSrc, TrackedDst bool
	Fin, Rst, Replied      bool
	Packets, Bytes         uint64

	// Chosen are the targets that the balancers on the way chose, kept with
	// the forward direction if there are more than one.
	Chosen []netip.AddrPort

	// Of a proxied flow: how many bytes come before the client's, the client's
	// initial sequence number, and whether they are not known to be
	// acknowledged in this direction. What they are is kept with the forward
	// one.
	Shift, ISS uint32
	Preamble   bool
	preamble   preamble
}

// Flows is the flow table: bounded, refusing what does not fit.
type Flows struct {
	Entries map[Key]*Flow
	Max     int
}

// NewFlows returns an empty table for max entries (two a flow).
func NewFlows(max int) *Flows { return &Flows{Entries: map[Key]*Flow{}, Max: max} }

// back is the key of the packets that answer those that f rewrites.
func (f *Flow) back(protocol uint8) Key {
	return Key{Device: f.Device, Src: f.Dst, Dst: f.Src, Protocol: protocol}
}

// insert adds a flow's two entries, reverse first. The reverse entry reserves
// the source port: bpf.DropPortExhausted if its key is taken.
func (fs *Flows) insert(key Key, forward, reverse *Flow) bpf.DropReason {
	back := forward.back(key.Protocol)
	if fs.Entries[back] != nil || back == key {
		return bpf.DropPortExhausted
	}
	if len(fs.Entries)+2 > fs.Max {
		return bpf.DropTableFull
	}
	fs.Entries[back] = reverse
	fs.Entries[key] = forward
	return bpf.DropNone
}

func (fs *Flows) remove(key Key, f *Flow) {
	delete(fs.Entries, f.back(key.Protocol))
	delete(fs.Entries, key)
}
