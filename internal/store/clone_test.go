package store

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

type inner struct {
	List []string
	Next *inner
}

type everything struct {
	Text      string
	Number    *int
	Time      time.Time
	Addresses []netip.Addr
	Prefixes  map[string]netip.Prefix
	Inner     inner
	Inners    []inner
	Pointers  []*inner
	Array     [2][]int
	Map       map[string]map[string][]byte
	Any       any
	Anys      map[string]any
	Raw       json.RawMessage
	NilSlice  []string
	NilMap    map[string]string
	NilPtr    *inner
	NilAny    any
}

// shared reports the path of memory that both values refer to and that can be
// changed through either.
func shared(path string, a, b reflect.Value) string {
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() {
			return ""
		}
		if a.Kind() == reflect.Pointer && a.Pointer() == b.Pointer() {
			return path
		}
		return shared(path, a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if f := a.Type().Field(i); f.IsExported() {
				if p := shared(path+"."+f.Name, a.Field(i), b.Field(i)); p != "" {
					return p
				}
			}
		}
	case reflect.Slice, reflect.Array:
		if a.Kind() == reflect.Slice && a.Len() > 0 && a.Pointer() == b.Pointer() {
			return path
		}
		for i := range a.Len() {
			if p := shared(path+"[]", a.Index(i), b.Index(i)); p != "" {
				return p
			}
		}
	case reflect.Map:
		if !a.IsNil() && a.Pointer() == b.Pointer() {
			return path
		}
		for _, k := range a.MapKeys() {
			if p := shared(path+"{}", a.MapIndex(k), b.MapIndex(k)); p != "" {
				return p
			}
		}
	}
	return ""
}

func TestClone(t *testing.T) {
	n := 7
	v := &everything{
		Text:      "t",
		Number:    &n,
		Time:      time.Now(),
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0")},
		Prefixes:  map[string]netip.Prefix{"p": netip.MustParsePrefix("10.0.0.0/8")},
		Inner:     inner{List: []string{"a"}, Next: &inner{List: []string{"b"}}},
		Inners:    []inner{{List: []string{"c"}}},
		Pointers:  []*inner{nil, {List: []string{"d"}}},
		Array:     [2][]int{{1}, {2}},
		Map:       map[string]map[string][]byte{"x": {"y": []byte("z")}},
		Any:       map[string]any{"k": []any{1.5, "s", nil}},
		Anys:      map[string]any{"k": []string{"s"}, "nil": nil},
		Raw:       json.RawMessage(`{}`),
	}
	c := clone(v).(*everything)
	if !reflect.DeepEqual(v, c) {
		t.Errorf("clone is %+v, want %+v", c, v)
	}
	if p := shared("v", reflect.ValueOf(v), reflect.ValueOf(c)); p != "" {
		t.Errorf("%s is shared", p)
	}
	if p := shared("v", reflect.ValueOf(v), reflect.ValueOf(v)); p == "" {
		t.Error("the test does not notice sharing")
	}
}
