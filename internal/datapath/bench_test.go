package datapath

import (
	"slices"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/bpf"
)

// loopback is the device at which a benchmark's packets arrive: the kernel
// takes no other for a program run with its time.
const loopback = 1

// BenchmarkProgram tells the packet program's own time for one packet: the
// median of many single runs, since a run changes its packet.
func BenchmarkProgram(b *testing.B) {
	w := newWorld(b)
	w.devices[client] = loopback
	w.apply()
	for _, c := range []struct {
		name  string
		frame packet
		known bool
	}{
		{"known", tcp("10.0.0.10:40000", "10.0.0.20:80", "A"), true},
		{"known through endpoint", tcp("10.0.0.10:40000", "10.0.0.50:80", "A"), true},
		{"new", tcp("10.0.0.10:40000", "10.0.0.20:80", "S"), false},
		{"new through endpoint", tcp("10.0.0.10:40000", "10.0.0.50:80", "S"), false},
	} {
		b.Run(c.name, func(b *testing.B) {
			w.TB = b
			w.forget()
			start := c.frame
			start.flags = "S"
			w.once(start.from(client))
			frame := c.frame.from(client)
			var times []time.Duration
			for b.Loop() {
				if !c.known {
					w.forget()
				}
				times = append(times, w.once(frame))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2]), "ns/packet")
		})
	}
}

// once runs a frame that must be forwarded, and says how long it took.
func (w *world) once(frame []byte) time.Duration {
	w.Helper()
	verdict, took, err := w.Program().Benchmark(frame, 1, nil)
	if err != nil || verdict != redirect {
		w.Fatalf("run program: verdict %d, %v", verdict, err)
	}
	return took
}

// forget ends all flows.
func (w *world) forget() {
	w.Helper()
	for k := range w.flowTable() {
		if err := w.Map(bpf.MapFlows).Delete(k); err != nil {
			w.Fatal(err)
		}
	}
}
