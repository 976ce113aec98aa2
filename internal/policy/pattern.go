package policy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pattern is a string of a policy, compiled: an action, a resource, or a value
// of a condition.
type pattern struct {
	text   string // as written
	tokens []token
	vars   bool // some token is a variable, to be replaced for each request
}

// token is what one place of a pattern accepts.
type token struct {
	kind     tokenKind
	confined bool      // of one and run: does not accept a colon
	r        rune      // of literal
	v        *variable // of reference
}

type tokenKind uint8

const (
	literal   tokenKind = iota // the character r
	one                        // ?: any character
	run                        // *: any characters, or none
	reference                  // a policy variable
)

// variable is a policy variable, ${key} or ${key, 'fallback'}.
type variable struct {
	key         string // in lower case
	fallback    string
	hasFallback bool
}

// syntax says which characters of a string have a meaning.
type syntax struct {
	wildcards bool
	variables bool
}

// compile reads a string of a policy.
func compile(text string, syn syntax) (pattern, error) {
	p := pattern{text: text, tokens: make([]token, 0, len(text))}
	for rest := text; rest != ""; {
		if syn.variables && strings.HasPrefix(rest, "${") {
			t, n, err := compileVariable(rest)
			if err != nil {
				return pattern{}, err
			}
			p.tokens = append(p.tokens, t)
			p.vars = p.vars || t.kind == reference
			rest = rest[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(rest)
		t := token{kind: literal, r: r}
		switch {
		case syn.wildcards && r == '*':
			t = token{kind: run}
		case syn.wildcards && r == '?':
			t = token{kind: one}
		}
		p.tokens = append(p.tokens, t)
		rest = rest[n:]
	}
	return p, nil
}

// compileVariable reads the variable at the start of s, and returns how many
// bytes it has. ${*}, ${?} and ${$} are characters without their meaning.
func compileVariable(s string) (token, int, error) {
	bad := fmt.Errorf("malformed policy variable in %q", s)
	end := strings.IndexAny(s, ",}")
	if end < 0 {
		return token{}, 0, bad
	}
	name := s[len("${"):end]
	if s[end] == '}' {
		switch name {
		case "":
			return token{}, 0, bad
		case "*", "?", "$":
			return token{kind: literal, r: rune(name[0])}, end + 1, nil
		}
		return token{kind: reference, v: &variable{key: strings.ToLower(name)}}, end + 1, nil
	}
	quoted := strings.TrimLeft(s[end+1:], " ")
	if name == "" || !strings.HasPrefix(quoted, "'") {
		return token{}, 0, bad
	}
	quoted = quoted[1:]
	fallback, after, ok := strings.Cut(quoted, "'}")
	if !ok {
		return token{}, 0, bad
	}
	v := &variable{key: strings.ToLower(name), fallback: fallback, hasFallback: true}
	return token{kind: reference, v: v}, len(s) - len(after), nil
}

// expand returns the tokens of p for a request, with literal characters in
// place of variables. It reports false if a variable has no value: then p
// matches nothing. A key that has several values cannot be used as a variable.
//
// The tokens are to match s. If they would need more characters than s has, some
// are left out, and s still does not match: so a policy that repeats a variable
// with a long value costs no memory.
func (p pattern) expand(req *Request, s string) ([]token, bool) {
	if !p.vars {
		return p.tokens, true
	}
	tokens := make([]token, 0, len(p.tokens)+32)
	replaced := 0
	for _, t := range p.tokens {
		if t.kind != reference {
			tokens = append(tokens, t)
			continue
		}
		value := t.v.fallback
		if values := req.values(t.v.key); len(values) == 1 {
			value = values[0]
		} else if !t.v.hasFallback {
			return nil, false
		}
		for _, r := range value {
			if replaced > len(s) {
				break
			}
			tokens = append(tokens, token{kind: literal, r: r})
			replaced++
		}
	}
	return tokens, true
}

// fold returns the tokens with their letters in lower case.
func fold(tokens []token) []token {
	folded := make([]token, len(tokens))
	for i, t := range tokens {
		t.r = unicode.ToLower(t.r)
		folded[i] = t
	}
	return folded
}

// match reports whether the tokens, among which there is no reference, accept
// all of s.
//
// It follows all ways to match at once: at holds the places in tokens that are
// reached after the characters read so far, in ascending order. So the time is
// at most the product of both lengths, and close to the length of s for the
// patterns that people write: once an unconfined run is reached, what lies
// before it cannot do better and is dropped.
func match(tokens []token, s string) bool {
	for len(tokens) > 0 && tokens[0].kind == literal {
		r, n := utf8.DecodeRuneInString(s)
		if n == 0 || r != tokens[0].r {
			return false
		}
		tokens, s = tokens[1:], s[n:]
	}
	var bufA, bufB [24]int
	at, next := reach(bufA[:0], tokens, 0), bufB[:0]
	for _, r := range s {
		next = next[:0]
		for _, i := range at {
			if i == len(tokens) {
				continue
			}
			switch t := tokens[i]; {
			case t.confined && r == ':', t.kind == literal && t.r != r:
			case t.kind == run:
				next = reach(next, tokens, i)
			default:
				next = reach(next, tokens, i+1)
			}
		}
		if len(next) == 0 {
			return false
		}
		at, next = next, at
	}
	return at[len(at)-1] == len(tokens)
}

// reach adds place i to the places reached, and those behind it that need no
// character.
func reach(at []int, tokens []token, i int) []int {
	for ; len(at) == 0 || at[len(at)-1] < i; i++ {
		if i == len(tokens) || tokens[i].kind != run {
			return append(at, i)
		}
		if !tokens[i].confined {
			at = at[:0]
		}
		at = append(at, i)
	}
	return at
}

// compileAction reads an action. Actions are compared without regard to case,
// so the pattern is in lower case.
func compileAction(text string) pattern {
	p, _ := compile(strings.ToLower(text), syntax{wildcards: true}) // cannot fail without variables
	p.text = text
	return p
}

// arnParts is the number of parts of an ARN,
// arn:partition:service:region:account:resource. The last may have colons.
const arnParts = 6

// compileARN reads the pattern of an ARN. In all parts but the last, wildcards
// do not match colons; only, if spill is set, a * that ends a part does. (The
// guide on Resource: "If the * wildcard is the last character of a resource ARN
// segment, it can expand to match beyond the colon boundaries"; on ArnLike:
// "Each of the six colon-delimited components of the ARN is checked
// separately".) A lone * matches everything.
func compileARN(text string, syn syntax, spill bool) (pattern, error) {
	p, err := compile(text, syn)
	if err != nil || text == "*" {
		return p, err
	}
	part := 1
	for i := range p.tokens {
		t := &p.tokens[i]
		if t.kind == literal && t.r == ':' {
			part++
		}
		if part == arnParts {
			break
		}
		ends := i+1 == len(p.tokens) || p.tokens[i+1].kind == literal && p.tokens[i+1].r == ':'
		t.confined = (t.kind == one || t.kind == run) && !(t.kind == run && spill && ends)
		if t.kind == reference {
			return pattern{}, fmt.Errorf("policy variable before the fifth colon of %q", text)
		}
	}
	return p, nil
}

// compileResource reads a resource. The missing parts of an incomplete ARN are
// wildcards, as in the guide's "arn:aws:sqs".
func compileResource(text string, syn syntax) (pattern, error) {
	full := text
	if strings.Count(text, ":") < arnParts-1 && !strings.HasSuffix(text, "*") {
		full += ":*"
	}
	p, err := compileARN(full, syn, true)
	p.text = text
	return p, err
}
