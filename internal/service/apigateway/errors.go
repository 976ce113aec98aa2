package apigateway

import "github.com/isthmus-net/isthmus/internal/wire"

func badRequest(format string, args ...any) error {
	return wire.Errorf(400, "BadRequestException", format, args...)
}

func notFound(format string, args ...any) error {
	return wire.Errorf(404, "NotFoundException", format, args...)
}

func conflict(format string, args ...any) error {
	return wire.Errorf(409, "ConflictException", format, args...)
}

// mappingError is how a wrong parameter mapping is refused.
func mappingError(what, expression string) error {
	return badRequest("Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression %s: %s]", what, expression)
}
