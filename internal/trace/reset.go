package trace

import (
	"net/netip"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Reset is a TCP RST as it arrives.
type Reset struct {
	Device   uint32 // ENI whose device receives it
	DMAC     [6]byte
	Src, Dst netip.AddrPort
	Seq, Ack uint32
	Flags    uint8
}

// refuse is the verdict for a packet that is not forwarded. told are the RSTs
// for the other end of its flow, if that went through balancers and has ended.
func refuse(reason bpf.DropReason, p Packet, told []Reset, steps []Step) Verdict {
	v := Verdict{Reason: reason, Steps: steps}
	if p.Protocol != tables.TCP {
		return v
	}
	switch reason {
	case bpf.DropIdle, bpf.DropNoHealthyTarget:
	case bpf.DropNotAccepted, bpf.DropNoListener:
		if told == nil && p.syn() {
			return v
		}
	case bpf.DropNoAddress:
		if told == nil {
			return v
		}
	default:
		return v
	}
	v.Reset, v.Told = p.Flags&RST == 0, told
	return v
}

// resets are what the receiver of a segment gets instead if its flow has ended:
// the segment as a RST, with the number that the receiver expects.
func (f *Flow) resets(p Packet, forward *Flow) []Reset {
	r := Reset{Device: f.Device, DMAC: f.DMAC, Src: f.Src, Dst: f.Dst, Seq: p.Seq, Flags: RST}
	if d := forward.preamble; !f.Reverse && (!f.Preamble || d.Acked || d.Sent && !d.Missing) {
		r.Seq += f.Shift
	}
	if p.Flags&SYN != 0 {
		r.Seq++
		if p.Flags&ACK != 0 {
			r.Ack, r.Flags = p.Ack, RST|ACK
		}
	}
	if p.Payload > 0 || p.Flags&(SYN|FIN|RST) != 0 {
		return []Reset{r}
	}
	probed := r // by keep-alive, or of a closed window: the number is the one before
	probed.Seq++
	return []Reset{r, probed}
}
