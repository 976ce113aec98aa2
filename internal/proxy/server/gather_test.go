package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// What is written arrives whole and in order, also what was written just before
// the connection is closed.
func TestGathered(t *testing.T) {
	a, b := net.Pipe()
	g := gather(a, 10*time.Second)
	var want bytes.Buffer
	got := make(chan []byte, 1)
	go func() {
		all, err := io.ReadAll(b)
		if err != nil {
			t.Error(err)
		}
		got <- all
	}()
	for i := range 2000 {
		p := bytes.Repeat([]byte{byte(i)}, i%300)
		want.Write(p)
		if n, err := g.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		clear(p) // is the writer's again
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, want.Bytes()) {
		t.Error("what arrived is not what was written")
	}
	if _, err := g.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("written after the end: %v", err)
	}
}

// A bulk response, whose client is slower than it comes, is gathered in buffers
// that are used again.
func TestGatheredBulk(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	g := gather(a, 10*time.Second)
	go io.CopyBuffer(struct{ io.Writer }{io.Discard}, b, make([]byte, 4<<10))
	frame, total := make([]byte, 9+maxFrame), 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for total < 50<<20 {
		n, err := g.Write(frame)
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	runtime.ReadMemStats(&after)
	if took := int(after.TotalAlloc - before.TotalAlloc); took > total {
		t.Errorf("%d bytes were allocated for %d", took, total)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// Whoever writes to a client that takes nothing waits, keeps no more than the
// bound, and fails when patience has ended.
func TestGatheredStall(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	g := gather(a, 50*time.Millisecond)
	piece, taken := make([]byte, 1<<10), 0
	var err error
	for err == nil {
		if _, err = g.Write(piece); err == nil {
			taken += len(piece)
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it failed with %v", err)
	}
	if taken > 2*gatheredMost+len(piece) {
		t.Errorf("it took %d bytes", taken)
	}
	g.Close()
}
