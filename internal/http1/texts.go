package http1

import "strings"

// Texts makes the small strings of messages, many out of one allocation. They
// stay what they are, however long somebody keeps them: memory is never used a
// second time. It must not be copied.
type Texts struct{ b strings.Builder }

const (
	// textsSize is how much memory is taken at once. A string that is kept for
	// long keeps as much from being freed.
	textsSize = 4 << 10
	// textsLargest is the size of strings from which on they get memory of their own.
	textsLargest = textsSize / 4
)

// Of is the string of some bytes.
func (t *Texts) Of(b []byte) string {
	if len(b) >= textsLargest {
		return string(b)
	}
	start := t.begin(len(b))
	t.b.Write(b)
	return t.b.String()[start:]
}

// Join joins strings.
func (t *Texts) Join(parts ...string) string {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n >= textsLargest {
		return strings.Join(parts, "")
	}
	start := t.begin(n)
	for _, p := range parts {
		t.b.WriteString(p)
	}
	return t.b.String()[start:]
}

// begin makes room for a string, and returns where it begins.
func (t *Texts) begin(n int) int {
	if t.b.Cap()-t.b.Len() < n {
		t.b.Reset()
		t.b.Grow(textsSize) // which does not clear it
	}
	return t.b.Len()
}
