package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Request is what a policy decides about.
type Request struct {
	Principal Principal
	Action    string // "execute-api:Invoke"
	Resource  string // an ARN
	Context   Context
}

// Context has the condition keys of a request with their values, by key in
// lower case. A key without values is not in the request.
//
// aws:PrincipalArn and aws:PrincipalAccount are taken from the principal, not
// from here.
type Context map[string][]string

// Set sets the values of a key. Keys are the same in any case.
func (c Context) Set(key string, values ...string) { c[strings.ToLower(key)] = values }

// NewContext returns a Context of keys in any case. It panics if a key is there
// twice in different case, since then it depends on luck which one counts.
func NewContext(keys map[string][]string) Context {
	c := make(Context, len(keys))
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if _, twice := c[strings.ToLower(key)]; twice {
			panic("policy: condition key " + key + " is there twice")
		}
		c.Set(key, keys[key]...)
	}
	return c
}

// values returns the values of a key in lower case.
func (r *Request) values(key string) []string {
	if value, known := r.Principal.keys(key); known {
		if value == "" {
			return nil
		}
		return []string{value}
	}
	return r.Context[key]
}

// Outcome is what a policy says about a request.
type Outcome uint8

const (
	ImplicitDeny Outcome = iota // nothing is said; so the request is denied
	Allowed                     // a statement allows it, and none denies it
	ExplicitDeny                // a statement denies it
)

func (o Outcome) String() string {
	return [...]string{"implicit deny", "allowed", "explicit deny"}[o]
}

// Decision is an outcome and what decided it. The zero Decision is the
// implicit deny of nobody in particular.
type Decision struct {
	Outcome Outcome
	Policy  string // the name of the deciding policy, as in Options
	Sid     string // of the deciding statement, if it has one
	// Statement is the place of the deciding statement in the policy, from 1.
	// It is 0 if none decided: an implicit deny.
	Statement int
}

// Allowed reports whether the request is allowed.
func (d Decision) Allowed() bool { return d.Outcome == Allowed }

// String says what decided: `explicit deny by statement 2 "OnlyOurVpc" of endpoint
// policy of vpce-1`.
func (d Decision) String() string {
	var b strings.Builder
	b.WriteString(d.Outcome.String())
	if d.Statement > 0 {
		fmt.Fprintf(&b, " by statement %d", d.Statement)
		if d.Sid != "" {
			fmt.Fprintf(&b, " %q", d.Sid)
		}
		if d.Policy != "" {
			b.WriteString(" of " + d.Policy)
		}
	} else if d.Policy != "" {
		b.WriteString(" by " + d.Policy)
	}
	return b.String()
}

// Evaluate decides about a request. The first statement that denies decides;
// if there is none, the first that allows. A nil Policy says nothing.
func (p *Policy) Evaluate(req *Request) Decision {
	if p == nil {
		return Decision{}
	}
	decision := Decision{Policy: p.name}
	action := strings.ToLower(req.Action)
	for i := range p.statements {
		s := &p.statements[i]
		if s.effect == allow && decision.Outcome == Allowed {
			continue
		}
		if at, _ := s.mismatch(req, action); at != "" {
			continue
		}
		decision.Sid, decision.Statement = s.sid, i+1
		if s.effect == deny {
			decision.Outcome = ExplicitDeny
			return decision
		}
		decision.Outcome = Allowed
	}
	return decision
}

// Explain says of every statement whether it applies to a request, and if not,
// which element excludes it; one line for each.
func (p *Policy) Explain(req *Request) []string {
	if p == nil {
		return nil
	}
	var lines []string
	action := strings.ToLower(req.Action)
	for i := range p.statements {
		s := &p.statements[i]
		line := fmt.Sprintf("statement %d", i+1)
		if s.sid != "" {
			line += fmt.Sprintf(" %q", s.sid)
		}
		line += fmt.Sprintf(" (%s)", s.effect)
		switch at, c := s.mismatch(req, action); {
		case at == "":
			line += " applies"
		case c != nil:
			line += fmt.Sprintf(" does not apply: Condition %s %s %q is false: the request has %q",
				c.operator, c.key, c.values, req.values(c.lower))
		default:
			line += " does not apply: " + at
		}
		lines = append(lines, line)
	}
	return lines
}

// mismatch returns the first element that excludes the request, and which
// condition if it is one; empty if the statement applies. The action is that
// of the request in lower case.
func (s *statement) mismatch(req *Request, action string) (element string, c *condition) {
	switch {
	case s.principals == nil:
	case s.notPrincipal && s.effect == deny && s.principals.spares(&req.Principal),
		s.notPrincipal && s.effect == allow && s.principals.names(&req.Principal):
		return "NotPrincipal", nil
	case !s.notPrincipal && !s.principals.names(&req.Principal):
		return "Principal", nil
	}
	if s.covers(s.actions, action, req, false) == s.notAction {
		if s.notAction {
			return "NotAction", nil
		}
		return "Action", nil
	}
	if s.covers(s.resources, req.Resource, req, s.notResource) == s.notResource {
		if s.notResource {
			return "NotResource", nil
		}
		return "Resource", nil
	}
	for i := range s.conditions {
		if c := &s.conditions[i]; !c.holds(req, s.effect) {
			return "Condition", c
		}
	}
	return "", nil
}

// covers reports whether one of the patterns accepts the value. One that has a
// variable without value accepts nothing; except where not to accept would
// allow, see condition.matches.
func (s *statement) covers(patterns []pattern, value string, req *Request, negated bool) bool {
	for i := range patterns {
		tokens, resolved := patterns[i].expand(req, value)
		if resolved && match(tokens, value) || !resolved && negated && s.effect == allow {
			return true
		}
	}
	return false
}
