package wire

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A violation is a value that breaks a constraint of the model.
type violation struct {
	path   string // "tags.1.member.key"
	name   string // of the member, as it is sent
	value  string // as AWS prints it: 'x', null, '[a, b]', or ""
	reason string
	null   bool
	limits *limits // that the value breaks
}

// maxViolations is how many violations are looked for: each is a sentence of
// the message, and takes a client few bytes.
const maxViolations = 100

// validate checks the input of a call against the model's constraints.
func validate(op *operation, in reflect.Value) *Error {
	prefix := ""
	if op.api.meta.Protocol == "rest-json" {
		prefix = lowerFirst(op.name) + "Input."
	}
	var found []violation
	op.in.check(in, prefix, &found)
	switch {
	case len(found) == 0:
		return nil
	case op.api.meta.Protocol == "ec2":
		return ec2Violation(found[0])
	}
	texts := make([]string, len(found))
	for i, v := range found {
		texts[i] = fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", v.value, v.path, v.reason)
		if v.value == "" {
			texts[i] = strings.Replace(texts[i], "Value  at", "Value at", 1)
		}
	}
	plural := "s"
	if len(found) == 1 {
		plural = ""
	}
	code := orDefault(op.api.meta.ValidationCode, "ValidationException")
	return Errorf(http.StatusBadRequest, code, "%d validation error%s detected: %s",
		len(found), plural, strings.Join(texts, "; "))
}

// ec2Violation words a violation as EC2 does: one at a time.
func ec2Violation(v violation) *Error {
	if v.null {
		return Errorf(http.StatusBadRequest, "MissingParameter", "The request must contain the parameter %s", v.name)
	}
	value := strings.Trim(v.value, "'")
	reason := v.reason
	if n, err := strconv.ParseFloat(value, 64); err == nil && v.limits != nil {
		if v.limits.min != nil && n < *v.limits.min {
			reason = fmt.Sprintf("Expecting a value greater than %v.", *v.limits.min)
		} else if v.limits.max != nil && n > *v.limits.max {
			reason = fmt.Sprintf("Expecting a value less than %v.", *v.limits.max)
		}
	}
	return Errorf(http.StatusBadRequest, "InvalidParameterValue",
		"Value ( %s ) for parameter %s is invalid. %s", value, lowerFirst(v.name), reason)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// check appends the violations in a structure and below it.
func (s *shape) check(v reflect.Value, prefix string, found *[]violation) {
	for i := range s.fields {
		f := &s.fields[i]
		path := prefix + lowerFirst(f.member)
		fv, ok := deref(v.Field(f.index))
		if !ok {
			if f.required {
				*found = append(*found, violation{
					path: path, name: f.queryName, value: "null", reason: "Member must not be null", null: true})
			}
			continue
		}
		f.shape.checkValue(fv, path, f.queryName, found)
	}
}

func (s *shape) checkValue(v reflect.Value, path, name string, found *[]violation) {
	if len(*found) >= maxViolations {
		return
	}
	for _, reason := range s.limits.broken(s.kind, v) {
		*found = append(*found, violation{path: path, name: name, value: printed(s, v), reason: reason, limits: &s.limits})
	}
	switch s.kind {
	case kindStructure:
		s.check(v, path+".", found)
	case kindList:
		elem := s.elem.shape
		if elem.kind < kindStructure {
			s.checkScalars(v, path, name, found)
			return
		}
		for i := range v.Len() {
			if e, ok := deref(v.Index(i)); ok {
				elem.checkValue(e, path+"."+strconv.Itoa(i+1)+".member", name, found)
			}
		}
	case kindMap:
		s.checkMap(v, path, name, found)
	}
}

// checkScalars reports elements that break a constraint as one violation by
// the list, as AWS does.
func (s *shape) checkScalars(v reflect.Value, path, name string, found *[]violation) {
	for i := range v.Len() {
		if s.elem.shape.limits.broken(s.elem.shape.kind, v.Index(i)) != nil {
			*found = append(*found, violation{path: path, name: name, value: printed(s, v),
				reason: "Member must satisfy constraint: [" + s.elem.shape.limits.all(s.elem.shape.kind) + "]"})
			return
		}
	}
}

func (s *shape) checkMap(v reflect.Value, path, name string, found *[]violation) {
	keys, values := s.key.shape, s.elem.shape
	report := func(what string, l limits, k kind) {
		*found = append(*found, violation{path: path, name: name, value: printed(s, v),
			reason: what + " must satisfy constraint: [" + l.all(k) + "]"})
	}
	for _, k := range sortedKeys(v) {
		kv := reflect.ValueOf(k)
		if keys.limits.broken(kindString, kv) != nil {
			report("Map keys", keys.limits, kindString)
			return
		}
		e, ok := deref(v.MapIndex(kv))
		switch {
		case !ok:
		case values.kind == kindStructure:
			values.check(e, path+"."+k+".member.", found)
		case values.limits.broken(values.kind, e) != nil:
			report("Map value", values.limits, values.kind)
			return
		}
	}
}

// broken returns the constraints that a value breaks, in AWS's words.
func (l *limits) broken(k kind, v reflect.Value) []string {
	var reasons []string
	size, sized := measure(k, v)
	if sized && l.max != nil && size > *l.max {
		reasons = append(reasons, l.maxText(k))
	}
	if sized && l.min != nil && size < *l.min {
		reasons = append(reasons, l.minText(k))
	}
	if k == kindString {
		if l.pattern != nil && !l.pattern.MatchString(v.String()) {
			reasons = append(reasons, l.patternReason())
		}
		if l.enum != nil && !slices.Contains(l.enum, v.String()) {
			reasons = append(reasons, l.enumReason())
		}
	}
	return reasons
}

// measure returns what min and max bound: a number's value or a length.
func measure(k kind, v reflect.Value) (float64, bool) {
	switch k {
	case kindInteger:
		return float64(v.Int()), true
	case kindFloat:
		return v.Float(), true
	case kindString:
		return float64(utf8.RuneCountInString(v.String())), true
	case kindBlob, kindList, kindMap:
		return float64(v.Len()), true
	}
	return 0, false
}

// all words every constraint of l.
func (l *limits) all(k kind) string {
	var parts []string
	if l.max != nil {
		parts = append(parts, l.maxText(k))
	}
	if l.min != nil {
		parts = append(parts, l.minText(k))
	}
	if l.pattern != nil {
		parts = append(parts, l.patternReason())
	}
	if l.enum != nil {
		parts = append(parts, l.enumReason())
	}
	return strings.Join(parts, ", ")
}

func (l *limits) patternReason() string {
	return "Member must satisfy regular expression pattern: " + l.patternText
}

func (l *limits) enumReason() string {
	return "Member must satisfy enum value set: [" + strings.Join(l.enum, ", ") + "]"
}

func (l *limits) maxText(k kind) string { return bound(k, "less", *l.max) }

func (l *limits) minText(k kind) string { return bound(k, "greater", *l.min) }

func bound(k kind, than string, n float64) string {
	what := "length"
	if k == kindInteger || k == kindFloat {
		what = "value"
	}
	return fmt.Sprintf("Member must have %s %s than or equal to %s", what, than, strconv.FormatFloat(n, 'f', -1, 64))
}

// printed returns a value as AWS shows it in messages. Structures are not shown.
func printed(s *shape, v reflect.Value) string {
	text := printedText(s, v)
	if text == "" && s.kind >= kindStructure {
		return ""
	}
	return "'" + text + "'"
}

func printedText(s *shape, v reflect.Value) string {
	switch s.kind {
	case kindList:
		if s.elem.shape.kind >= kindStructure && v.Len() > 0 {
			return ""
		}
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = printedText(s.elem.shape, v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case kindMap:
		if s.elem.shape.kind >= kindStructure && v.Len() > 0 {
			return ""
		}
		parts := make([]string, 0, v.Len())
		for _, k := range sortedKeys(v) {
			parts = append(parts, k+"="+printedText(s.elem.shape, v.MapIndex(reflect.ValueOf(k))))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case kindTimestamp:
		return formatTime(v.Interface().(time.Time), formatISO8601)
	case kindBlob, kindStructure, kindAny:
		return ""
	}
	return fmt.Sprint(v.Interface())
}
