package bpf

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// RouterMAC is the MAC address of every VPC's router: ROUTER_MAC of types.h.
var RouterMAC = net.HardwareAddr{0x0a, 0x69, 0x73, 0x74, 0x68, 0x00}

// AddrFrom returns an address as the tables hold it: 16 bytes, IPv4 mapped.
// The zero address stays zero.
func AddrFrom(a netip.Addr) Addr {
	var to Addr
	if !a.IsValid() {
		return to
	}
	b := a.As16()
	for i := range to.W {
		to.W[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return to
}

// Netip returns the address; an IPv4 mapped one as IPv4.
func (a dpAddr) Netip() netip.Addr {
	var b [16]byte
	for i, w := range a.W {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	return netip.AddrFrom16(b).Unmap()
}

// Port converts a port, or anything of two bytes, between the machine's order
// and the network's.
func Port(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}
