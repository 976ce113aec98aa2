package linelog

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
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

// Which texts are looked at one byte after the other makes no difference.
func TestPlain(t *testing.T) {
	for range 200_000 {
		b := make([]byte, rand.IntN(30))
		for i := range b {
			b[i] = byte('!' + rand.IntN(94))
			if rand.IntN(50) == 0 {
				b[i] = byte(rand.IntN(256))
			}
		}
		quoted, first := false, false // the second: where only some of its places are told from others
		for i, c := range b {
			quoted = quoted || classes[c] != 0
			first = first || c == '!' && i < len(b)&^7
		}
		if plain(string(b)) == quoted && (quoted || !first) {
			t.Fatalf("plain(%q) is %v", b, quoted)
		}
	}
}

func TestPairs(t *testing.T) {
	var out bytes.Buffer
	l := NewLog(&out, false, slog.LevelInfo, "")
	made := l.Pairs("a", "b c", "d", "")
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn} {
		line := l.Line(time.Unix(0, 0).UTC(), level, "m")
		line.Pairs(made)
		line.Word("w", "x")
		line.End()
	}
	const want = "time=1970-01-01T00:00:00.000Z level=INFO msg=m a=\"b c\" d=\"\" w=x\n" +
		"time=1970-01-01T00:00:00.000Z level=WARN msg=m a=\"b c\" d=\"\" w=x\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	if (*Log)(nil).Pairs("a", "b") != "" {
		t.Error("pairs of no log")
	}
}
