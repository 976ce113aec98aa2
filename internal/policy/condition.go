package policy

import "strings"

// condition is one key of one operator of the Condition element. All
// conditions of a statement must hold.
type condition struct {
	operator string // as written
	key      string // as written; lower is what is looked up
	lower    string
	values   []string // as written

	set      qualifier
	negated  bool // the tests are those of the operator without Not
	ifExists bool
	null     bool // the Null operator, which has wantAbsent in place of tests
	tests    []test

	wantAbsent, wantPresent bool
}

// qualifier says how the values of a key in the request count.
type qualifier uint8

const (
	single qualifier = iota
	forAllValues
	forAnyValue
)

// test compares a value of the request with one value of the policy. It
// reports false in resolved if a policy variable has no value; then nothing
// matches.
type test func(value string, req *Request) (matches, resolved bool)

// newCondition compiles the values of a key of an operator.
func newCondition(operator, key string, values []string, variables bool) (condition, *Error) {
	c := condition{operator: operator, key: key, lower: strings.ToLower(key), values: values}
	name := operator
	if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		name, c.set = rest, forAllValues
	} else if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		name, c.set = rest, forAnyValue
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	if name == "Null" && !c.ifExists {
		err := c.compileNull(values)
		return c, err
	}
	op, ok := operators[name]
	if !ok {
		return c, malformed("Invalid Condition type : %s.", operator)
	}
	c.negated = op.negated
	for _, value := range values {
		t, err := op.compile(value, variables)
		if err != nil {
			return c, malformed("Invalid value of condition %s %s: %v.", operator, key, err)
		}
		c.tests = append(c.tests, t)
	}
	return c, nil
}

func (c *condition) compileNull(values []string) *Error {
	c.null = true
	for _, value := range values {
		switch strings.ToLower(value) {
		case "true":
			c.wantAbsent = true
		case "false":
			c.wantPresent = true
		default:
			return malformed("Invalid value of condition %s %s: %q is neither true nor false.", c.operator, c.key, value)
		}
	}
	return nil
}

// holds reports whether the condition is true for the request, in a statement
// with the effect.
//
// The guide: if the key is not in the request, the condition is false, true if
// the operator is negated; with …IfExists it is true. A negated operator with
// several values is a NOR. ForAllValues is true without values, ForAnyValue
// false; to both a value that is the empty string is none. Without qualifier a
// key with several values, which the guide tells one not to compare, matches
// if one value does.
func (c *condition) holds(req *Request, e effect) bool {
	values := req.values(c.lower)
	if c.null {
		return len(values) == 0 && c.wantAbsent || len(values) > 0 && c.wantPresent
	}
	if c.set != single && onlyEmpty(values) {
		values = nil
	}
	if len(values) == 0 {
		switch {
		case c.ifExists || c.set == forAllValues:
			return true
		case c.set == forAnyValue:
			return false
		default:
			return c.negated
		}
	}
	all := c.set == forAllValues || c.set == single && c.negated
	for _, value := range values {
		if ok := c.matches(value, req, e) != c.negated; ok != all {
			return ok
		}
	}
	return all
}

// matches reports whether a value of the request matches a value of the
// policy, before negation. What cannot be compared because a variable has no
// value does not match; except where not to match would allow: "any attempt to
// match it fails and causes the statement to be invalid".
func (c *condition) matches(value string, req *Request, e effect) bool {
	for _, t := range c.tests {
		matches, resolved := t(value, req)
		if matches || !resolved && c.negated && e == allow {
			return true
		}
	}
	return false
}

func onlyEmpty(values []string) bool {
	for _, value := range values {
		if value != "" {
			return false
		}
	}
	return true
}
