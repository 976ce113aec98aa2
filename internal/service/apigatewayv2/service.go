// Package apigatewayv2 serves the AWS API of API Gateway's second version:
// HTTP APIs and version 2 VPC links. It checks requests as AWS does and writes
// desired state; the controllers make links available, and the compiler turns
// deployed stages into what the gateway serves.
package apigatewayv2

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	v1 "github.com/isthmus-net/isthmus/internal/service/apigateway"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigatewayv2"
)

// Service implements the Server of package wire/apigatewayv2.
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

func badRequest(format string, args ...any) error {
	return wire.Errorf(400, "BadRequestException", format, args...)
}

func notFound(format string, args ...any) error {
	return wire.Errorf(404, "NotFoundException", format, args...)
}

func conflict(format string, args ...any) error {
	return wire.Errorf(409, "ConflictException", format, args...)
}

// newMeta is the Meta of a resource that the caller makes now.
func newMeta(ctx context.Context, tags map[string]string) resource.Meta {
	c := wire.CallerFrom(ctx)
	return resource.Meta{Account: c.Account, Region: c.Region, Created: now(), Tags: tags}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// owned says whether the caller may see a resource.
func owned(ctx context.Context, m resource.Meta) bool {
	c := wire.CallerFrom(ctx)
	return m.Account == c.Account && m.Region == c.Region
}

// newID returns an id of n characters for which free says yes.
func newID(n int, free func(string) bool) string {
	for {
		if id := v1.NewID(n); free(id) {
			return id
		}
	}
}

// page is the part of a list that a client asks for, and the token for the next.
func page[T any](items []T, key func(T) string, maxResults, token *string) ([]T, *string, error) {
	limit := int64(100)
	if maxResults != nil {
		n, err := strconv.ParseInt(*maxResults, 10, 64)
		if err != nil || n < 1 {
			return nil, nil, badRequest("Invalid maxResults parameter")
		}
		limit = n
	}
	return v1.Page(items, key, &limit, token)
}

// change sets a field to a given value, if one is given.
func change[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// merge changes the entries of a map to those given; an empty value removes.
func merge(m *map[string]string, changes map[string]string) {
	for k, v := range changes {
		if *m == nil {
			*m = map[string]string{}
		}
		if v == "" {
			delete(*m, k)
		} else {
			(*m)[k] = v
		}
	}
}

// optional is a pointer to a string, or nil for an empty one, which the wire
// leaves out.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// flag is a pointer to true, or nil for false, which the wire leaves out.
func flag(b bool) *bool {
	if !b {
		return nil
	}
	return &b
}

// full is a map that the wire shows even if it is empty.
func full[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
