package elbv2

import (
	"encoding/base64"
	"sort"

	"github.com/isthmus-net/isthmus/internal/wire"
)

// defaultPage is how many items an answer holds if the request does not say.
const defaultPage = 400

// page cuts one page out of items that are sorted by key. A marker holds the
// key of the last item of the page before, so that what is made and deleted
// between two requests neither repeats nor hides anything else.
func page[T any](items []T, key func(T) string, marker *string, size *int64) ([]T, *string, error) {
	if m := wire.Val(marker); m != "" {
		after, err := base64.RawURLEncoding.DecodeString(m)
		if err != nil {
			return nil, nil, invalid("'%s' is not a valid marker", m)
		}
		items = items[sort.Search(len(items), func(i int) bool { return key(items[i]) > string(after) }):]
	}
	n := defaultPage
	if size != nil {
		n = int(*size)
	}
	if len(items) <= n {
		return items, nil, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte(key(items[n-1])))
	return items[:n], &next, nil
}
