package histogram

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	var sum time.Duration
	for _, d := range []time.Duration{0, 500 * time.Microsecond, 501 * time.Microsecond, 30 * time.Second, time.Minute} {
		h.Observe(d)
		sum += d
	}
	c := h.Counts()
	for i, want := range map[int]uint64{0: 2, 1: 1, len(bounds) - 1: 1, len(bounds): 1} {
		if got := c.Buckets[i]; got != want {
			t.Errorf("bucket %d: %d, want %d", i, got, want)
		}
	}
	all, upTo := c.Cumulative()
	if all != 5 || c.Sum != sum || len(upTo) != len(bounds) || upTo[0.0005] != 2 || upTo[0.001] != 3 || upTo[10] != 3 || upTo[30] != 4 {
		t.Errorf("%d in %v: %v", all, c.Sum, upTo)
	}
	// What another process says may have any number of buckets.
	if all, _ := (Counts{Buckets: make([]uint64, 100)}).Cumulative(); all != 0 {
		t.Error(all)
	}
}
