package linelog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
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

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFailure(t *testing.T) {
	var report bytes.Buffer
	l := New(failing{}, slog.New(slog.NewTextHandler(&report, nil)))
	io.WriteString(l, "x\n")
	l.Close()
	if !strings.Contains(report.String(), "disk full") {
		t.Errorf("report %q", &report)
	}
}
