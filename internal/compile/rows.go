package compile

import (
	"maps"
	"slices"
)

// keyed is implemented by every stored type.
type keyed interface{ Key() string }

// index finds rows by their key.
func index[T keyed](rows []T) map[string]T {
	out := make(map[string]T, len(rows))
	for _, r := range rows {
		out[r.Key()] = r
	}
	return out
}

// groupBy collects rows under the key that f gives.
func groupBy[T any](rows []T, f func(T) string) map[string][]T {
	out := map[string][]T{}
	for _, r := range rows {
		out[f(r)] = append(out[f(r)], r)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
