// Package elbv2 is the Elastic Load Balancing v2 API: load balancers, their
// listeners, rules and target groups.
//
// Supported are internal load balancers over IPv4: Network Load Balancers with
// TCP, UDP and TCP_UDP listeners that forward to one target group, and
// Application Load Balancers with HTTP and HTTPS listeners and rules. Targets are
// addresses or instances. Whatever else the API knows is refused with an error that says
// so; nothing is accepted that has no effect.
package elbv2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// Service implements the API on a store.
type Service struct {
	db      *store.DB
	options Options
}

var _ api.Server = (*Service)(nil)

// New returns the service.
func New(db *store.DB, o Options) *Service { return &Service{db, o} }

// scope is the account and the region of a request: what it can see.
type scope struct {
	account, region string
}

func scopeOf(ctx context.Context) scope {
	c := wire.CallerFrom(ctx)
	return scope{c.Account, c.Region}
}
