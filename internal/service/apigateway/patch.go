package apigateway

import (
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/apigateway"
)

// patchField is a path that an Update operation may change.
type patchField struct {
	path  string   // "/name", or "/variables/*" where the last segment is a key
	ops   []string // of "add", "replace", "remove"
	apply func(op, key, value string) error
}

// patchStyle makes the errors of a patch. API Gateway words them in two ways.
type patchStyle func(fields []patchField, op, path string) error

// applyPatch carries out the operations in their order. Segments of a path
// escape "/" as "~1" and "~" as "~0". What was changed before an error stays
// changed.
func applyPatch(ops []*api.PatchOperation, style patchStyle, fields ...patchField) error {
	for _, o := range ops {
		op, path := wire.Val(o.Op), wire.Val(o.Path)
		i := slices.IndexFunc(fields, func(f patchField) bool { _, ok := f.match(path); return ok })
		if i < 0 || !slices.Contains(fields[i].ops, op) {
			return style(fields, op, path)
		}
		key, _ := fields[i].match(path)
		if err := fields[i].apply(op, key, wire.Val(o.Value)); err != nil {
			return err
		}
	}
	return nil
}

// match compares a path with the field's and returns the key for "*".
func (f patchField) match(path string) (key string, ok bool) {
	want, got := strings.Split(f.path, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return "", false
	}
	for i := range want {
		if want[i] == "*" && got[i] != "" {
			key = unescape(got[i])
		} else if want[i] != got[i] {
			return "", false
		}
	}
	return key, true
}

func unescape(segment string) string {
	return strings.ReplaceAll(strings.ReplaceAll(segment, "~1", "/"), "~0", "~")
}

// shortStyle is how APIs, methods and integrations refuse an operation.
func shortStyle(fields []patchField, op, path string) error {
	for _, f := range fields {
		if _, ok := f.match(path); ok {
			return badRequest("Invalid patch operation specified. Must be one of: [%s]", strings.Join(f.ops, ", "))
		}
	}
	return badRequest("Invalid patch path %s", path)
}

// listStyle is how resources and VPC links refuse an operation.
func listStyle(fields []patchField, op, path string) error {
	var paths []string
	for _, f := range fields {
		if slices.Contains(f.ops, op) {
			paths = append(paths, f.path)
		}
	}
	if paths == nil {
		return badRequest("Invalid patch path  '%s' specified for op '%s'. Please choose supported operations", path, op)
	}
	return badRequest("Invalid patch path  '%s' specified for op '%s'. Must be one of: [%s]", path, op, strings.Join(paths, ", "))
}

var (
	replaceOnly = []string{"replace"}
	anyOp       = []string{"add", "replace", "remove"}
)

// setString replaces a string; removing it, where that is allowed, empties it.
func setString(path string, p *string, ops ...string) patchField {
	return patchField{path, append(ops, "replace"), func(op, _, value string) error {
		if op == "remove" {
			value = ""
		}
		*p = value
		return nil
	}}
}

// setBool replaces a boolean: what is not "true" is false.
func setBool(path string, p *bool) patchField {
	return patchField{path, replaceOnly, func(_, _, value string) error {
		*p = strings.EqualFold(value, "true")
		return nil
	}}
}

// setWith replaces what the function sets.
func setWith(path string, set func(value string) error) patchField {
	return patchField{path, replaceOnly, func(_, _, value string) error { return set(value) }}
}

// setEntry adds, replaces and removes entries of a map. Removing one that is
// not there is an error with that message, unless it is empty.
func setEntry[V any](path string, m *map[string]V, parse func(string) V, missing string) patchField {
	return patchField{path, anyOp, func(op, key, value string) error {
		if op != "remove" {
			if *m == nil {
				*m = map[string]V{}
			}
			(*m)[key] = parse(value)
			return nil
		}
		if _, ok := (*m)[key]; !ok && missing != "" {
			return notFound("%s", missing)
		}
		delete(*m, key)
		if len(*m) == 0 {
			*m = nil
		}
		return nil
	}}
}

// setMember adds and removes the members of a set that are named by the path's
// key, or by the value if the path has none; replacing takes a member, the
// key, away and adds the value.
func setMember(path string, list *[]string) patchField {
	return patchField{path, anyOp, func(op, key, value string) error {
		member := key
		if key == "" {
			member = value
		}
		without := slices.DeleteFunc(slices.Clone(*list), func(s string) bool { return s == member })
		switch {
		case op == "remove":
			*list = without
		case op == "replace" && key != "":
			*list = append(without, value)
		default:
			*list = append(without, member)
		}
		return nil
	}}
}

func asIs(s string) string { return s }

func isTrue(s string) bool { return strings.EqualFold(s, "true") }
