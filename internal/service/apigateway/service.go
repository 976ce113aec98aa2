// Package apigateway serves the AWS API of API Gateway's first version: REST
// APIs and version 1 VPC links. It checks requests as AWS does and writes
// desired state; the controllers make links available, and the compiler turns
// deployed stages into what the gateway serves.
package apigateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// Service implements the Server of package wire/apigateway.
type Service struct {
	db *store.DB
	// accessLogs: the gateway keeps access logs of stages.
	accessLogs bool
}

var _ api.Server = (*Service)(nil)

// New returns a Service that keeps its state in db, and lets stages have access
// logs if the gateway keeps them.
func New(db *store.DB, accessLogs bool) *Service { return &Service{db, accessLogs} }

// update runs a transaction.
func (s *Service) update(ctx context.Context, f func(tx *store.Tx) error) error {
	_, err := s.db.Update(ctx, f)
	return err
}

// newMeta is the Meta of a resource that the caller makes now.
func newMeta(ctx context.Context, tags map[string]string) resource.Meta {
	c := wire.CallerFrom(ctx)
	return resource.Meta{Account: c.Account, Region: c.Region, Created: time.Now().UTC().Truncate(time.Second), Tags: tags}
}

// owned says whether the caller may see a resource.
func owned(ctx context.Context, m resource.Meta) bool {
	c := wire.CallerFrom(ctx)
	return m.Account == c.Account && m.Region == c.Region
}

// NewID returns n random lower-case letters and digits, as the ids of API
// Gateway are.
func NewID(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	id := make([]byte, 0, n)
	var buf [64]byte
	for len(id) < n {
		rand.Read(buf[:])
		for _, b := range buf {
			// 252 is the greatest multiple of 36 in a byte: no letter is likelier.
			if b < 252 && len(id) < n {
				id = append(id, alphabet[b%36])
			}
		}
	}
	return string(id)
}

// Page returns the part of a list that a client asks for, sorted by key, and
// the position of the next part. The limit is 25 unless given, at most 500.
func Page[T any](items []T, key func(T) string, limit *int64, position *string) ([]T, *string, error) {
	slices.SortFunc(items, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	if position != nil && *position != "" {
		after, err := base64.RawURLEncoding.DecodeString(*position)
		if err != nil {
			return nil, nil, badRequest("Invalid position parameter")
		}
		i, found := slices.BinarySearchFunc(items, string(after), func(it T, k string) int { return cmp.Compare(key(it), k) })
		if found {
			i++
		}
		items = items[i:]
	}
	n := 25
	if limit != nil && *limit > 0 {
		n = int(min(*limit, 500))
	}
	if len(items) <= n {
		return items, nil, nil
	}
	next := base64.RawURLEncoding.EncodeToString([]byte(key(items[n-1])))
	return items[:n], &next, nil
}

// optional is a pointer to a string, or nil for an empty one, which the wire
// leaves out.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
