// Package histogram counts how long requests took, without making them wait for
// each other.
package histogram

import (
	"sync/atomic"
	"time"
)

// bounds are the upper ends of the buckets. The last are the limits of API
// Gateway's integrations.
var bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Histogram counts durations by their size. The zero value is empty.
type Histogram struct {
	buckets [len(bounds) + 1]atomic.Uint64 // the last is of what is longer than all bounds
	sum     atomic.Int64
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// Counts are what a histogram has counted.
type Counts struct {
	Buckets []uint64      `json:"buckets"` // as many as there are, by size
	Sum     time.Duration `json:"sum"`
}

// Counts reads the histogram.
func (h *Histogram) Counts() Counts {
	c := Counts{Sum: time.Duration(h.sum.Load())}
	for i := range h.buckets {
		c.Buckets = append(c.Buckets, h.buckets[i].Load())
	}
	return c
}

// Cumulative are the counts as Prometheus has them: of all, and of those up to
// each bound in seconds.
func (c Counts) Cumulative() (all uint64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, len(bounds))
	for i, n := range c.Buckets {
		if all += n; i < len(bounds) {
			upTo[bounds[i].Seconds()] = all
		}
	}
	return all, upTo
}
