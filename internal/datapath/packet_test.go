package datapath

import (
	"net"
	"net/netip"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/isthmus-net/isthmus/bpf"
)

// packet is an IPv4 packet as tests write it down.
type packet struct {
	proto    layers.IPProtocol
	src, dst netip.AddrPort // for ICMP the ports are the identifier
	flags    string         // of TCP: letters of FSRPA
	seq, ack uint32
	kind     uint8  // ICMP type
	payload  string // after the headers
	edit     func(*layers.IPv4)
	noWindow bool
}

func tcp(src, dst, flags string) packet {
	return packet{proto: layers.IPProtocolTCP, src: ap(src), dst: ap(dst), flags: flags, seq: 1000, ack: 2000}
}

func udp(src, dst string) packet {
	return packet{proto: layers.IPProtocolUDP, src: ap(src), dst: ap(dst), payload: "hello"}
}

// icmp is an echo request or, with another type, what that is.
func icmp(src, dst string, kind uint8) packet {
	return packet{proto: layers.IPProtocolICMPv4, src: ap(src), dst: ap(dst), kind: kind, payload: "ping"}
}

func (p packet) with(payload string) packet { p.payload = payload; return p }

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// from is the frame with which an ENI sends the packet.
func (p packet) from(eni uint32) []byte { return p.frame(mac(eni), [6]byte(bpf.RouterMAC)) }

// to is the frame in which an ENI receives it.
func (p packet) to(eni uint32) []byte { return p.frame([6]byte(bpf.RouterMAC), mac(eni)) }

func (p packet) frame(src, dst [6]byte) []byte {
	eth := &layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{
		Version: 4, TTL: 61, Id: 4711, Protocol: p.proto,
		SrcIP: p.src.Addr().AsSlice(), DstIP: p.dst.Addr().AsSlice(),
	}
	if p.edit != nil {
		p.edit(ip)
	}
	parts := []gopacket.SerializableLayer{eth, ip}
	switch p.proto {
	case layers.IPProtocolTCP:
		has := func(f string) bool { return strings.Contains(p.flags, f) }
		segment := &layers.TCP{
			SrcPort: layers.TCPPort(p.src.Port()), DstPort: layers.TCPPort(p.dst.Port()),
			Seq: p.seq, Ack: p.ack, Window: 65535,
			FIN: has("F"), SYN: has("S"), RST: has("R"), PSH: has("P"), ACK: has("A"),
		}
		if p.noWindow {
			segment.Window = 0
		}
		segment.SetNetworkLayerForChecksum(ip)
		parts = append(parts, segment)
	case layers.IPProtocolUDP:
		datagram := &layers.UDP{SrcPort: layers.UDPPort(p.src.Port()), DstPort: layers.UDPPort(p.dst.Port())}
		datagram.SetNetworkLayerForChecksum(ip)
		parts = append(parts, datagram)
	case layers.IPProtocolICMPv4:
		parts = append(parts, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(p.kind, 0), Id: p.src.Port(), Seq: 1})
	}
	return serialize(append(parts, gopacket.Payload(p.payload))...)
}

func serialize(parts ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		panic(err)
	}
	// Without the padding that gopacket adds, since a veth adds none.
	length := 0
	for _, p := range parts {
		if p, ok := p.(*layers.IPv4); ok {
			length = 14 + int(p.Length)
		}
		if _, ok := p.(*layers.ARP); ok {
			length = 14 + 28
		}
	}
	return buf.Bytes()[:length]
}

func arpFrame(op uint16, dstMAC, srcMAC, senderMAC [6]byte, sender string, targetMAC [6]byte, target string) []byte {
	return serialize(
		&layers.Ethernet{SrcMAC: srcMAC[:], DstMAC: dstMAC[:], EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: op, SourceHwAddress: senderMAC[:], SourceProtAddress: net.ParseIP(sender).To4(),
			DstHwAddress: targetMAC[:], DstProtAddress: net.ParseIP(target).To4(),
		})
}
