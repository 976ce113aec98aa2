// Package directconnect is the part of the AWS Direct Connect API that a
// private virtual interface needs: connections, private virtual interfaces on
// virtual private gateways, and their BGP sessions. A connection is available
// at once, since the wire of a virtual interface is a device that "isthmus
// attach" puts into the namespace of the customer's router.
//
// Link aggregation groups, hosted connections, public and transit virtual
// interfaces, Direct Connect gateways, MACsec, IPv6 and keys for BGP sessions
// are refused.
package directconnect

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/directconnect"
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

func (sc scope) owns(m resource.Meta) bool { return vpc.Owned(m, sc.account, sc.region) }

func (sc scope) meta(tags map[string]string) resource.Meta {
	return resource.Meta{Account: sc.account, Region: sc.region, Created: time.Now().UTC().Truncate(time.Millisecond), Tags: tags}
}

// invalid is AWS's error for whatever a client did wrong.
func invalid(format string, args ...any) error {
	return wire.Errorf(400, "DirectConnectClientException", format, args...)
}

// newID makes an id in the form that Direct Connect's have: the prefix, a
// hyphen and eight letters or digits.
func newID(prefix string) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567" // 32: a byte's rest is as likely as any other
	var b [8]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = alphabet[b[i]%32]
	}
	return prefix + "-f" + string(b[1:])
}

// optional is a string that the wire leaves out when it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
