// Package sts serves the little of AWS's Security Token Service that clients
// need to know who they are.
package sts

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/wire"
	"github.com/isthmus-net/isthmus/internal/wire/sts"
)

// Service implements the API. It has no state.
type Service struct{}

var _ sts.Server = Service{}

// GetCallerIdentity answers that the caller is the root user of the account
// that the credentials name.
func (Service) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	account := wire.CallerFrom(ctx).Account
	return &sts.GetCallerIdentityOutput{
		UserId:  wire.Ptr(account),
		Account: wire.Ptr(account),
		Arn:     wire.Ptr("arn:aws:iam::" + account + ":root"),
	}, nil
}
