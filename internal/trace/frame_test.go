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
	b := build(t, net.HardwareAddr(p.MAC[:]), routerMAC, p.Src, p.Dst, *p)
	p.Length = len(b)
	return b
}

// forwarded builds what p must have become.
func forwarded(t testing.TB, p Packet, v Verdict) []byte {
	return build(t, routerMAC, net.HardwareAddr(v.DMAC[:]), v.Src, v.Dst, p)
}

func build(t testing.TB, smac, dmac net.HardwareAddr, src, dst netip.AddrPort, p Packet) []byte {
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Id: 7, Protocol: layers.IPProtocol(p.Protocol),
		SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(),
	}
	parts := []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: smac, DstMAC: dmac, EthernetType: layers.EthernetTypeIPv4}, ip,
	}
	payload := gopacket.Payload("some bytes that a program sends")
	switch p.Protocol {
	case tables.TCP:
		tcp := &layers.TCP{
			SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: p.Seq, Ack: 77, Window: 1000,
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
	return build(t, routerMAC, routerMAC, q.Src, q.Dst, p)[14 : 14+28]
}

// reset builds the RST that answers p (RFC 9293, 3.10.7.1).
func reset(t testing.TB, p Packet) []byte {
	in := build(t, net.HardwareAddr(p.MAC[:]), routerMAC, p.Src, p.Dst, p)
	segment := uint32(len(in) - 14 - 20 - 20)
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolTCP,
		SrcIP: p.Dst.Addr().AsSlice(), DstIP: p.Src.Addr().AsSlice(),
	}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(p.Dst.Port()), DstPort: layers.TCPPort(p.Src.Port()), RST: true}
	if p.Flags&ACK != 0 {
		tcp.Seq = 77
	} else {
		tcp.ACK = true
		tcp.Ack = p.Seq + segment
		for _, flag := range []uint8{SYN, FIN} {
			if p.Flags&flag != 0 {
				tcp.Ack++
			}
		}
	}
	tcp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	eth := &layers.Ethernet{SrcMAC: routerMAC, DstMAC: net.HardwareAddr(p.MAC[:]), EthernetType: layers.EthernetTypeIPv4}
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, tcp); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()[:14+20+20] // without the padding of Ethernet
}
