// Package maglev makes the lookup tables with which the data plane spreads
// flows over targets.
//
// The tables are those of the Maglev paper (Eisenbud et al., "Maglev: A Fast
// and Reliable Software Network Load Balancer", NSDI 2016, section 3.4): every
// target has its own permutation of the slots and the targets take turns in
// claiming the next free slot of theirs. The loads differ by at most one slot,
// and when a target goes away few slots besides its own change hands.
package maglev

import (
	"net/netip"
	"slices"
)

// MaxTargets is the number of targets that a table can tell apart.
const MaxTargets = 1 << 16

// MaxSize is the largest table that Size asks for.
const MaxSize = 65537

// Size returns the number of slots, a prime, for a table of n targets: about
// a hundred slots a target where the largest size allows it, so that loads
// differ by about one percent.
func Size(n int) int {
	switch {
	case n <= 2:
		return 251
	case n <= 10:
		return 1021
	case n <= 40:
		return 4093
	case n <= 160:
		return 16381
	default:
		return MaxSize
	}
}

// Table returns a table of size slots; each slot holds the index of a target
// in targets. Which target a slot belongs to depends on the set of targets
// alone, not on their order. A target that appears twice is counted once, and
// its slots hold one of its indexes. Without targets the table is nil.
//
// Size must be a prime, since only then is every stride a permutation of the
// slots, and there may be at most MaxTargets targets; Table panics otherwise.
func Table(targets []netip.AddrPort, size int) []uint16 {
	if len(targets) == 0 {
		return nil
	}
	if !prime(size) {
		panic("maglev: table size is not a prime")
	}
	if len(targets) > MaxTargets {
		panic("maglev: too many targets")
	}

	claimants := claimantsOf(targets, uint64(size))
	table := make([]uint16, size)
	var taken bitmap = make([]uint64, (size+63)/64)
	for left := size; ; {
		for i := range claimants {
			c := &claimants[i]
			for taken.has(c.next) {
				c.advance(uint32(size))
			}
			taken.set(c.next)
			table[c.next] = c.index
			c.advance(uint32(size))
			if left--; left == 0 {
				return table
			}
		}
	}
}

// claimant is a target with its place in its own permutation.
type claimant struct {
	next, stride uint32
	index        uint16
}

// advance steps to the following slot of the permutation.
func (c *claimant) advance(size uint32) {
	if c.next += c.stride; c.next >= size {
		c.next -= size
	}
}

// claimantsOf returns the distinct targets in the order in which they take
// turns: that of their addresses, whatever the order of the argument.
func claimantsOf(targets []netip.AddrPort, size uint64) []claimant {
	order := make([]uint16, len(targets))
	for i := range order {
		order[i] = uint16(i)
	}
	slices.SortFunc(order, func(a, b uint16) int { return targets[a].Compare(targets[b]) })
	order = slices.CompactFunc(order, func(a, b uint16) bool { return targets[a] == targets[b] })

	claimants := make([]claimant, len(order))
	for i, index := range order {
		h := hash(targets[index])
		claimants[i] = claimant{
			next:   uint32(mix(h^seedOffset) % size),
			stride: uint32(mix(h^seedStride)%(size-1)) + 1,
			index:  index,
		}
	}
	return claimants
}

// bitmap remembers the slots taken. It is a thirty-second of the table's size
// and so stays in the nearest cache while the slots are claimed.
type bitmap []uint64

func (b bitmap) has(slot uint32) bool { return b[slot>>6]&(1<<(slot&63)) != 0 }
func (b bitmap) set(slot uint32)      { b[slot>>6] |= 1 << (slot & 63) }

// The two seeds make two independent hashes of one target; any distinct
// constants do, but changing them reshuffles every table.
const (
	seedOffset = 0x9e3779b97f4a7c15
	seedStride = 0xc2b2ae3d27d4eb4f
)

// hash is FNV-1a over the 16 bytes of the address and the port.
func hash(t netip.AddrPort) uint64 {
	const offset, prime = 0xcbf29ce484222325, 0x100000001b3
	h := uint64(offset)
	addr := t.Addr().As16()
	for _, b := range addr {
		h = (h ^ uint64(b)) * prime
	}
	h = (h ^ uint64(t.Port()>>8)) * prime
	return (h ^ uint64(t.Port()&0xff)) * prime
}

// mix is the finaliser of splitmix64: it spreads the few differing bits of
// neighbouring addresses over the whole word.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func prime(n int) bool {
	if n < 2 {
		return false
	}
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}
