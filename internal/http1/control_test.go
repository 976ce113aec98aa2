package http1

import (
	"math/rand/v2"
	"testing"
)

func TestControl(t *testing.T) {
	for range 200_000 {
		b := make([]byte, rand.IntN(40))
		for i := range b {
			b[i] = byte(' ' + rand.IntN(95))
			if rand.IntN(20) == 0 {
				b[i] = byte(rand.IntN(256))
			}
		}
		from := rand.IntN(len(b) + 1)
		want := from
		for want < len(b) && b[want] >= ' ' && b[want] != 0x7f {
			want++
		}
		if got := control(b, from); got != want {
			t.Fatalf("control(%q, %d) is %d, want %d", b, from, got, want)
		}
		if got, want := plain(string(b)), len(b) == 0 || all(string(b), classValue); got != want {
			t.Fatalf("plain(%q) is %v", b, got)
		}
	}
}
