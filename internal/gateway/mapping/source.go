// Package mapping compiles the expressions by which API Gateway moves
// parameters between requests, responses, stage variables and the context.
// REST APIs and HTTP APIs write them differently; both become a Source.
package mapping

import (
	"fmt"
	"strings"
)

// Values is what an expression may refer to. Names of headers are compared
// without regard to case; values of paths and queries are unescaped.
type Values interface {
	RequestHeader(name string) []string
	Query(name string) []string
	PathParameter(name string) (string, bool)
	// RawPathParameter is the parameter as on the wire, still escaped.
	RawPathParameter(name string) (string, bool)
	RequestPath() string // without the stage, escaped
	Context(name string) (string, bool)
	StageVariable(name string) (string, bool)
	ResponseHeader(name string) []string // nil while there is no response
}

type kind int

const (
	literal kind = iota
	requestHeader
	requestQuery
	pathParameter
	requestPath
	contextVariable
	stageVariable
	responseHeader
)

// Source is a compiled expression: parts that are joined.
type Source struct{ parts []part }

type part struct {
	kind kind
	name string // of the parameter; the text of a literal
	last bool   // only the last value counts
}

// Value evaluates the expression. It is not found if it is a single reference
// to something that the request doesn't have; inside a longer text such a
// reference is empty.
func (s Source) Value(v Values) (value string, found bool) {
	if len(s.parts) == 1 {
		return s.parts[0].value(v)
	}
	var b strings.Builder
	for _, p := range s.parts {
		text, _ := p.value(v)
		b.WriteString(text)
	}
	return b.String(), true
}

// Trusted tells that no part of the value comes from the client.
func (s Source) Trusted() bool {
	for _, p := range s.parts {
		if p.kind != literal && p.kind != stageVariable {
			return false
		}
	}
	return true
}

// PathParameter names the path parameter that the expression is, if it is
// nothing else.
func (s Source) PathParameter() (name string, ok bool) {
	if len(s.parts) == 1 && s.parts[0].kind == pathParameter {
		return s.parts[0].name, true
	}
	return "", false
}

func (p part) value(v Values) (string, bool) {
	switch p.kind {
	case literal:
		return p.name, true
	case requestHeader:
		return p.join(v.RequestHeader(p.name))
	case requestQuery:
		return p.join(v.Query(p.name))
	case pathParameter:
		return v.PathParameter(p.name)
	case requestPath:
		return v.RequestPath(), true
	case contextVariable:
		return v.Context(p.name)
	case stageVariable:
		return v.StageVariable(p.name)
	case responseHeader:
		return p.join(v.ResponseHeader(p.name))
	}
	return "", false
}

func (p part) join(values []string) (string, bool) {
	if len(values) == 0 {
		return "", false
	}
	if p.last {
		return values[len(values)-1], true
	}
	return strings.Join(values, ","), true
}

// contextNames are the variables that Values.Context must know.
var contextNames = map[string]bool{
	"accountId": true, "apiId": true, "awsEndpointRequestId": true,
	"domainName": true, "domainPrefix": true, "extendedRequestId": true,
	"httpMethod": true, "identity.sourceIp": true, "identity.userAgent": true,
	"identity.vpcId": true, "identity.vpceId": true,
	"path": true, "protocol": true, "requestId": true, "requestTime": true,
	"requestTimeEpoch": true, "resourceId": true, "resourcePath": true,
	"routeKey": true, "stage": true,
}

// ContextNames are the context variables that expressions may use.
func ContextNames() []string {
	names := make([]string, 0, len(contextNames))
	for name := range contextNames {
		names = append(names, name)
	}
	return names
}

// context makes the reference to a context variable, checked.
func context(name string) (part, error) {
	if !contextNames[name] {
		return part{}, fmt.Errorf("context variable %q is not supported", name)
	}
	return part{kind: contextVariable, name: name}, nil
}
