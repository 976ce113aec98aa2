package http1

import (
	"math/rand/v2"
	"testing"
)

func TestPlain(t *testing.T) {
	for range 100_000 {
		b := make([]byte, rand.IntN(40))
		for i := range b {
			b[i] = byte(' ' + rand.IntN(95))
			if rand.IntN(40) == 0 {
				b[i] = byte(rand.IntN(256))
			}
		}
		if got, want := plain(string(b)), len(b) == 0 || all(string(b), classValue); got != want {
			t.Fatalf("plain(%q) is %v", b, got)
		}
	}
}

func TestSameName(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"Host", "hOST", true}, {"", "", true}, {"a", "", false}, {"x-a", "x_a", false}, {"[", "{", false}, {"@", "`", false}, {"X-Forwarded-For", "x-forwarded-for", true},
		{"X-Forwarded-Fox", "x-forwarded-for", false}, {"K", "\u212a", false},
	} {
		if got := sameName(test.a, test.b); got != test.same {
			t.Errorf("sameName(%q, %q) is %v", test.a, test.b, got)
		}
	}
}
