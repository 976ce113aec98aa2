package linelog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1/breath"
)

// stuck takes nothing until it is released.
type stuck struct {
	release chan struct{}
	bytes.Buffer
	writes atomic.Int64
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.release
	s.writes.Add(1)
	return s.Buffer.Write(p)
}

// Lines come whole and in order, many to a write.
func TestLines(t *testing.T) {
	w := &stuck{release: make(chan struct{})}
	close(w.release)
	l := New(w, slog.New(slog.DiscardHandler))
	var want strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&want, "line %d\n", i)
		fmt.Fprintf(l, "line %d\n", i)
	}
	l.Close()
	if w.String() != want.String() {
		t.Errorf("%d bytes, want %d", w.Len(), want.Len())
	}
	if n := w.writes.Load(); n > 1000 {
		t.Errorf("%d writes", n)
	}
}

// writes are what each call was given.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

// Each write is of whole lines, and short unless a line is long.
func TestPieces(t *testing.T) {
	short, long := strings.Repeat("x", 999)+"\n", strings.Repeat("y", 2*piece)+"\n"
	lines := strings.Repeat(short, 100) + long + strings.Repeat(short, 100)
	between, end := breath.New()
	defer end()
	var w writes
	if n, err := writePieces(&w, []byte(lines), between); n != len(lines) || err != nil {
		t.Fatalf("%d of %d bytes, %v", n, len(lines), err)
	}
	if strings.Join(w, "") != lines {
		t.Error("the lines are others than before")
	}
	for i, p := range w {
		if !strings.HasSuffix(p, "\n") || len(p) > piece && p != long {
			t.Errorf("write %d has %d bytes, and ends with %q", i, len(p), p[len(p)-1:])
		}
	}
}

// What a file does not take is lost and told, and makes nobody wait.
func TestLost(t *testing.T) {
	w := &stuck{release: make(chan struct{})}
	var report bytes.Buffer
	l := New(w, slog.New(slog.NewTextHandler(&report, nil)))
	line := []byte(strings.Repeat("x", 1<<10-1) + "\n")
	for range 3 * maxPending / len(line) {
		l.Write(line)
	}
	close(w.release)
	l.Close()
	if n := w.Len(); n%len(line) != 0 || n < maxPending || n > 2*maxPending+full {
		t.Errorf("%d bytes were written", n)
	}
	if !strings.Contains(report.String(), "lost_lines=") {
		t.Errorf("report %q", &report)
	}
}

// disk has room for some bytes.
type disk struct {
	bytes.Buffer
	room int
}

func (d *disk) Write(p []byte) (int, error) {
	n, _ := d.Buffer.Write(p[:min(len(p), d.room)])
	if d.room -= n; n < len(p) {
		return n, errors.New("disk full")
	}
	return n, nil
}

// reports are what a log was told.
type reports struct {
	mu sync.Mutex
	bytes.Buffer
}

func (r *reports) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Buffer.Write(p)
}

func (r *reports) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.Reset()
	return r.String()
}

// TestDiskFull: lines that could not be written are counted as lost, and told of
// at once, after a while, and at the end. Those that come when there is room again
// are whole.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var report reports
		d := &disk{room: len("first\nsec")}
		l := New(d, slog.New(slog.NewTextHandler(&report, nil)))
		want := func(lost string) {
			t.Helper()
			synctest.Wait()
			if _, got, _ := strings.Cut(report.take(), "msg="); got != lost {
				t.Errorf("reported %q, want %q", got, lost)
			}
		}
		line := func(text string) {
			io.WriteString(l, text+"\n")
			time.Sleep(2 * gather)
			synctest.Wait()
		}
		line("first\nsecond\nthird")
		want(`"write access log" error="disk full" lost_lines=2` + "\n")
		line("fourth")
		line("fifth")
		want("")
		time.Sleep(reportEvery)
		want(`"write access log" error="disk full" lost_lines=2` + "\n")
		time.Sleep(2 * reportEvery)
		want("")
		d.room = 100
		line("sixth")
		d.room = 0
		line("seventh")
		want(`"write access log" error="disk full" lost_lines=1` + "\n")
		line("eighth")
		l.Close()
		want(`"write access log" error="disk full" lost_lines=1` + "\n")
		if got := d.String(); got != "first\nsec\nsixth\n" {
			t.Errorf("the file has %q", got)
		}
	})
}
