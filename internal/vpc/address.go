package vpc

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// AWS keeps for itself the first four addresses of a subnet and the last.
const (
	reservedFirst = 4
	reservedLast  = 1
)

// ErrNoAddress says that a subnet has no free address left.
var ErrNoAddress = wire.Errorf(400, "InsufficientFreeAddressesInSubnet",
	"The specified subnet does not have enough free addresses to satisfy the request.")

// takeAddress marks an address of the subnet as taken and returns it: the one
// that is wanted, or the first free one if wanted is the zero address.
func takeAddress(s *resource.Subnet, wanted netip.Addr) (netip.Addr, error) {
	if !wanted.IsValid() {
		i, ok := firstFree(s.Taken, reservedFirst, size(s.CIDR)-reservedLast)
		if !ok {
			return netip.Addr{}, ErrNoAddress
		}
		s.Taken = setBit(s.Taken, i)
		return addressAt(s.CIDR, i), nil
	}
	if !s.CIDR.Contains(wanted) {
		return netip.Addr{}, wire.Errorf(400, "InvalidParameterValue", "Address does not fall within the subnet's address range")
	}
	i := offset(s.CIDR, wanted)
	if i < reservedFirst || i >= size(s.CIDR)-reservedLast {
		return netip.Addr{}, wire.Errorf(400, "InvalidParameterValue", "Address is in subnet's reserved address range")
	}
	if bit(s.Taken, i) {
		return netip.Addr{}, wire.Errorf(400, "InvalidIPAddress.InUse", "Address %s is in use.", wanted)
	}
	s.Taken = setBit(s.Taken, i)
	return wanted, nil
}

// releaseAddress makes an address of the subnet free again.
func releaseAddress(s *resource.Subnet, a netip.Addr) {
	if s.CIDR.Contains(a) {
		s.Taken = clearBit(s.Taken, offset(s.CIDR, a))
	}
}

// FreeAddresses returns how many addresses of the subnet can still be given to
// ENIs.
func FreeAddresses(s *resource.Subnet) int {
	n := size(s.CIDR) - reservedFirst - reservedLast
	for _, b := range s.Taken {
		n -= bits.OnesCount8(b)
	}
	return n
}

// size is the number of addresses of an IPv4 range of at most 2^16.
func size(p netip.Prefix) int { return 1 << (32 - p.Bits()) }

func offset(p netip.Prefix, a netip.Addr) int {
	base, at := p.Masked().Addr().As4(), a.As4()
	return int(binary.BigEndian.Uint32(at[:]) - binary.BigEndian.Uint32(base[:]))
}

func addressAt(p netip.Prefix, i int) netip.Addr {
	b := p.Masked().Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(i))
	return netip.AddrFrom4(b)
}

// firstFree returns the lowest index in [from, to) whose bit is not set.
func firstFree(bitmap []byte, from, to int) (int, bool) {
	for i := from; i < to; {
		if i%8 == 0 && i/8 < len(bitmap) && bitmap[i/8] == 0xff {
			i += 8
			continue
		}
		if !bit(bitmap, i) {
			return i, true
		}
		i++
	}
	return 0, false
}

func bit(bitmap []byte, i int) bool {
	return i/8 < len(bitmap) && bitmap[i/8]&(1<<(i%8)) != 0
}

func setBit(bitmap []byte, i int) []byte {
	for i/8 >= len(bitmap) {
		bitmap = append(bitmap, 0)
	}
	bitmap[i/8] |= 1 << (i % 8)
	return bitmap
}

func clearBit(bitmap []byte, i int) []byte {
	if i/8 < len(bitmap) {
		bitmap[i/8] &^= 1 << (i % 8)
	}
	for len(bitmap) > 0 && bitmap[len(bitmap)-1] == 0 {
		bitmap = bitmap[:len(bitmap)-1]
	}
	return bitmap
}
