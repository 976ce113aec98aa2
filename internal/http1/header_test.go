package http1

import (
	"reflect"
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	h := Header{{Name: "A", Value: "1"}, {Name: "b", Value: "2"}, {Name: "a", Value: "3"}}
	if h.Get("a") != "1" || h.Get("B") != "2" || h.Get("c") != "" || !h.Has("B") || h.Has("c") {
		t.Error("look-up")
	}
	if got := h.Values("A"); !reflect.DeepEqual(got, []string{"1", "3"}) {
		t.Errorf("values %v", got)
	}
	copied := h.Clone()
	copied.Set("A", "4")
	copied.SetDefault("b", "no")
	copied.SetDefault("c", "5")
	if want := (Header{{Name: "b", Value: "2"}, {Name: "A", Value: "4"}, {Name: "c", Value: "5"}}); !reflect.DeepEqual(copied, want) {
		t.Errorf("changed %v", copied)
	}
	if len(h) != 3 || h[0].Value != "1" {
		t.Errorf("the original changed: %v", h)
	}
	if got := h.Size(); got != 3*len("A: 1\r\n") {
		t.Errorf("size %d", got)
	}
	if got := h.ValueSize(); got != 3 {
		t.Errorf("size of values %d", got)
	}
}

func TestRemoveHop(t *testing.T) {
	h := Header{
		{Name: "Connection", Value: "close, X-One"}, {Name: "connection", Value: "x-two"}, {Name: "X-One", Value: "1"}, {Name: "x-TWO", Value: "2"}, {Name: "Keep-Alive", Value: "1"}, {Name: "TE", Value: "x"},
		{Name: "Trailer", Value: "y"}, {Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Upgrade", Value: "h2c"}, {Name: "Proxy-Authorization", Value: "z"}, {Name: "X-Stays", Value: "3"},
	}
	h.RemoveHop()
	if want := (Header{{Name: "X-Stays", Value: "3"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("%v", h)
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 70)
	m := NamesOf(map[string]int{"content-type": 1, long: 2})
	for name, want := range map[string]int{"Content-Type": 1, "content-type": 1, strings.ToUpper(long): 2, "Content-Typ": 0, "": 0} {
		if got, ok := m.Get(name); got != want || ok != (want > 0) || m.Has(name) != ok {
			t.Errorf("%q: %d, %v", name, got, ok)
		}
	}
	if n := testing.AllocsPerRun(100, func() { m.Has("Content-Type") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
