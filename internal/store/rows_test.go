package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkRows compares rows with a map, in every way of reading.
func checkRows(t *rapid.T, r rows, model map[string]int) {
	if r.count != len(model) {
		t.Fatalf("count is %d, want %d", r.count, len(model))
	}
	want := slices.Sorted(maps.Keys(model))
	var got []string
	for e := range r.scan("") {
		got = append(got, e.key)
		if e.value != model[e.key] || r.get(e.key) != e {
			t.Fatalf("entry %q = %v, want %v", e.key, e.value, model[e.key])
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("keys are %q, want %q", got, want)
	}
	for _, c := range r.chunks {
		if len(c) == 0 || len(c) > maxChunk {
			t.Fatalf("a chunk has %d entries", len(c))
		}
	}
	prefix := rapid.StringMatching(`[0-9]{0,3}`).Draw(t, "prefix")
	want = slices.DeleteFunc(want, func(k string) bool { return !strings.HasPrefix(k, prefix) })
	got = nil
	for e := range r.scan(prefix) {
		got = append(got, e.key)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("keys with %q are %q, want %q", prefix, got, want)
	}
}

func TestRowsAgainstMap(t *testing.T) {
	key := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 2000).Draw(t, "n")) })
	rapid.Check(t, func(t *rapid.T) {
		model := map[string]int{}
		for _, k := range rapid.SliceOfN(key, 0, 600).Draw(t, "first") {
			model[k] = 0
		}
		var sorted []*entry
		for _, k := range slices.Sorted(maps.Keys(model)) {
			sorted = append(sorted, &entry{key: k, value: 0})
		}
		r := newRows(sorted)
		var old rows
		var oldModel map[string]int
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				for i, k := range rapid.SliceOfN(key, 1, 200).Draw(t, "keys") {
					r = r.put(&entry{key: k, value: i})
					model[k] = i
				}
			},
			"delete": func(t *rapid.T) {
				for _, k := range rapid.SliceOfN(key, 1, 200).Draw(t, "keys") {
					r = r.delete(k)
					delete(model, k)
				}
			},
			"keep": func(t *rapid.T) { old, oldModel = r, maps.Clone(model) },
			"": func(t *rapid.T) {
				checkRows(t, r, model)
				checkRows(t, old, oldModel)
			},
		})
	})
}
