package linelog

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Lines are those of slog's handlers, whatever a client has sent.
func TestLinesAreSlogs(t *testing.T) {
	for _, value := range []string{
		"", "plain", "two words", `a"b`, `a\b`, "a=b", "tab\t", "line\nend", "\x00\x7f", "é", "\u00a0", "\u200b", "\xff\xfe", "日本", "<&>", strings.Repeat("x", 5000),
	} {
		for _, asJSON := range []bool{false, true} {
			var ours, theirs bytes.Buffer
			var h slog.Handler = slog.NewTextHandler(&theirs, nil)
			if asJSON {
				h = slog.NewJSONHandler(&theirs, nil)
			}
			slog.New(h).With("process", "gateway").LogAttrs(context.Background(), slog.LevelWarn, "request", slog.String("path", value), slog.Int("status", -5))
			line := NewLog(&ours, asJSON, slog.LevelInfo, "gateway").Line(time.Now(), slog.LevelWarn, "request")
			line.Text("path", value)
			line.Int("status", -5)
			line.End()
			if asJSON {
				var a, b map[string]any
				if err := json.Unmarshal(ours.Bytes(), &a); err != nil {
					t.Fatalf("%q: %v", ours.String(), err)
				}
				if err := json.Unmarshal(theirs.Bytes(), &b); err != nil {
					t.Fatal(err)
				}
				delete(a, "time")
				delete(b, "time")
				if !reflect.DeepEqual(a, b) {
					t.Errorf("%v, want %v", a, b)
				}
				continue
			}
			_, a, _ := strings.Cut(ours.String(), " ")
			_, b, _ := strings.Cut(theirs.String(), " ")
			if a != b {
				t.Errorf("%q, want %q", a, b)
			}
		}
	}
}

func TestLineAllocations(t *testing.T) {
	l := NewLog(io.Discard, false, slog.LevelInfo, "gateway")
	if n := testing.AllocsPerRun(100, func() {
		line := l.Line(time.Now(), slog.LevelInfo, "request")
		line.Text("path", "/pets/1")
		line.Text("userAgent", "Mozilla/5.0 (X11)")
		line.End()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if (*Log)(nil).Enabled(slog.LevelError) || l.Enabled(slog.LevelDebug) || !l.Enabled(slog.LevelWarn) {
		t.Error("levels")
	}
}
