package breath

import (
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// With one CPU, who waits for a socket comes to run within a few breaths, though
// the one who takes them never stops being able to run.
func TestBreathLetsThePolledRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	b, end := New()
	defer end()
	var read atomic.Int32
	go func() {
		for one := make([]byte, 1); ; read.Add(1) {
			if _, err := r.Read(one); err != nil {
				return
			}
		}
	}()
	// A reader that is in a system call may wait for a CPU there.
	var breaths []int
	wait := func(n int32, pass func()) (passes int) {
		for start := time.Now(); read.Load() != n; passes++ {
			if time.Since(start) > 10*time.Second {
				t.Fatalf("%d of %d bytes were read", read.Load(), n)
			}
			pass()
		}
		return passes
	}
	for n := range int32(100) {
		wait(n, runtime.Gosched)
		b.Take() // until the reader waits in the poller
		w.Write([]byte{0})
		breaths = append(breaths, wait(n+1, b.Take))
	}
	slices.Sort(breaths)
	if most := breaths[50]; most > 10 {
		t.Errorf("half of the bytes were read only behind %d breaths or more", most)
	}
}
