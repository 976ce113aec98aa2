package http1

import (
	"bytes"
	"strings"
	"testing"
)

// No string changes when others are made.
func TestTexts(t *testing.T) {
	for name, texts := range map[string]*Texts{"shared": {}, "lasting": nil} {
		type made struct{ got, want string }
		var all []made
		for n := range textsSize + 10 {
			want := strings.Repeat(string(rune('a'+n%26)), n)
			b := []byte(want)
			all = append(all, made{texts.Of(b), want}, made{texts.Join(want[:n/3], "", want[n/3:]), want})
			clear(b)
		}
		for _, m := range all {
			if m.got != m.want {
				t.Fatalf("%s: %d bytes became %.40q", name, len(m.want), m.got)
			}
		}
	}
}

// What was reset serves the next message, and keeps no more than it may.
func TestTextsReset(t *testing.T) {
	var texts Texts
	word, large := bytes.Repeat([]byte("x"), 40), make([]byte, textsKept+1)
	first := texts.Of(word)
	texts.Reset()
	if spoils && first != strings.Repeat("\xdd", len(word)) {
		t.Errorf("%q is left of a string", first)
	}
	if n := testing.AllocsPerRun(1000, func() { texts.Of(word); texts.Join("a", "b"); texts.Reset() }); n > 0 && !spoils {
		t.Errorf("%v allocations for two small strings", n)
	}
	for range 3 {
		texts.Of(large)
		texts.Reset()
		if cap(texts.b) > textsKept {
			t.Errorf("%d bytes are kept", cap(texts.b))
		}
	}
}
