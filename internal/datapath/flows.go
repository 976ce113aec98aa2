package datapath

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Flow is a flow as people want to see it: named by the packets of its client.
type Flow struct {
	Protocol uint8
	ENI      uint32 // of the client
	Peer     uint32 // ENI of the receiver
	// As the client sends and as the receiver sees them. For ICMP the port is
	// the identifier.
	Src, Dst         netip.AddrPort
	SeenSrc, SeenDst netip.AddrPort
	// Device and PeerDevice are the indices of the devices' host sides.
	Device, PeerDevice int

	Packets, Bytes           uint64
	ReplyPackets, ReplyBytes uint64
	Quiet                    time.Duration // since the last packet of either direction
	Idle                     time.Duration // after so much quiet the flow ends
	Closing                  bool          // the connection's end was seen
	Stale                    bool          // to be evaluated anew by its next packet
}

// Flows decodes the flow table. It may yield a flow twice or not at all if it
// begins or ends at the same time.
func (d *Datapath) Flows() iter.Seq2[Flow, error] {
	return func(yield func(Flow, error) bool) {
		now := Now()
		current, err := d.epoch(bpf.EpochCurrent)
		if err != nil {
			yield(Flow{}, fmt.Errorf("list flows: %w", err))
			return
		}
		for e, err := range d.entries() {
			if err != nil {
				yield(Flow{}, fmt.Errorf("list flows: %w", err))
				return
			}
			if e.flow.Flags&bpf.FlowReverse != 0 {
				continue
			}
			var reply bpf.Flow
			err := d.maps[bpf.MapFlows].Lookup(opposite(e), &reply)
			if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				yield(Flow{}, fmt.Errorf("list flows: %w", err))
				return
			}
			f := decode(e, reply, now)
			f.Stale = e.flow.Epoch != current
			if !yield(f, nil) {
				return
			}
		}
	}
}

func decode(e entry, reply bpf.Flow, now time.Duration) Flow {
	return Flow{
		Protocol:     e.key.Proto,
		ENI:          e.flow.Eni,
		Peer:         reply.Eni,
		Src:          addrPort(e.key.Src, e.key.Sport),
		Dst:          addrPort(e.key.Dst, e.key.Dport),
		SeenSrc:      addrPort(e.flow.Src, e.flow.Sport),
		SeenDst:      addrPort(e.flow.Dst, e.flow.Dport),
		Device:       int(e.key.Ifindex),
		PeerDevice:   int(e.flow.Ifindex),
		Packets:      e.flow.Packets,
		Bytes:        e.flow.Bytes,
		ReplyPackets: reply.Packets,
		ReplyBytes:   reply.Bytes,
		Quiet:        max(0, now-time.Duration(max(e.flow.LastSeen, reply.LastSeen))),
		Idle:         time.Duration(e.flow.Idle) * time.Second,
		Closing:      closing(e.flow, reply),
	}
}

// ErrNoFlow says that the flow table has no such flow.
var ErrNoFlow = errors.New("no such flow")

// Origin finds a TCP flow as its client sees it by what its receiver sees: the
// index of the receiver's device, its own address and the other's.
func (d *Datapath) Origin(device int, own, other netip.AddrPort) (Flow, error) {
	back := entry{key: bpf.FlowKey{
		Src: bpf.AddrFrom(own.Addr()), Dst: bpf.AddrFrom(other.Addr()), Sport: bpf.Port(own.Port()), Dport: bpf.Port(other.Port()),
		Ifindex: uint32(device), Proto: tables.TCP,
	}}
	var ahead entry
	err := d.maps[bpf.MapFlows].Lookup(back.key, &back.flow)
	if err == nil && back.flow.Flags&bpf.FlowReverse == 0 {
		err = ebpf.ErrKeyNotExist
	}
	if err == nil {
		ahead.key = opposite(back)
		err = d.maps[bpf.MapFlows].Lookup(ahead.key, &ahead.flow)
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		err = ErrNoFlow
	}
	if err != nil {
		return Flow{}, fmt.Errorf("find flow from %s to %s: %w", other, own, err)
	}
	return decode(ahead, back.flow, Now()), nil
}

func addrPort(a bpf.Addr, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Netip(), bpf.Port(port))
}

// closing says whether a connection is over: both sides have sent FIN, or one
// RST.
func closing(a, b bpf.Flow) bool {
	return a.Flags&b.Flags&bpf.FlowFIN != 0 || (a.Flags|b.Flags)&bpf.FlowRST != 0
}

// entry is one direction of a flow.
type entry struct {
	key  bpf.FlowKey
	flow bpf.Flow
}

// opposite is the key of the other direction.
func opposite(e entry) bpf.FlowKey {
	return bpf.FlowKey{
		Src: e.flow.Dst, Dst: e.flow.Src, Sport: e.flow.Dport, Dport: e.flow.Sport,
		Ifindex: e.flow.Ifindex, Proto: e.key.Proto,
	}
}

// batch is how many entries are fetched by one system call.
const batch = 4096

// entries reads the whole flow table.
func (d *Datapath) entries() iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		var (
			keys   = make([]bpf.FlowKey, batch)
			flows  = make([]bpf.Flow, batch)
			cursor ebpf.MapBatchCursor
		)
		for {
			n, err := d.maps[bpf.MapFlows].BatchLookup(&cursor, keys, flows, nil)
			if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				yield(entry{}, fmt.Errorf("read table %s: %w", bpf.MapFlows, err))
				return
			}
			for i := range n {
				if !yield(entry{keys[i], flows[i]}, nil) {
					return
				}
			}
			if err != nil { // there is no more
				return
			}
		}
	}
}

// Now is the time on the clock of flows: CLOCK_MONOTONIC, which starts at boot.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("datapath: no monotonic clock: " + err.Error())
	}
	return time.Duration(t.Nano())
}
