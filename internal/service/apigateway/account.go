package apigateway

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// GetAccount shows the settings of the caller's account.
func (s *Service) GetAccount(ctx context.Context, _ *api.GetAccountInput) (*api.Account, error) {
	return showAccount(findAccount(ctx, s.db.View())), nil
}

// UpdateAccount changes the settings of the caller's account.
func (s *Service) UpdateAccount(ctx context.Context, in *api.UpdateAccountInput) (*api.Account, error) {
	var a *resource.APIGatewayAccount
	err := s.update(ctx, func(tx *store.Tx) error {
		a = findAccount(ctx, tx)
		// Usage plans are a feature that every account has.
		var features []string
		err := applyPatch(in.PatchOperations, listStyle,
			setString("/cloudwatchRoleArn", &a.CloudWatchARN, "remove"),
			setMember("/features", &features),
		)
		if err != nil {
			return err
		}
		store.APIGatewayAccounts.Put(tx, a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return showAccount(a), nil
}

func findAccount(ctx context.Context, r store.Reader) *resource.APIGatewayAccount {
	c := wire.CallerFrom(ctx)
	a := &resource.APIGatewayAccount{Account: c.Account, Region: c.Region}
	if row, ok := store.APIGatewayAccounts.Get(r, a.Key()); ok {
		return row
	}
	return a
}

func showAccount(a *resource.APIGatewayAccount) *api.Account {
	return &api.Account{
		CloudwatchRoleArn: optional(a.CloudWatchARN),
		ThrottleSettings:  &api.ThrottleSettings{BurstLimit: wire.Ptr[int64](5000), RateLimit: wire.Ptr(10000.0)},
		Features:          []string{"UsagePlans"},
		ApiKeyVersion:     wire.Ptr("4"),
	}
}
