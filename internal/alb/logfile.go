package alb

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// logFile writes lines to a file without making requests wait: if the file is
// slower than they come, lines are lost and counted.
type logFile struct {
	lines chan []byte
	lost  atomic.Int64
	quit  chan struct{}
	done  chan struct{}
	once  sync.Once
}

const (
	maxLines   = 8192     // that wait for the file
	maxWrite   = 64 << 10 // bytes of a write, but for the last line
	reportLost = time.Minute
)

func newLogFile(w io.Writer, log *slog.Logger) *logFile {
	f := &logFile{lines: make(chan []byte, maxLines), quit: make(chan struct{}), done: make(chan struct{})}
	go f.run(w, log)
	return f
}

// write takes a line, which must not be changed afterwards.
func (f *logFile) write(line []byte) {
	select {
	case f.lines <- line:
	default:
		f.lost.Add(1)
	}
}

// close returns when all lines that had come have been written.
func (f *logFile) close() {
	f.once.Do(func() { close(f.quit) })
	<-f.done
}

func (f *logFile) run(w io.Writer, log *slog.Logger) {
	defer close(f.done)
	var reported time.Time
	var buffer []byte
	for {
		buffer = buffer[:0]
		select {
		case line := <-f.lines:
			buffer = append(buffer, line...)
		case <-f.quit:
		}
		for more := true; more && len(buffer) < maxWrite; {
			select {
			case line := <-f.lines:
				buffer = append(buffer, line...)
			default:
				more = false
			}
		}
		if len(buffer) == 0 {
			return
		}
		_, err := w.Write(buffer)
		if now := time.Now(); (err != nil || f.lost.Load() > 0) && now.Sub(reported) >= reportLost {
			log.Error("write access log", "error", err, "lost_lines", f.lost.Swap(0))
			reported = now
		}
	}
}
