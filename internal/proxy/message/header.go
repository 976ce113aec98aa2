package message

import (
	"strings"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// Field is one header field. Its name is kept as it was written.
type Field = http1.Field

// Header is a list of fields in order. Names are compared without regard to
// case. A message has few fields, so that a scan is cheaper than a map.
type Header []Field

// Get is the value of the first field with that name, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Has tells whether there is a field with that name.
func (h Header) Has(name string) bool {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Values are the values of all fields with that name, in order.
func (h Header) Values(name string) []string {
	var values []string
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
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
	h.DeleteFunc(func(n string) bool { return strings.EqualFold(n, name) })
}

// DeleteFunc removes the fields whose names match.
func (h *Header) DeleteFunc(match func(name string) bool) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !match(f.Name) {
			kept = append(kept, f)
		}
	}
	*h = kept
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

// hop are the fields that concern one connection only (RFC 9110, section
// 7.6.1), and those of proxies, which end here.
var hop = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-connection": true,
	"proxy-authenticate": true, "proxy-authorization": true, "te": true,
	"trailer": true, "transfer-encoding": true, "upgrade": true,
}

// RemoveHop removes the fields that concern one connection only: the known
// ones and those that the Connection field names.
func (h *Header) RemoveHop() {
	var named []string
	for _, value := range h.Values("Connection") {
		for token := range strings.SplitSeq(value, ",") {
			if token = strings.TrimSpace(token); token != "" {
				named = append(named, token)
			}
		}
	}
	h.DeleteFunc(func(name string) bool {
		if hop[strings.ToLower(name)] {
			return true
		}
		for _, n := range named {
			if strings.EqualFold(n, name) {
				return true
			}
		}
		return false
	})
}
