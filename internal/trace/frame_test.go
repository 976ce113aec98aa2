package trace

import (
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/isthmus-net/isthmus/internal/tables"
)

// routerMAC is the address of every router, as in bpf/types.h.
var routerMAC = net.HardwareAddr{0x0a, 0x69, 0x73, 0x74, 0x68, 0x00}

// frame builds the frame that the packet program reads as p; Length is set.
func frame(t testing.TB, p *Packet) []byte {
	b := build(t, net.HardwareAddr(p.MAC[:]), routerMAC, p.Src, p.Dst, *p, nil, false)
	p.Length = len(b)
	return b
}

// forwarded builds what p must have become.
func forwarded(t testing.TB, p Packet, v Verdict) []byte {
	if p.Protocol == tables.TCP {
		p.Seq, p.Ack, p.Flags = v.Seq, v.Ack, v.Flags
	}
	return build(t, routerMAC, net.HardwareAddr(v.DMAC[:]), v.Src, v.Dst, p, v.Payload, v.Plain)
}

const payloadText = "some bytes that a program sends"

// options are those of a TCP segment; plain leaves only what a proxied flow's
// receiver may see.
func options(p Packet, plain bool) []layers.TCPOption {
	stamps := layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte("timestmp")}
	nop := layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1}
	if !p.syn() {
		return []layers.TCPOption{nop, nop, stamps}
	}
	all := []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}}}
	if plain {
		all = append(all, nop, nop)
	} else {
		all = append(all, layers.TCPOption{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2})
	}
	all = append(all, stamps, nop, layers.TCPOption{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}})
	if plain {
		return append(all, nop, nop, nop, nop)
	}
	return append(all, layers.TCPOption{OptionType: 34, OptionLength: 4, OptionData: []byte{1, 2}}) // Fast Open
}

func build(t testing.TB, smac, dmac net.HardwareAddr, src, dst netip.AddrPort, p Packet, other []byte, plain bool) []byte {
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Id: 7, Protocol: layers.IPProtocol(p.Protocol),
		SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(),
	}
	parts := []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: smac, DstMAC: dmac, EthernetType: layers.EthernetTypeIPv4}, ip,
	}
	payload := gopacket.Payload(payloadText)
	if p.Protocol == tables.TCP {
		payload = payload[:p.Payload]
	}
	if other != nil {
		payload = other
	}
	switch p.Protocol {
	case tables.TCP:
		tcp := &layers.TCP{
			SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: p.Seq, Ack: p.Ack, Options: options(p, plain), Window: 1000,
			FIN: p.Flags&FIN != 0, SYN: p.Flags&SYN != 0, RST: p.Flags&RST != 0, PSH: p.Flags&PSH != 0, ACK: p.Flags&ACK != 0,
		}
		tcp.SetNetworkLayerForChecksum(ip)
		parts = append(parts, tcp)
	case tables.UDP:
		udp := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
		udp.SetNetworkLayerForChecksum(ip)
		parts = append(parts, udp)
	case tables.ICMP:
		icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(p.Type, p.Code), Id: src.Port(), Seq: 1}
		parts = append(parts, icmp)
		if p.related() {
			icmp.Id, icmp.Seq = 0, 0
			payload = quoted(t, p.Quoted)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, append(parts, payload)...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// quoted is what an ICMP error holds of the packet that caused it: the IP
// header and eight bytes (RFC 792).
func quoted(t testing.TB, q Tuple) []byte {
	p := Packet{Protocol: q.Protocol, Type: EchoRequest}
	return build(t, routerMAC, routerMAC, q.Src, q.Dst, p, nil, false)[14 : 14+28]
}

// answer is the RST that answers p (RFC 9293, 3.10.7.1).
func answer(p Packet) Reset {
	r := Reset{Device: p.Device, DMAC: p.MAC, Src: p.Dst, Dst: p.Src, Flags: RST}
	if p.Flags&ACK != 0 {
		r.Seq = p.Ack
		return r
	}
	r.Flags, r.Ack = RST|ACK, p.Seq+uint32(p.Payload)
	for _, flag := range []uint8{SYN, FIN} {
		if p.Flags&flag != 0 {
			r.Ack++
		}
	}
	return r
}

// frame builds the frame of a RST.
func (r Reset) frame(t testing.TB) []byte {
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolTCP,
		SrcIP: r.Src.Addr().AsSlice(), DstIP: r.Dst.Addr().AsSlice(),
	}
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(r.Src.Port()), DstPort: layers.TCPPort(r.Dst.Port()),
		Seq: r.Seq, Ack: r.Ack, RST: true, ACK: r.Flags&ACK != 0,
	}
	tcp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	eth := &layers.Ethernet{SrcMAC: routerMAC, DstMAC: net.HardwareAddr(r.DMAC[:]), EthernetType: layers.EthernetTypeIPv4}
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, tcp); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()[:14+20+20] // without the padding of Ethernet
}
