package server

import (
	"runtime"
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name    string
		garbage uint64
		in      time.Duration
		looked  uint64
		want    int
	}{
		{"idle", 4 * mb, 2 * time.Minute, 4 * mb, 100},
		{"some load", 8 * mb, 4 * time.Second, 4 * mb, 200},
		{"collected too often", 8 * mb, time.Second, 4 * mb, 800},
		{"as much as there is room for", 32 * mb, time.Second / 4, 8 * mb, 400},
		{"with many connections", 32 * mb, time.Second, 20 * mb, 160},
		{"with more of them than room", 32 * mb, time.Second, 200 * mb, 100},
		{"two at once", 1 * mb, 0, 4 * mb, 800},
		{"next to nothing is alive", 32 * mb, time.Second, 0, 800},
	} {
		if got := percent(c.garbage, c.in, c.looked); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// Much garbage that is made fast is collected seldom: without this, 236 times.
func TestCollectionsAreSpaced(t *testing.T) {
	t.Setenv("GOGC", "")
	spaceCollections()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const made = 1 << 30
	for range made >> 16 {
		garbage = make([]byte, 1<<16)
	}
	runtime.ReadMemStats(&after)
	if n := after.NumGC - before.NumGC; n > 2*made/maxRoom {
		t.Errorf("collected %d times for %d MB of garbage", n, made>>20)
	}
}

var garbage []byte
