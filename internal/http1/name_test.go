package http1

import "testing"

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
