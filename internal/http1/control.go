package http1

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// control is where the first control character of b is, at from or behind it: a
// byte below ' ', tabs among them, or DEL. It is len(b) if there is none. Eight
// bytes are looked at at a time.
func control(b []byte, from int) int {
	i := from
	for ; i <= len(b)-8; i += 8 {
		if x := word(b, i); !printable(x) {
			if found := controls(x); found != 0 {
				return i + bits.TrailingZeros64(found)/8
			}
		}
	}
	rest := len(b) - i
	if rest == 0 {
		return i
	}
	var x uint64
	if i >= 8-rest { // the last eight bytes, of which the first have been looked at
		if x = word(b, len(b)-8); printable(x) {
			return len(b)
		}
		x >>= 8 * (8 - uint(rest))
	} else {
		for _, c := range b[i:] {
			x = x>>8 | uint64(c)<<56
		}
		x >>= 8 * (8 - uint(rest))
	}
	if found := controls(x | eachByte*' '<<(8*uint(rest))); found != 0 {
		return i + bits.TrailingZeros64(found)/8
	}
	return len(b)
}

const (
	eachByte = 0x0101010101010101
	topBits  = 0x80 * eachByte
)

// word is eight bytes of b, which must be there.
func word(b []byte, at int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), at))[:])
}

// printable tells whether all bytes are of ASCII's printable characters.
func printable(x uint64) bool { return ((x-' '*eachByte)|(x+eachByte)|x)&topBits == 0 }

// controls has the top bit of a byte set where a control character is. Only the
// lowest that is set is to be trusted: one behind it may be a borrow's.
func controls(x uint64) uint64 {
	del := x ^ 0x7f*eachByte
	return ((x-' '*eachByte)&^x | (del-eachByte)&^del) & topBits
}

// plain tells whether a string is of field values' characters: visible, space,
// tab and obs-text.
func plain(s string) bool {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	i := control(b, 0)
	for i < len(b) && b[i] == '\t' {
		i = control(b, i+1)
	}
	return i == len(b)
}
