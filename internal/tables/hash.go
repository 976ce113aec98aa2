package tables

import (
	"encoding/binary"
	"net/netip"
)

// Hash is the number by which targets and source ports are chosen: the same in
// the packet program. seq is the sequence number of a TCP SYN, else 0.
func Hash(src, dst netip.AddrPort, protocol uint8, seq uint32) uint64 {
	h := uint64(0x9E3779B97F4A7C15) ^ uint64(seq)
	mix := func(word uint32) {
		h ^= uint64(word)
		h *= 0xFF51AFD7ED558CCD
		h ^= h >> 32
	}
	for _, a := range []netip.Addr{src.Addr(), dst.Addr()} {
		b := a.As16()
		for i := 0; i < 16; i += 4 {
			mix(binary.LittleEndian.Uint32(b[i:]))
		}
	}
	mix(uint32(swap(src.Port())) | uint32(swap(dst.Port()))<<16)
	mix(uint32(protocol))
	return h
}

// Rehash is the number by which the load balancer after n others chooses a
// target, so that it does so without regard to what the one before it chose by h.
func Rehash(h uint64, n int) uint64 {
	h ^= uint64(n)
	h *= 0xFF51AFD7ED558CCD
	return h ^ h>>32
}

// MaxCrossings is how many load balancers' nodes a flow may cross on its way.
const MaxCrossings = 4

// swap turns a port into what a little-endian machine loads of its wire bytes.
func swap(port uint16) uint16 { return port<<8 | port>>8 }

// PortTries is how many source ports are tried before a flow is refused.
const PortTries = 64

// CandidatePort is the source port tried as the i-th, from 0, for a flow whose
// source is rewritten; ok is false if there is nothing to try at i.
func CandidatePort(original uint16, hash uint64, i int) (port uint16, ok bool) {
	if i == 0 {
		return original, original >= 1024
	}
	return 1024 + uint16((uint64(uint32(hash>>32))+uint64(i)*7919)%64512), true
}
