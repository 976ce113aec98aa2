package apigateway

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/gateway/accesslog"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
)

// CheckAccessLog checks a stage's access log as it is to become. Format is the
// check of the kind of API. What is empty is not checked.
func CheckAccessLog(ctx context.Context, log *resource.AccessLog, kept bool, format func(string) error) error {
	if log == nil {
		return nil
	}
	c := wire.CallerFrom(ctx)
	if log.Destination != "" {
		if _, err := accesslog.Group(log.Destination, c.Region, c.Account); err != nil {
			return badRequest("%s", err)
		}
	}
	if log.Format != "" {
		if err := format(log.Format); err != nil {
			return badRequest("%s", err)
		}
	}
	if !kept {
		return badRequest("Cannot enable logging. Access logs are not kept here: isthmus serve runs without --access-log-dir")
	}
	return nil
}
