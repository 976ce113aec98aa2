package health

import "testing"

func TestParseMatcher(t *testing.T) {
	for _, c := range []struct {
		in       string
		matches  []int
		excludes []int
	}{
		{"200", []int{200}, []int{199, 201, 404}},
		{"200-399", []int{200, 250, 399}, []int{199, 400}},
		{"200,202,300-301", []int{200, 202, 300, 301}, []int{201, 299, 302}},
		{"599", []int{599}, []int{598}},
	} {
		m, err := ParseMatcher(c.in)
		if err != nil {
			t.Errorf("ParseMatcher(%q): %v", c.in, err)
			continue
		}
		for _, code := range c.matches {
			if !m.Match(code) {
				t.Errorf("%q does not match %d", c.in, code)
			}
		}
		for _, code := range c.excludes {
			if m.Match(code) {
				t.Errorf("%q matches %d", c.in, code)
			}
		}
	}
	for _, in := range []string{"", "2", "20x", "+20", "0200", "199", "600", "200-", "-200", "300-200", "200,,201", "200 ,201", "200-300-400"} {
		if m, err := ParseMatcher(in); err == nil {
			t.Errorf("ParseMatcher(%q) = %v, want an error", in, m)
		}
	}
}

func TestParseGRPCMatcher(t *testing.T) {
	m, err := ParseGRPCMatcher("0,5-12,99")
	if err != nil || !m.Match(0) || !m.Match(12) || !m.Match(99) || m.Match(1) || m.Match(13) {
		t.Error(m, err)
	}
	for _, in := range []string{"", "100", "-1", "0-100", "x", "2-1"} {
		if m, err := ParseGRPCMatcher(in); err == nil {
			t.Errorf("ParseGRPCMatcher(%q) = %v, want an error", in, m)
		}
	}
}

// Whatever a matcher accepts, it accepts codes of its range only, and at least
// one of them.
func FuzzParseMatcher(f *testing.F) {
	for _, seed := range []string{"200", "200-399", "200,202", "599-200", "2-3", ","} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		m, err := ParseMatcher(in)
		if err != nil {
			return
		}
		matched := 0
		for code := range 1000 {
			if m.Match(code) {
				matched++
				if code < 200 || code > 599 {
					t.Fatalf("%q matches %d", in, code)
				}
			}
		}
		if matched == 0 {
			t.Fatalf("%q matches nothing", in)
		}
	})
}
