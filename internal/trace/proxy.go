package trace

import (
	"github.com/isthmus-net/isthmus/bpf"
)

// preamble is what the receiver of a proxied flow gets before the client's
// bytes, and what is known of it.
type preamble struct {
	Header               []byte
	Sent, Missing, Acked bool
}

// proxied brings a segment of a proxied flow into the shape that it has on the
// other side.
func (fs *Flows) proxied(key Key, f *Flow, p *Packet, v *Verdict) bpf.DropReason {
	ack := p.Flags&ACK != 0
	if !f.Preamble && !p.syn() {
		move(f, p, v, f.Shift)
		return bpf.DropNone
	}
	forward := f
	if f.Reverse {
		if forward = fs.Entries[f.back(key.Protocol)]; forward == nil {
			return bpf.DropNoHealthyTarget
		}
	}
	d := &forward.preamble
	switch {
	case f.Reverse:
		got := p.Ack - (f.ISS + 1)
		switch {
		case !ack || int32(got) < 0:
		case d.Acked || d.Sent && got >= f.Shift:
			d.Acked, f.Preamble = true, false
			move(f, p, v, f.Shift)
		case got < f.Shift:
			d.Missing = true
			move(f, p, v, got)
		}
	case p.syn():
		v.Plain = true
		p.Length -= p.Payload
		v.Payload = []byte{}
	case d.Acked:
		f.Preamble = false
		move(f, p, v, f.Shift)
	case !d.Missing || p.Flags&RST != 0 || !ack:
		if d.Sent {
			move(f, p, v, f.Shift)
		}
	default:
		d.Sent, d.Missing = true, false
		p.Flags, v.Seq = PSH|ACK, f.ISS+1
		p.Length += len(d.Header) - p.Payload
		v.Payload = d.Header
	}
	return bpf.DropNone
}

// move moves the sequence number of a client's segment, or the acknowledgment
// of the answer.
func move(f *Flow, p *Packet, v *Verdict, by uint32) {
	switch {
	case !f.Reverse:
		v.Seq += by
	case p.Flags&ACK != 0:
		v.Ack -= by
	}
}
