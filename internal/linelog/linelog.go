// Package linelog writes logs of many lines without making those wait who have
// something to log, and without a system call for each line.
package linelog

import (
	"bytes"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1/breath"
)

const (
	// maxPending bounds the bytes that wait for the file.
	maxPending = 4 << 20
	// full is how many bytes are written without waiting for more.
	full = 256 << 10
	// gather is how long lines are gathered before they are written. Each write
	// has Go's scheduler look for it every 20 µs for a while, which costs a
	// process that has little to do more than the write does.
	gather = 100 * time.Millisecond
	// piece is how many bytes are written at a time, at most, unless a line is
	// longer. Who has only one CPU waits while they are written.
	piece = 32 << 10
	// reportEvery is how often it is said that lines were lost.
	reportEvery = time.Minute
)

// Writer passes lines on to a file. If the file is slower than they come, or
// can't be written, lines are lost and counted.
type Writer struct {
	w   io.Writer
	log *slog.Logger

	mu      sync.Mutex
	pending []byte
	lost    int
	closed  bool

	some, much chan struct{} // hold one when something is pending, and when it is enough for a write
	quit, done chan struct{}
}

// New makes a writer. The log is told when lines are lost.
func New(w io.Writer, log *slog.Logger) *Writer {
	l := &Writer{
		w: w, log: log, some: make(chan struct{}, 1), much: make(chan struct{}, 1),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	go l.run()
	return l
}

// Write takes a line with its end. It never fails, and keeps nothing of it.
func (l *Writer) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.pending)+len(line) > maxPending {
		l.lost++
		return len(line), nil
	}
	before := len(l.pending)
	l.pending = append(l.pending, line...)
	if before == 0 {
		signal(l.some)
	}
	if before < full && len(l.pending) >= full {
		signal(l.much)
	}
	return len(line), nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Close returns when all lines that had come have been written.
func (l *Writer) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.quit)
	}
	l.mu.Unlock()
	<-l.done
	return nil
}

func (l *Writer) run() {
	defer close(l.done)
	between, end := breath.New()
	defer end()
	unreported := losses{log: l.log}
	torn := false // the file ends within a line
	var spare []byte
	timer := time.NewTimer(0)
	for closing := false; !closing; {
		select {
		case <-l.some:
			timer.Reset(gather)
			select {
			case <-timer.C:
			case <-l.much:
			case <-l.quit:
			}
		case <-unreported.pause:
			unreported.pause = nil
		case <-l.quit:
			closing = true
		}
		l.mu.Lock()
		out, lost := l.pending, l.lost
		l.pending, l.lost = spare[:0], 0
		l.mu.Unlock()
		unreported.lines += lost
		if len(out) > 0 {
			if torn {
				out = slices.Insert(out, 0, '\n')
			}
			n, err := writePieces(l.w, out, between)
			if err != nil {
				unreported.cause = err
				unreported.lines += bytes.Count(out[n:], []byte("\n"))
				if torn && n == 0 {
					unreported.lines-- // the end of what was lost before
				}
			}
			torn = n == 0 && torn || n > 0 && out[n-1] != '\n'
		}
		if spare = out; cap(spare) > 2*full {
			spare = nil
		}
		unreported.report(closing)
	}
}

// writePieces writes whole lines at a time, and lets others run between.
func writePieces(w io.Writer, lines []byte, between *breath.Breath) (int, error) {
	written := 0
	for written < len(lines) {
		next := lines[written:]
		if len(next) > piece {
			end := bytes.LastIndexByte(next[:piece], '\n')
			if end < 0 {
				end = bytes.IndexByte(next, '\n')
			}
			if end >= 0 {
				next = next[:end+1]
			}
		}
		n, err := w.Write(next)
		if written += n; err != nil {
			return written, err
		}
		if written < len(lines) {
			between.Take()
		}
	}
	return written, nil
}

// losses are lines that were lost, and nobody was told of yet.
type losses struct {
	log   *slog.Logger
	lines int
	cause error            // of the last write that failed
	pause <-chan time.Time // nil, or until the next report
}

// report tells of them, but seldom.
func (l *losses) report(last bool) {
	if l.lines == 0 || l.pause != nil && !last {
		return
	}
	l.log.Error("write access log", "error", l.cause, "lost_lines", l.lines)
	l.lines, l.cause, l.pause = 0, nil, time.After(reportEvery)
}
