package trace

import (
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/tables"
)

// TCP header flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// ICMP types that the data plane knows.
const (
	EchoReply        = 0
	DestUnreachable  = 3
	EchoRequest      = 8
	TimeExceeded     = 11
	ParameterProblem = 12
)

// Packet is what the packet program reads of a frame. For ICMP echo both ports
// are the identifier.
type Packet struct {
	Device   uint32 // the ENI from whose device it comes
	MAC      [6]byte
	Src, Dst netip.AddrPort
	Protocol uint8
	Flags    uint8  // TCP
	Seq, Ack uint32 // TCP
	Payload  int    // TCP: bytes behind the header
	Type     uint8  // ICMP
	Code     uint8  // ICMP
	Quoted   Tuple  // ICMP errors: the packet that caused it
	Length   int    // bytes of the frame
}

// Tuple names the ends of a flow.
type Tuple struct {
	Src, Dst netip.AddrPort
	Protocol uint8
}

func (p Packet) syn() bool { return p.Flags&(SYN|ACK) == SYN }

func (p Packet) related() bool {
	return p.Protocol == tables.ICMP &&
		(p.Type == DestUnreachable || p.Type == TimeExceeded || p.Type == ParameterProblem)
}

// rulePort is the number that rules are asked for: the destination port, or
// the ICMP type and code.
func (p Packet) rulePort() uint16 {
	if p.Protocol == tables.ICMP {
		return uint16(p.Type)<<8 | uint16(p.Code)
	}
	return p.Dst.Port()
}
