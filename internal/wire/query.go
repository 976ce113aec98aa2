package wire

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
)

const xmlType = "text/xml;charset=UTF-8"

// awsQuery is the protocol awsQuery.
type awsQuery struct{}

func (awsQuery) decode(op *operation, r *request, in reflect.Value) error {
	form, err := parseForm(r.form)
	if err == nil {
		err = formReader{}.structure(op.in, in, form, "")
	}
	if err != nil {
		return Errorf(http.StatusBadRequest, "MalformedInput", "%v", err)
	}
	return nil
}

func (awsQuery) encode(op *operation, out reflect.Value, id string) (*response, error) {
	w := newXMLWriter()
	root := op.name + "Response"
	w.start(root, op.api.meta.XMLNamespace)
	if op.wrapper != "" {
		w.start(op.wrapper, "")
	}
	w.answer(op.out, out)
	if op.wrapper != "" {
		w.end(op.wrapper)
	}
	w.start("ResponseMetadata", "")
	w.text("RequestId", id)
	w.end("ResponseMetadata")
	w.end(root)
	return newResponse(http.StatusOK, xmlType, w.Bytes()), nil
}

func (awsQuery) fail(a *api, e *Error, id string) *response {
	w := newXMLWriter()
	namespace := ""
	if a != nil {
		namespace = a.meta.XMLNamespace
	}
	kind := "Sender"
	if e.status() >= 500 {
		kind = "Receiver"
	}
	w.start("ErrorResponse", namespace)
	w.start("Error", "")
	w.text("Type", kind)
	w.errorFields(e)
	w.end("Error")
	w.text("RequestId", id)
	w.end("ErrorResponse")
	return newResponse(e.status(), xmlType, w.Bytes())
}

// ec2Query is the protocol ec2Query.
type ec2Query struct{}

// commonParams are parameters of every request that are no members.
var commonParams = []string{
	"Action", "Version", "AWSAccessKeyId", "Expires", "Signature", "SignatureMethod",
	"SignatureVersion", "Timestamp", "SecurityToken", "X-Amz-Algorithm", "X-Amz-Credential",
	"X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-SignedHeaders",
}

func (ec2Query) decode(op *operation, r *request, in reflect.Value) error {
	form, err := parseForm(r.form)
	if err == nil {
		err = formReader{ec2: true}.structure(op.in, in, form, "")
	}
	var bad *formError
	switch {
	case errors.As(err, &bad):
		return Errorf(http.StatusBadRequest, "InvalidParameterValue",
			"Value (%s) for parameter %s is invalid: %v.", bad.value, bad.param, bad.cause)
	case err != nil:
		return Errorf(http.StatusBadRequest, "MalformedQueryString", "%v", err)
	}
	for _, name := range commonParams {
		delete(form.kids, name)
	}
	if name := form.unused(""); name != "" {
		return Errorf(http.StatusBadRequest, "UnknownParameter", "The parameter %s is not recognized", name)
	}
	return nil
}

func (ec2Query) encode(op *operation, out reflect.Value, id string) (*response, error) {
	w := newXMLWriter()
	root := op.name + "Response"
	w.start(root, op.api.meta.XMLNamespace)
	w.text("requestId", id)
	if op.noOut {
		w.text("return", "true")
	} else {
		w.answer(op.out, out)
	}
	w.end(root)
	return newResponse(http.StatusOK, xmlType, w.Bytes()), nil
}

func (ec2Query) fail(_ *api, e *Error, id string) *response {
	w := newXMLWriter()
	w.start("Response", "")
	w.start("Errors", "")
	w.start("Error", "")
	w.errorFields(e)
	w.end("Error")
	w.end("Errors")
	w.text("RequestID", id)
	w.end("Response")
	return newResponse(e.status(), xmlType, w.Bytes())
}

// errorFields writes the members of an error.
func (w *xmlWriter) errorFields(e *Error) {
	w.text("Code", e.Code)
	w.text("Message", e.Message)
	names := make([]string, 0, len(e.Fields))
	for name := range e.Fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w.text(name, fmt.Sprint(e.Fields[name]))
	}
}
