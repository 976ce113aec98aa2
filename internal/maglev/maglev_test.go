package maglev

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// neighbours returns n targets whose addresses differ in few bits, as those of
// one subnet do.
func neighbours(n int) []netip.AddrPort {
	targets := make([]netip.AddrPort, n)
	for i := range targets {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		targets[i] = netip.AddrPortFrom(addr, 8080)
	}
	return targets
}

// drawTargets draws distinct targets, some on the same address.
func drawTargets(t *rapid.T, least, most int) []netip.AddrPort {
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) netip.AddrPort {
		last := rapid.Uint16().Draw(t, "host")
		addr := netip.AddrFrom4([4]byte{10, 0, byte(last >> 8), byte(last)})
		return netip.AddrPortFrom(addr, rapid.Uint16Min(1).Draw(t, "port"))
	}), least, most, rapid.ID).Draw(t, "targets")
}

// owners replaces the indexes of a table by what they stand for.
func owners(table []uint16, targets []netip.AddrPort) []netip.AddrPort {
	out := make([]netip.AddrPort, len(table))
	for slot, index := range table {
		out[slot] = targets[index]
	}
	return out
}

func TestSize(t *testing.T) {
	for _, c := range []struct{ n, want int }{
		{0, 251}, {1, 251}, {2, 251}, {3, 1021}, {10, 1021}, {11, 4093}, {40, 4093},
		{41, 16381}, {160, 16381}, {161, 65537}, {5000, 65537},
	} {
		if got := Size(c.n); got != c.want || !prime(got) {
			t.Errorf("Size(%d) = %d, want the prime %d", c.n, got, c.want)
		}
	}
}

func TestTableWithoutTargets(t *testing.T) {
	if got := Table(nil, 251); got != nil {
		t.Errorf("Table(nil) = %v, want nil", got)
	}
}

func TestTableRefusesWhatCannotWork(t *testing.T) {
	refused := func(name string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		f()
	}
	refused("composite size", func() { Table(neighbours(3), 1024) })
	refused("too many targets", func() { Table(make([]netip.AddrPort, MaxTargets+1), MaxSize) })
}

// The table is part of the data plane's behaviour across versions: a change of
// it moves flows of running systems, so it must not happen by accident.
func TestTableIsStable(t *testing.T) {
	got := fmt.Sprint(Table(neighbours(3), 13))
	if want := "[0 0 1 2 0 1 2 2 1 0 2 0 1]"; got != want {
		t.Errorf("table = %s, want %s", got, want)
	}
}

func TestTableSpreadsEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		targets := drawTargets(t, 1, 200)
		count := make([]int, len(targets))
		for _, index := range Table(targets, Size(len(targets))) {
			count[index]++
		}
		if least, most := slices.Min(count), slices.Max(count); most-least > 1 {
			t.Fatalf("loads range from %d to %d slots", least, most)
		}
	})
}

func TestTableIgnoresOrderAndRepetition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		targets := drawTargets(t, 1, 50)
		size := Size(len(targets))
		want := owners(Table(targets, size), targets)

		shuffled := append(slices.Clone(targets), targets[0])
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if got := owners(Table(shuffled, size), shuffled); !slices.Equal(got, want) {
			t.Fatal("a different order, or a target given twice, makes a different table")
		}
	})
}

// When one target of n goes away its slots must move; few others may. The
// paper measures a few percent at a hundred slots a target.
func TestTableChangesLittleOnRemoval(t *testing.T) {
	for _, n := range []int{3, 10, 40, 100, 160, 500} {
		targets := neighbours(n)
		size := Size(n)
		before := owners(Table(targets, size), targets)
		moved := 0
		removals := min(n, 20)
		for gone := range removals {
			rest := slices.Delete(slices.Clone(targets), gone, gone+1)
			for slot, owner := range owners(Table(rest, size), rest) {
				if before[slot] != targets[gone] && owner != before[slot] {
					moved++
				}
			}
		}
		share := float64(moved) / float64(removals*size)
		t.Logf("%d targets, %d slots: %.2f%% of the slots moved needlessly", n, size, 100*share)
		if share > 0.05 {
			t.Errorf("%d targets: %.1f%% of the slots moved needlessly, want at most 5%%", n, 100*share)
		}
	}
}

// Distinct targets must not share a permutation, or they would chase each
// other through the table.
func TestPermutationsDiffer(t *testing.T) {
	seen := map[[2]uint32]int{}
	claimants := claimantsOf(neighbours(1000), MaxSize)
	for _, c := range claimants {
		seen[[2]uint32{c.next, c.stride}]++
	}
	if len(seen) != len(claimants) {
		t.Errorf("%d targets have %d permutations", len(claimants), len(seen))
	}
}

func BenchmarkTable(b *testing.B) {
	for _, n := range []int{2, 10, 100, 1000} {
		b.Run(fmt.Sprintf("targets=%d", n), func(b *testing.B) {
			targets := neighbours(n)
			for b.Loop() {
				Table(targets, MaxSize)
			}
		})
	}
}
