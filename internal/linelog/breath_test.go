package linelog

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// With one CPU, who waits for a socket comes to run between two breaths, though
// the one who takes them never stops being able to run.
func TestBreathLetsThePolledRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	b, end := newBreath()
	defer end()
	var read atomic.Int32
	go func() {
		for one := make([]byte, 1); ; read.Add(1) {
			if _, err := r.Read(one); err != nil {
				return
			}
		}
	}()
	for n := range int32(100) {
		for start := time.Now(); read.Load() != n; runtime.Gosched() { // and waits again
			if time.Since(start) > 10*time.Second {
				t.Fatalf("%d of %d bytes were read", read.Load(), n)
			}
		}
		b.take() // until the reader waits in the poller
		w.Write([]byte{0})
		b.take()
		b.take()
		if got := read.Load(); got != n+1 {
			t.Fatalf("%d of %d bytes were read", got, n+1)
		}
	}
}
