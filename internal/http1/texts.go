package http1

import (
	"strings"
	"unsafe"
)

// Texts makes the small strings of messages in one piece of memory, which Reset
// makes free for those of the next message: memory that was used a moment ago is
// in the CPU's caches. Whoever keeps a string for longer than its message clones
// it. A nil Texts makes strings that last. It must not be copied.
type Texts struct{ b []byte }

const (
	// textsSize is how much memory is taken at once.
	textsSize = 4 << 10
	// textsKept is the most that is kept for other messages.
	textsKept = 16 << 10
)

// Of is the string of some bytes.
func (t *Texts) Of(b []byte) string {
	if t == nil {
		return string(b)
	}
	start := t.begin(len(b))
	t.b = append(t.b, b...)
	return t.since(start)
}

// Join joins strings.
func (t *Texts) Join(parts ...string) string {
	if t == nil {
		return strings.Join(parts, "")
	}
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	start := t.begin(n)
	for _, p := range parts {
		t.b = append(t.b, p...)
	}
	return t.since(start)
}

// Reset gives up all strings that were made.
func (t *Texts) Reset() {
	if spoils {
		for i := range t.b {
			t.b[i] = 0xdd
		}
	}
	if t.b = t.b[:0]; spoils || cap(t.b) > textsKept {
		t.b = nil
	}
}

// begin makes room for a string, and returns where it begins. Memory that is full
// is left to the strings in it.
func (t *Texts) begin(n int) int {
	if cap(t.b)-len(t.b) < n {
		t.b = make([]byte, 0, max(textsSize, n))
	}
	return len(t.b)
}

func (t *Texts) since(start int) string {
	b := t.b[start:]
	return unsafe.String(unsafe.SliceData(b), len(b))
}
