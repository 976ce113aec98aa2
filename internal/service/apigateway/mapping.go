package apigateway

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
)

var (
	integrationRequest = regexp.MustCompile(`^integration\.request\.(path|querystring|header)\.[^\s]+$`)
	methodRequest      = regexp.MustCompile(`^method\.request\.(body(\..+)?|(multivalue(header|querystring)|path|querystring|header)\.[^\s]+)$`)
	integrationAnswer  = regexp.MustCompile(`^integration\.response\.(body(\..+)?|(multivalueheader|header)\.[^\s]+)$`)
	commonExpression   = regexp.MustCompile(`^('[^']*'|stageVariables\.[a-zA-Z0-9_]+|context\.[a-zA-Z0-9_.]+)$`)
	contentType        = regexp.MustCompile(`^[a-zA-Z0-9!#$&^_.+*-]+/[a-zA-Z0-9!#$&^_.+*-]+(\s*;.*)?$`)
)

// checkRequestMappings checks an integration's request parameters. Those that
// come from the method's request must be declared there.
func checkRequestMappings(m *resource.RestMethod, mappings map[string]string) error {
	for _, to := range sortedKeys(mappings) {
		from := mappings[to]
		if !integrationRequest.MatchString(to) {
			return mappingError("specified", to)
		}
		switch {
		case commonExpression.MatchString(from):
		case !methodRequest.MatchString(from):
			return mappingError("specified", from)
		case requestParameter.MatchString(from):
			if _, declared := m.RequestParameters[from]; !declared {
				return mappingError("parameter specified", from)
			}
		}
	}
	return nil
}

// checkResponseMappings checks an integration response's parameters. The
// headers must be declared by the method response of the same status.
func checkResponseMappings(answer *resource.RestMethodResponse, mappings map[string]string) error {
	for _, to := range sortedKeys(mappings) {
		from := mappings[to]
		if !strings.HasPrefix(to, responseHeader) {
			return mappingError("specified", to)
		}
		declared := false
		if answer != nil {
			_, declared = answer.ResponseParameters[to]
		}
		if !declared {
			return mappingError("parameter specified", to)
		}
		if !commonExpression.MatchString(from) && !integrationAnswer.MatchString(from) {
			return mappingError("specified", from)
		}
	}
	return nil
}

func checkContentTypes(templates map[string]string) error {
	for _, t := range sortedKeys(templates) {
		if t != "$default" && !contentType.MatchString(t) {
			return badRequest("Validation Result: warnings : [], errors : [Invalid content type specified: %s]", t)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
