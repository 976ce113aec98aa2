package policy

import (
	"regexp"
	"strings"
)

// Parse reads and checks a policy document. Every error is an *Error.
//
// Actions, resources and keys are checked for their form only: whether there is
// such a thing is not known here.
func Parse(doc []byte, opts Options) (*Policy, error) {
	limit := opts.MaxSize
	if limit == 0 {
		limit = MaxSize
	}
	if len(doc) > limit {
		return nil, locate(malformed("Policy size %d exceeds the maximum of %d bytes.", len(doc), limit), doc, limit)
	}
	d, err := read(doc)
	if err != nil {
		return nil, err
	}
	c := checker{opts: opts, sids: map[string]bool{}}
	p, at, err := c.policy(d)
	if err != nil {
		return nil, locate(err, doc, at)
	}
	return p, nil
}

// checker compiles what is written. Its methods return where an error is.
type checker struct {
	opts      Options
	variables bool
	sids      map[string]bool
}

func (c *checker) policy(d *document) (*Policy, int, *Error) {
	p := &Policy{name: c.opts.Name}
	switch d.version.s {
	case "", Version2008:
	case Version2012:
		c.variables = true
	default:
		return nil, d.version.at, malformed("%s (version %q)", syntaxErrors, d.version.s)
	}
	if c.opts.Kind == Identity && d.id != (text{}) {
		return nil, d.id.at, malformed("%s (Id in the policy of an identity)", syntaxErrors)
	}
	if len(d.statements) == 0 {
		return nil, 0, malformed("%s (no statement)", syntaxErrors)
	}
	for i := range d.statements {
		s, at, err := c.statement(&d.statements[i])
		if err != nil {
			return nil, at, err
		}
		p.statements = append(p.statements, s)
	}
	return p, 0, nil
}

var identitySid = regexp.MustCompile(`^[0-9A-Za-z]*$`)

func (c *checker) statement(e *element) (s statement, at int, err *Error) {
	s.sid = e.sid.s
	if c.opts.Kind == Identity && !identitySid.MatchString(s.sid) {
		return s, e.sid.at, malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
	}
	if s.sid != "" && c.sids[s.sid] {
		return s, e.sid.at, malformed("Statement IDs (SID) in a single policy must be unique.")
	}
	c.sids[s.sid] = true

	switch e.effect.s {
	case "Allow":
		s.effect = allow
	case "Deny":
		s.effect = deny
	case "":
		return s, e.at, malformed("Missing required field Effect cannot be empty!")
	default:
		return s, e.effect.at, malformed("Invalid effect: %s", e.effect.s)
	}
	s.notPrincipal, s.notAction, s.notResource = e.has["NotPrincipal"], e.has["NotAction"], e.has["NotResource"]
	if s.principals, at, err = c.principals(e); err != nil {
		return s, at, err
	}
	if len(e.actions) == 0 {
		return s, e.at, malformed("Policy statement must contain actions.")
	}
	for _, a := range e.actions {
		if err := checkAction(a.s); err != nil {
			return s, a.at, err
		}
		s.actions = append(s.actions, compileAction(a.s))
	}
	if len(e.resources) == 0 {
		return s, e.at, malformed("Policy statement must contain resources.")
	}
	for _, r := range e.resources {
		if err := checkResource(r.s); err != nil {
			return s, r.at, err
		}
		p, err := compileResource(r.s, syntax{wildcards: true, variables: c.variables})
		if err != nil {
			return s, r.at, malformed("%s (%v)", syntaxErrors, err)
		}
		s.resources = append(s.resources, p)
	}
	s.conditions, at, err = c.conditions(e)
	return s, at, err
}

func (c *checker) principals(e *element) (*principals, int, *Error) {
	present := e.has["Principal"] || e.has["NotPrincipal"]
	switch {
	case c.opts.Kind == Identity && present:
		return nil, e.anyPrincipal.at, malformed("Policy document should not specify a principal.")
	case c.opts.Kind == Identity:
		return nil, 0, nil
	case len(e.principals) == 0:
		return nil, e.at, malformed("Missing required field Principal cannot be empty!")
	}
	var all principals
	for _, p := range e.principals {
		if !all.add(p.kind, p.id.s) {
			return nil, p.id.at, malformed("Invalid principal in policy: %q:%q", p.kind, p.id.s)
		}
	}
	return &all, 0, nil
}

// conditionKey is a vendor, a colon, and a name.
var conditionKey = regexp.MustCompile(`^[A-Za-z0-9.-]+:.+$`)

func (c *checker) conditions(e *element) ([]condition, int, *Error) {
	var all []condition
	seen := map[[2]string]bool{}
	for _, t := range e.conditions {
		if !conditionKey.MatchString(t.key.s) {
			return nil, t.key.at, malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
		}
		place := [2]string{t.operator.s, strings.ToLower(t.key.s)}
		if seen[place] {
			return nil, t.key.at, malformed("%s (%s is there twice)", syntaxErrors, t.key.s)
		}
		seen[place] = true
		compiled, err := newCondition(t.operator.s, t.key.s, t.values, c.variables)
		if err != nil {
			return nil, t.key.at, err
		}
		all = append(all, compiled)
	}
	return all, 0, nil
}

var vendor = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

func checkAction(action string) *Error {
	prefix, name, ok := strings.Cut(action, ":")
	switch {
	case action == "*":
		return nil
	case !ok || name == "":
		return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
	case !vendor.MatchString(prefix):
		return malformed("Vendor %s is not valid", prefix)
	case strings.Contains(name, ":"):
		return malformed("Actions/Condition can contain only one colon.")
	}
	return nil
}

func checkResource(resource string) *Error {
	parts := strings.SplitN(resource, ":", arnParts)
	switch {
	case resource == "*":
		return nil
	case parts[0] != "arn" || len(parts) == 1:
		return malformed("Resource %s must be in ARN format or \"*\".", resource)
	case !strings.HasPrefix(parts[1], "aws") && !strings.ContainsAny(parts[1], "*?"):
		return malformed("Partition %q is not valid for resource %q.", parts[1], resource)
	case len(parts) < 3 || !vendor.MatchString(parts[2]):
		return malformed("Resource vendor must be fully qualified and cannot contain regexes.")
	}
	return nil
}
