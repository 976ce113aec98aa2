// Package proxyheader writes headers of the PROXY protocol, version 2, as
// Network Load Balancers do. For connections the packet program writes them
// (bpf/announce.h); here they are written for health checks, and to test that
// program.
package proxyheader

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// Length is the length of every header, in bytes: what is left over is filled.
const Length = 100

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"

	// Version 2, and a command.
	local = 0x20
	proxy = 0x21

	tcp4 = 0x11

	// Types of type-length-value entries.
	typeCRC32C  = 0x03
	typeNoop    = 0x04
	typeAWS     = 0xea
	awsEndpoint = 0x01
)

// Proxy announces a TCP connection over IPv4 from src to dst; endpoint is the
// id of the interface endpoint that it came through, or empty.
func Proxy(src, dst netip.AddrPort, endpoint string) []byte {
	a, b := src.Addr().As4(), dst.Addr().As4()
	h := append(append(begin(proxy), a[:]...), b[:]...)
	h = binary.BigEndian.AppendUint16(h, src.Port())
	h = binary.BigEndian.AppendUint16(h, dst.Port())
	return end(h, endpoint)
}

// Local announces a connection that the load balancer makes for itself. What
// would be addresses are entries already, which nobody reads.
func Local() []byte { return end(begin(local), "") }

func begin(command byte) []byte {
	h := make([]byte, 0, Length)
	h = append(append(h, signature...), command, tcp4)
	return binary.BigEndian.AppendUint16(h, Length-16)
}

func end(h []byte, endpoint string) []byte {
	h = append(h, typeCRC32C, 0, 4)
	sum := len(h)
	h = append(h, 0, 0, 0, 0)
	if endpoint != "" {
		h = append(h, typeAWS, 0, byte(1+len(endpoint)), awsEndpoint)
		h = append(h, endpoint...)
	}
	h = append(h, typeNoop, 0, byte(Length-len(h)-3))
	h = h[:Length]
	binary.BigEndian.PutUint32(h[sum:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	return h
}
