// Package servicediscovery is the AWS Cloud Map API: HTTP and private DNS
// namespaces, their services, and the instances that are found under a
// service's name.
//
// Names of private DNS namespaces are stored, with their records; there is no
// hosted zone of Route 53 that an answer could name. Public DNS namespaces,
// health checks by Route 53 and alias records are refused.
package servicediscovery

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"sort"
	"strconv"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/servicediscovery"
)

// Service implements the API on a store.
type Service struct {
	db *store.DB
}

var _ api.Server = (*Service)(nil)

// New returns the service.
func New(db *store.DB) *Service { return &Service{db: db} }

// scope is the account and the region of a request: what it can see.
type scope struct {
	account, region string
}

func scopeOf(ctx context.Context) scope {
	c := wire.CallerFrom(ctx)
	return scope{c.Account, c.Region}
}

func (sc scope) owns(m resource.Meta) bool { return m.Account == sc.account && m.Region == sc.region }

func (sc scope) meta(tags map[string]string) resource.Meta {
	return resource.Meta{Account: sc.account, Region: sc.region, Created: now(), Tags: tags}
}

// now is as exact as AWS's timestamps.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// invalid is AWS's error for a parameter that can't be used.
func invalid(format string, args ...any) error {
	return wire.Errorf(400, "InvalidInput", format, args...)
}

func inUse(message string) error { return wire.Errorf(400, "ResourceInUse", "%s", message) }

const letters = "abcdefghijklmnopqrstuvwxyz234567" // 32: a byte's rest is as likely as any other

// newID makes a random id of n characters.
func newID(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = letters[b[i]%32]
	}
	return string(b)
}

// newOperation records that a change was asked for. The controllers tell when
// it is in force.
func (sc scope) newOperation(tx *store.Tx, kind string, targets map[string]string) string {
	at := now()
	o := &resource.CloudMapOperation{
		Account: sc.account, Region: sc.region, ID: newID(32) + "-" + strconv.FormatInt(at.UnixMilli(), 36),
		Type: kind, Status: resource.OperationSubmitted, Created: at, Updated: at, Targets: targets,
	}
	store.CloudMapOperations.Put(tx, o)
	return o.ID
}

// page cuts one page out of items that are sorted by key. A token holds the
// key of the last item of the page before, so that what is made and deleted
// between two requests neither repeats nor hides anything else.
func page[T any](items []T, key func(T) string, token *string, size *int64) ([]T, *string, error) {
	if t := wire.Val(token); t != "" {
		after, err := base64.RawURLEncoding.DecodeString(t)
		if err != nil {
			return nil, nil, invalid("The NextToken is not valid.")
		}
		items = items[sort.Search(len(items), func(i int) bool { return key(items[i]) > string(after) }):]
	}
	n := 100
	if size != nil {
		n = int(*size)
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
