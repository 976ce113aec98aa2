package wire

import (
	"mime"
	"net/http"
	"reflect"
	"strings"
)

// A protocol reads requests and writes answers. in and out are structures.
type protocol interface {
	// find returns the operation of a request and prepares r for decode.
	find(e *endpoint, r *request) (*operation, *Error)
	decode(op *operation, r *request, in reflect.Value) error
	encode(op *operation, out reflect.Value, requestID string) (*response, error)
	// fail writes an error; a is nil if the request was for no known API.
	fail(a *api, e *Error, requestID string) *response
	// internal is the code of failures of the server itself.
	internal() string
	// unsupported is the code for what AWS has and this server has not.
	unsupported() string
}

// An endpoint is the APIs that share a signing name and so a host at AWS. They
// share a protocol too.
type endpoint struct {
	protocol protocol
	apis     []*api
	router   *router // REST
}

func newProtocol(a *api) (protocol, bool) {
	switch a.meta.Protocol {
	case "rest-json":
		return restJSON{}, true
	case "json":
		return awsJSON{version: orDefault(a.meta.JSONVersion, "1.0")}, true
	case "query":
		return awsQuery{}, true
	case "ec2":
		return ec2Query{}, true
	}
	return nil, false
}

func (restJSON) internal() string    { return "InternalFailure" }
func (awsJSON) internal() string     { return "InternalFailure" }
func (awsQuery) internal() string    { return "InternalFailure" }
func (ec2Query) internal() string    { return "InternalError" }
func (restJSON) unsupported() string { return "UnsupportedOperationException" }
func (awsJSON) unsupported() string  { return "UnsupportedOperationException" }
func (awsQuery) unsupported() string { return "UnsupportedOperation" }
func (ec2Query) unsupported() string { return "UnsupportedOperation" }

func (restJSON) find(e *endpoint, r *request) (*operation, *Error) {
	op, labels := e.router.find(r.method, r.path, r.query)
	if op == nil {
		return nil, Errorf(http.StatusNotFound, "UnknownOperationException",
			"The API has no operation %s %s.", r.method, r.path)
	}
	r.labels = labels
	if op.method != nil && len(r.body) > 0 && !op.takesAnyBody() && !isMedia(r, "", "application/json",
		"application/x-amz-json-1.0", "application/x-amz-json-1.1") {
		return op, badMedia("UnsupportedMediaTypeException", r, "application/json")
	}
	return op, nil
}

// takesAnyBody tells whether the body is a member that is not JSON.
func (op *operation) takesAnyBody() bool {
	if op.in.payload < 0 {
		return false
	}
	k := op.in.fields[op.in.payload].shape.kind
	return k == kindBlob || k == kindString
}

func (p awsJSON) find(e *endpoint, r *request) (*operation, *Error) {
	if !isMedia(r, p.contentType()) {
		return nil, badMedia("UnsupportedMediaTypeException", r, p.contentType())
	}
	prefix, name := cutTarget(r.header)
	for _, a := range e.apis {
		if op := a.operations[name]; op != nil && a.meta.TargetPrefix == prefix {
			return op, nil
		}
	}
	return nil, Errorf(http.StatusBadRequest, "UnknownOperationException",
		"The API has no operation %q.", r.header.Get("X-Amz-Target"))
}

// cutTarget splits X-Amz-Target into the service's prefix, which may contain
// dots, and the operation.
func cutTarget(h http.Header) (prefix, operation string) {
	target := h.Get("X-Amz-Target")
	i := strings.LastIndexByte(target, '.')
	return target[:max(i, 0)], target[i+1:]
}

func (awsQuery) find(e *endpoint, r *request) (*operation, *Error) {
	if err := r.readForm(); err != nil {
		return nil, err
	}
	version := r.form.Get("Version")
	for _, a := range e.apis {
		if op := a.operations[r.form.Get("Action")]; op != nil && (version == "" || version == a.meta.APIVersion) {
			return op, nil
		}
	}
	if version == "" {
		version = e.apis[0].meta.APIVersion
	}
	return nil, badAction(r, "Could not find operation "+r.form.Get("Action")+" for version "+version)
}

func (ec2Query) find(e *endpoint, r *request) (*operation, *Error) {
	if err := r.readForm(); err != nil {
		return nil, err
	}
	// Older versions of the API differ in little that clients still send.
	for _, a := range e.apis {
		if op := a.operations[r.form.Get("Action")]; op != nil {
			return op, nil
		}
	}
	return nil, badAction(r, "The action "+r.form.Get("Action")+" is not valid for this web service.")
}

func badAction(r *request, message string) *Error {
	if r.form.Get("Action") == "" {
		return Errorf(http.StatusBadRequest, "MissingAction", "The request is missing an action or a required parameter.")
	}
	return &Error{Code: "InvalidAction", Status: http.StatusBadRequest, Message: message}
}

// readForm joins the parameters of the URL and of the body.
func (r *request) readForm() *Error {
	if len(r.body) > 0 && !isMedia(r, "", "application/x-www-form-urlencoded") {
		return badMedia("UnsupportedMediaType", r, "application/x-www-form-urlencoded")
	}
	form, err := parseQuery(string(r.body))
	if err != nil {
		return err
	}
	for k, v := range r.query {
		form[k] = append(form[k], v...)
	}
	r.form = form
	return nil
}

// isMedia tells whether the body is of one of the types; "" stands for none
// given.
func isMedia(r *request, types ...string) bool {
	have := r.header.Get("Content-Type")
	if have != "" {
		var err error
		if have, _, err = mime.ParseMediaType(have); err != nil {
			return false
		}
	}
	for _, t := range types {
		if have == t {
			return true
		}
	}
	return false
}

func badMedia(code string, r *request, want string) *Error {
	return Errorf(http.StatusUnsupportedMediaType, code,
		"The content type %q is not supported; send %s.", r.header.Get("Content-Type"), want)
}
