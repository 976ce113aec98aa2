package http1

import (
	"iter"
	"slices"
	"strings"
)

// Field is one header field as it was written, without white space around its
// value.
type Field struct{ Name, Value string }

// Header is a list of fields in order. Names are compared without regard to
// case. A message has few fields, so that a scan is cheaper than a map.
type Header []Field

// Get is the value of the first field with that name, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if sameName(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Has tells whether there is a field with that name.
func (h Header) Has(name string) bool {
	for i := range h {
		if sameName(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Values are the values of all fields with that name, in order.
func (h Header) Values(name string) []string {
	var values []string
	for i := range h {
		if sameName(h[i].Name, name) {
			values = append(values, h[i].Value)
		}
	}
	return values
}

// Add appends a field.
func (h *Header) Add(name, value string) { *h = append(*h, Field{Name: name, Value: value}) }

// Set makes a field the only one of that name.
func (h *Header) Set(name, value string) {
	h.Del(name)
	h.Add(name, value)
}

// SetDefault adds a field unless there is one of that name.
func (h *Header) SetDefault(name, value string) {
	if !h.Has(name) {
		h.Add(name, value)
	}
}

// Del removes all fields with that name.
func (h *Header) Del(name string) {
	if h.Has(name) { // mostly it is not there
		h.DeleteFunc(func(n string) bool { return sameName(n, name) })
	}
}

// DeleteFunc removes the fields whose names match.
func (h *Header) DeleteFunc(match func(name string) bool) {
	all, n := *h, 0
	for n < len(all) && !match(all[n].Name) {
		n++
	}
	for i := n + 1; i < len(all); i++ {
		if !match(all[i].Name) {
			all[n] = all[i]
			n++
		}
	}
	*h = all[:min(n, len(all))]
}

// Clone is a copy that shares nothing, with room for some fields more.
func (h Header) Clone() Header {
	return append(make(Header, 0, len(h)+8), h...)
}

// Size is the length of the fields on the wire in bytes: names, values, and
// the colon, space and line end of each.
func (h Header) Size() int {
	n := 0
	for i := range h {
		n += len(h[i].Name) + len(": ") + len(h[i].Value) + len("\r\n")
	}
	return n
}

// ValueSize is the length of the values alone in bytes.
func (h Header) ValueSize() int {
	n := 0
	for i := range h {
		n += len(h[i].Value)
	}
	return n
}

// IsHop tells whether a field concerns one connection only (RFC 9110, section
// 7.6.1), or is of proxies, which end here.
func IsHop(name string) bool {
	switch len(name) {
	case len("te"):
		return equalFold(name, "te")
	case len("trailer"): // upgrade has as many letters
		return equalFold(name, "trailer") || equalFold(name, "upgrade")
	case len("connection"): // keep-alive has as many letters
		return equalFold(name, "connection") || equalFold(name, "keep-alive")
	case len("proxy-connection"):
		return equalFold(name, "proxy-connection")
	case len("transfer-encoding"):
		return equalFold(name, "transfer-encoding")
	case len("proxy-authenticate"):
		return equalFold(name, "proxy-authenticate")
	case len("proxy-authorization"):
		return equalFold(name, "proxy-authorization")
	}
	return false
}

// RemoveHop removes the fields that concern one connection only: the known
// ones and those that the Connection field names.
func (h *Header) RemoveHop() {
	named := h.options()
	h.DeleteFunc(func(name string) bool { return IsHop(name) || named.has(name) })
}

// AppendPassed appends what a proxy passes on, and makes room for some fields
// more: all fields but those that concern one connection only, and others.
func (h Header) AppendPassed(passed Header, without *Names[bool]) Header {
	named := h.options()
	passed = slices.Grow(passed, len(h)+8)
	for i := range h {
		if name := h[i].Name; !IsHop(name) && !named.has(name) && !without.Has(name) {
			passed = append(passed, h[i])
		}
	}
	return passed
}

// options are names of fields that a Connection field gives.
type options []string

// options are those that are not known anyway.
func (h Header) options() (named options) {
	for value := range h.All("connection") {
		for token := range strings.SplitSeq(value, ",") {
			token = strings.Trim(token, " \t")
			if token != "" && !equalFold(token, "close") && !IsHop(token) {
				named = append(named, token)
			}
		}
	}
	return named
}

func (o options) has(name string) bool {
	for _, n := range o {
		if sameName(n, name) {
			return true
		}
	}
	return false
}

// All yields the values of the fields of a name, which is in lower case.
func (h Header) All(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h {
			if equalFold(h[i].Name, name) && !yield(h[i].Value) {
				return
			}
		}
	}
}

// sameName tells whether two names of fields are the same: without regard to the
// case of ASCII letters.
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x |= 0x20; x != y|0x20 || x < 'a' || x > 'z' {
			return false
		}
	}
	return true
}

// equalFold compares ASCII letters without regard to case. The second argument
// is in lower case.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Names finds what is kept for a field's name, without regard to case.
type Names[T any] struct {
	values  map[string]T // by names in lower case
	lengths uint64       // a bit for each length of a name, up to 63, which stands for longer ones, too
}

// NamesOf makes it of names in lower case.
func NamesOf[T any](values map[string]T) *Names[T] {
	n := &Names[T]{values: values}
	for name := range values {
		n.lengths |= 1 << min(len(name), 63)
	}
	return n
}

// Get does not allocate for names of up to 64 bytes, as nearly all are.
func (n *Names[T]) Get(name string) (value T, ok bool) {
	if n.lengths>>min(len(name), 63)&1 == 0 {
		return value, false
	}
	var buf [64]byte
	if len(name) > len(buf) {
		value, ok = n.values[strings.ToLower(name)]
		return value, ok
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	value, ok = n.values[string(buf[:len(name)])]
	return value, ok
}

// Has tells whether the name is there. In nil there is none.
func (n *Names[T]) Has(name string) bool {
	if n == nil {
		return false
	}
	_, ok := n.Get(name)
	return ok
}
