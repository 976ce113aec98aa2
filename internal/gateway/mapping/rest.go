package mapping

import (
	"fmt"
	"strings"
)

// ParseREST compiles a source of a REST API's mapping: "method.request.…",
// "integration.response.…", "stageVariables.…", "context.…" or "'literal'".
// Of several values of a header or query parameter the last one counts, unless
// the reference says multivalue.
func ParseREST(text string) (Source, error) {
	if inner, ok := quoted(text); ok {
		return Source{[]part{{kind: literal, name: inner}}}, nil
	}
	if name, ok := strings.CutPrefix(text, "stageVariables."); ok && name != "" {
		return Source{[]part{{kind: stageVariable, name: name}}}, nil
	}
	if name, ok := strings.CutPrefix(text, "context."); ok {
		p, err := context(name)
		if err != nil {
			return Source{}, fmt.Errorf("parse mapping %q: %w", text, err)
		}
		return Source{[]part{p}}, nil
	}
	for _, form := range restForms {
		if name, ok := strings.CutPrefix(text, form.prefix); ok && name != "" {
			return Source{[]part{{kind: form.kind, name: name, last: form.last}}}, nil
		}
	}
	for _, body := range []string{"method.request.body", "integration.response.body"} {
		if strings.HasPrefix(text, body) {
			return Source{}, fmt.Errorf("parse mapping %q: mapping from a body is not supported", text)
		}
	}
	return Source{}, fmt.Errorf("parse mapping %q: not a mapping expression", text)
}

var restForms = []struct {
	prefix string
	kind   kind
	last   bool
}{
	{"method.request.path.", pathParameter, false},
	{"method.request.querystring.", requestQuery, true},
	{"method.request.multivaluequerystring.", requestQuery, false},
	{"method.request.header.", requestHeader, true},
	{"method.request.multivalueheader.", requestHeader, false},
	{"integration.response.header.", responseHeader, true},
	{"integration.response.multivalueheader.", responseHeader, false},
}

func quoted(text string) (inner string, ok bool) {
	if len(text) >= 2 && text[0] == '\'' && text[len(text)-1] == '\'' {
		return text[1 : len(text)-1], true
	}
	return "", false
}
