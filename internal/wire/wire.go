// Package wire speaks the protocols of the AWS APIs as a server: restJson1,
// awsJson1.1, awsQuery and ec2Query. It tells the services on one endpoint
// apart, reads requests into the shapes of the packages below it, checks them
// against the constraints of AWS's models, calls the service, and writes
// answers and errors as AWS does.
//
// The packages below it are generated from AWS's published models by gen. To
// support another operation, add its name to gen/services.json; what AWS added
// after the models were published goes into gen/overlay; then go generate.
//
// A call goes through handler.go (who calls which service), endpoint.go and
// router.go (which operation), the protocol's decode (rest.go, jsonrpc.go,
// query.go), validate.go, the service, and the protocol's encode. schema.go
// joins models and Go types once at the start; json.go, form.go and xml.go
// walk values by it.
package wire

//go:generate go run ./gen

import (
	"context"
	"fmt"
	"reflect"
)

// An API describes a service to the dispatcher. The generated packages hold
// one each.
type API struct {
	Name    string            // the name of the generated package
	Model   []byte            // the pruned AWS model, JSON; package model has the format
	Methods map[string]Method // the supported operations by name
}

// A Method calls one operation of a Server.
type Method struct {
	in, out reflect.Type // the structures, not pointers to them
	call    func(ctx context.Context, server, in any) (any, error)
	fits    func(server any) bool
}

// MethodOf makes a Method of a method expression such as Server.CreateVpc.
func MethodOf[S, I, O any](f func(S, context.Context, *I) (*O, error)) Method {
	return Method{
		in:  reflect.TypeFor[I](),
		out: reflect.TypeFor[O](),
		call: func(ctx context.Context, server, in any) (any, error) {
			out, err := f(server.(S), ctx, in.(*I))
			if out == nil {
				out = new(O)
			}
			return out, err
		},
		fits: func(server any) bool {
			_, ok := server.(S)
			return ok
		},
	}
}

// A Service is an API and what serves it: Server implements the interface
// Server of the API's package.
type Service struct {
	API    API
	Server any
	// Partly says of operations that are not supported as a whole what is
	// refused, or has no effect.
	Partly map[string]string
}

// Error is an error that the client sees. Services return it.
type Error struct {
	Code    string
	Status  int // of HTTP; 0: 400
	Message string
	Fields  map[string]any // further members of the error by their name on the wire, such as retryAfterSeconds
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf makes an Error with a formatted message.
func Errorf(status int, code, format string, args ...any) *Error {
	return &Error{Code: code, Status: status, Message: fmt.Sprintf(format, args...)}
}

// ErrDryRun is the answer to a dry run that would have succeeded.
var ErrDryRun = Errorf(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")

// Caller is who makes a request and where it is made to.
type Caller struct {
	Account   string // 12 digits
	Region    string
	AccessKey string
	RequestID string
}

type callerKey struct{}

// CallerFrom returns the caller of the request of ctx, or the zero Caller.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// WithCaller returns a context of a request by c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// Ptr returns a pointer to a copy of v.
func Ptr[T any](v T) *T { return &v }

// Val returns what p points to, or the zero value if p is nil.
func Val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
