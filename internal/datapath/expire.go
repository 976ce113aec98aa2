package datapath

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/isthmus-net/isthmus/bpf"
)

// closingTime is how long a connection stays known after its last packet once
// both sides have ended it, for segments that are sent again.
const closingTime = 10 * time.Second

// Expire ends the flows that are over at a time of Now's clock: those that are
// quiet in both directions for as long as they may be, those that are closed,
// and those at devices that are gone. It returns how many ended.
func (d *Datapath) Expire(now time.Duration) (int, error) {
	devices := d.devices()
	ended := 0
	for e, err := range d.entries() {
		if err != nil {
			return ended, fmt.Errorf("expire flows: %w", err)
		}
		if !quiet(e.flow, now) && devices[e.key.Ifindex] {
			continue
		}
		over, err := d.over(e, now, devices)
		if err != nil {
			return ended, fmt.Errorf("expire flows: %w", err)
		}
		if !over {
			continue
		}
		gone, err := d.end(e)
		if err != nil {
			return ended, fmt.Errorf("expire flows: %w", err)
		}
		if gone {
			ended++
		}
	}
	return ended, nil
}

// quiet says whether one direction alone could be over.
func quiet(f bpf.Flow, now time.Duration) bool {
	limit := time.Duration(f.Idle) * time.Second
	if f.Flags&(bpf.FlowFIN|bpf.FlowRST) != 0 {
		limit = min(limit, closingTime)
	}
	return now-time.Duration(f.LastSeen) > limit
}

// over says whether both directions of an entry's flow are over, asking again
// since it was read. An entry without the other one is.
func (d *Datapath) over(e entry, now time.Duration, devices map[uint32]bool) (bool, error) {
	var one, other bpf.Flow
	err := d.maps[bpf.MapFlows].Lookup(e.key, &one)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	if err == nil {
		err = d.maps[bpf.MapFlows].Lookup(opposite(e), &other)
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) || err == nil && !devices[e.key.Ifindex] {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read table %s: %w", bpf.MapFlows, err)
	}
	silence := now - time.Duration(max(one.LastSeen, other.LastSeen))
	return silence > time.Duration(one.Idle)*time.Second ||
		closing(one, other) && silence > closingTime, nil
}

// end deletes both directions, the forward one first: the reverse one reserves
// the source port. It says whether this was the end of a flow; that of the
// second entry of one is not. A flow without its detail is ended by the program
// too, if a packet still comes.
func (d *Datapath) end(e entry) (bool, error) {
	keys := [2]bpf.FlowKey{e.key, opposite(e)}
	if e.flow.Flags&bpf.FlowReverse != 0 {
		keys[0], keys[1] = keys[1], keys[0]
	}
	gone := false
	if err := d.maps[bpf.MapDetails].Delete(keys[0]); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, fmt.Errorf("delete row of table %s: %w", bpf.MapDetails, err)
	}
	for _, k := range keys {
		err := d.maps[bpf.MapFlows].Delete(k)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return gone, fmt.Errorf("delete row of table %s: %w", bpf.MapFlows, err)
		}
		gone = gone || err == nil
	}
	return gone, nil
}

// devices are those at which an ENI may send.
func (d *Datapath) devices() map[uint32]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	set := make(map[uint32]bool)
	for key := range d.tables.sources.have {
		set[key.Ifindex] = true
	}
	return set
}
