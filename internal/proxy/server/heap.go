package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Garbage is collected when the heap has doubled (runtime/debug.SetGCPercent). A
// proxy's heap is a few megabytes, so that this would be dozens of times a second
// where it makes much, as handshakes of TLS do, 47 kB each; and each time a quarter
// of the CPU is taken from the requests of that moment. So a busy process is given
// more room: for what it makes in collectEvery. It is not given much: memory that
// is touched for the first time costs a page fault for each 4 kB, on virtual
// machines several microseconds, so that handshakes were half as dear again for as
// long as the heap grew to 128 MB, and with as much room no cheaper then than with
// 32 (323 and 324 µs; 339 with 16, 351 with 8).
const (
	collectEvery = 4 * time.Second
	maxRoom      = 32 << 20
	// leastHeap is the size from which on the runtime collects, which the percentage
	// scales.
	leastHeap = 4 << 20
)

// spaceCollections sets the room for garbage anew after each collection, unless
// the operator has done so (GOGC).
var spaceCollections = sync.OnceFunc(func() {
	if os.Getenv("GOGC") != "" {
		return
	}
	g := &collections{at: time.Now(), samples: []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	runtime.SetFinalizer(g, (*collections).ended)
})

// collections is found to be garbage by each collection, and lives on.
type collections struct {
	at        time.Time // of the last one
	allocated uint64    // until then
	samples   []metrics.Sample
}

// ended is called behind a collection.
func (g *collections) ended() {
	metrics.Read(g.samples)
	now, value := time.Now(), func(i int) uint64 { return g.samples[i].Value.Uint64() }
	debug.SetGCPercent(percent(value(0)-g.allocated, now.Sub(g.at), value(1)+value(2)+value(3)))
	g.at, g.allocated = now, value(0)
	runtime.SetFinalizer(g, (*collections).ended)
}

// percent is the room for garbage in hundredths of what is looked at in a
// collection, which is so many bytes, of a process that made garbage in the time
// before. It is never less than Go's own.
func percent(garbage uint64, in time.Duration, looked uint64) int {
	room := min(maxRoom, float64(garbage)*float64(collectEvery)/float64(max(in, time.Millisecond)))
	return max(100, int(100*room/float64(max(looked, leastHeap))))
}
