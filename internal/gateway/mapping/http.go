package mapping

import (
	"fmt"
	"strings"
)

// ParseHTTP compiles a value of an HTTP API's parameter mapping: a reference
// ("$request.header.x"), or text in which references stand in braces
// ("/v1/${request.path.id}").
func ParseHTTP(text string) (Source, error) {
	if strings.HasPrefix(text, "$") && !strings.HasPrefix(text, "${") {
		p, err := httpReference(text[1:])
		if err != nil {
			return Source{}, fmt.Errorf("parse mapping %q: %w", text, err)
		}
		return Source{[]part{p}}, nil
	}
	var s Source
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "${")
		if before != "" || (!found && len(s.parts) == 0) {
			s.parts = append(s.parts, part{kind: literal, name: before})
		}
		if !found {
			return s, nil
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			return Source{}, fmt.Errorf("parse mapping %q: \"${\" without \"}\"", text)
		}
		p, err := httpReference(name)
		if err != nil {
			return Source{}, fmt.Errorf("parse mapping %q: %w", text, err)
		}
		s.parts = append(s.parts, p)
		if rest = tail; rest == "" {
			return s, nil
		}
	}
}

// httpReference compiles a reference without its dollar sign.
func httpReference(text string) (part, error) {
	if text == "request.path" {
		return part{kind: requestPath}, nil
	}
	if name, ok := strings.CutPrefix(text, "context."); ok {
		return context(name)
	}
	for _, form := range httpForms {
		if name, ok := strings.CutPrefix(text, form.prefix); ok && name != "" {
			return part{kind: form.kind, name: name}, nil
		}
	}
	if strings.HasPrefix(text, "request.body") || strings.HasPrefix(text, "response.body") {
		return part{}, fmt.Errorf("mapping from a body is not supported")
	}
	return part{}, fmt.Errorf("%q is not a reference", text)
}

var httpForms = []struct {
	prefix string
	kind   kind
}{
	{"request.path.", pathParameter},
	{"request.header.", requestHeader},
	{"request.querystring.", requestQuery},
	{"response.header.", responseHeader},
	{"stageVariables.", stageVariable},
}
