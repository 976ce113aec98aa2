package datapath

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/isthmus-net/isthmus/bpf"
)

// Drop counts the packets that an ENI sent and that were not forwarded for one
// reason. ENI is its number, 0 where the packet did not tell.
type Drop struct {
	ENI     uint32
	Reason  bpf.DropReason
	Packets uint64
}

// Drops returns the counters that are not zero, by ENI and reason. They count
// from the bring-up of the data plane.
func (d *Datapath) Drops() ([]Drop, error) {
	var (
		drops  []Drop
		key    bpf.DropKey
		perCPU []uint64
		it     = d.maps[bpf.MapDrops].Iterate()
	)
	for it.Next(&key, &perCPU) {
		drop := Drop{ENI: key.Eni, Reason: key.Reason}
		for _, n := range perCPU {
			drop.Packets += n
		}
		drops = append(drops, drop)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read drop counters: %w", err)
	}
	slices.SortFunc(drops, func(a, b Drop) int {
		return cmp.Or(cmp.Compare(a.ENI, b.ENI), cmp.Compare(a.Reason, b.Reason))
	})
	return drops, nil
}
