package sts

import (
	"testing"

	"github.com/isthmus-net/isthmus/internal/wire"
)

func TestGetCallerIdentity(t *testing.T) {
	ctx := wire.WithCaller(t.Context(), wire.Caller{Account: "123456789012", Region: "eu-west-1"})
	out, err := Service{}.GetCallerIdentity(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if *out.Account != "123456789012" || *out.UserId != "123456789012" || *out.Arn != "arn:aws:iam::123456789012:root" {
		t.Errorf("got account %s, user %s, ARN %s", *out.Account, *out.UserId, *out.Arn)
	}
}
