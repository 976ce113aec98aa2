// Package ec2 serves the part of AWS's EC2 API that private networks are made
// with: VPCs, subnets, security groups, network interfaces, route tables and
// PrivateLink. It checks requests as AWS does and writes desired state; it
// touches no network.
//
// A resource is visible only to its own account and region. Accounts have no
// default VPC.
package ec2

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/vpc"
	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/ec2"
)

// Service implements the API on a store.
type Service struct {
	db *store.DB
}

var _ ec2.Server = (*Service)(nil)

// New returns a service whose resources are in db.
func New(db *store.DB) *Service { return &Service{db: db} }

// caller is the account and the region that a request is about.
type caller struct {
	account, region string
}

func callerOf(ctx context.Context) caller {
	c := wire.CallerFrom(ctx)
	return caller{account: c.Account, region: c.Region}
}

// owns says whether a resource is visible to the caller.
func (c caller) owns(m *resource.Meta) bool { return vpc.Owned(*m, c.account, c.region) }

// update runs f as one transaction for the caller of ctx. A dry run changes
// nothing.
func (s *Service) update(ctx context.Context, dryRun *bool, f func(tx *store.Tx, c caller) error) error {
	c := callerOf(ctx)
	_, err := s.db.Update(ctx, func(tx *store.Tx) error {
		if err := f(tx, c); err != nil {
			return err
		}
		if wire.Val(dryRun) {
			return wire.ErrDryRun
		}
		return nil
	})
	return err
}

// unsupported is the error for what AWS can do and Isthmus cannot.
func unsupported(format string, args ...any) error {
	return wire.Errorf(400, "UnsupportedOperation", format, args...)
}

func invalidValue(format string, args ...any) error {
	return wire.Errorf(400, "InvalidParameterValue", format, args...)
}

func missing(parameter string) error {
	return wire.Errorf(400, "MissingParameter", "The request must contain the parameter %s", parameter)
}

// dependency is AWS's error for deleting what other resources need.
func dependency(kind, id string) error {
	return wire.Errorf(400, "DependencyViolation", "The %s '%s' has dependencies and cannot be deleted.", kind, id)
}
