package http1

import (
	"bytes"
	"strings"
	"testing"
)

// No string changes when others are made.
func TestTexts(t *testing.T) {
	var texts Texts
	type made struct{ got, want string }
	var all []made
	for n := range 3 * textsLargest {
		want := strings.Repeat(string(rune('a'+n%26)), n)
		b := []byte(want)
		all = append(all, made{texts.Of(b), want}, made{texts.Join(want[:n/3], "", want[n/3:]), want})
		clear(b)
	}
	for _, m := range all {
		if m.got != m.want {
			t.Fatalf("%d bytes became %.40q", len(m.want), m.got)
		}
	}
	word := bytes.Repeat([]byte("x"), 40)
	if n := testing.AllocsPerRun(1000, func() { texts.Of(word); texts.Join("a", "b") }); n > 0 {
		t.Errorf("%v allocations for two small strings", n)
	}
}
