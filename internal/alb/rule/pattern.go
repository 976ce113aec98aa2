// Package rule is the matching of an Application Load Balancer's listener
// rules, and the locations of its redirects: pure functions of a request.
package rule

import "strings"

// pattern is a compiled comparison string: "*" matches any text, "?" one
// character, "\" takes the meaning of the next character away.
type pattern struct {
	prefix string // the literals before the first "*" or "?"
	tokens []token
	fold   bool // letters of ASCII match in both cases; the pattern's are lower then
}

type token struct {
	kind byte // literal, one or many
	c    byte // of a literal
}

const (
	literal = iota
	one
	many
)

func newPattern(s string, fold bool) pattern {
	p := pattern{fold: fold}
	var prefix []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '*':
			// Several in a row are one.
			if n := len(p.tokens); n == 0 || p.tokens[n-1].kind != many {
				p.tokens = append(p.tokens, token{kind: many})
			}
		case c == '?':
			p.tokens = append(p.tokens, token{kind: one})
		default:
			if c == '\\' && i+1 < len(s) {
				i++
				c = s[i]
			}
			if fold {
				c = lower(c)
			}
			if len(p.tokens) == 0 {
				prefix = append(prefix, c)
			} else {
				p.tokens = append(p.tokens, token{kind: literal, c: c})
			}
		}
	}
	p.prefix = string(prefix)
	return p
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// match takes time in proportion to the product of the lengths at worst: only
// the last "*" is ever tried again.
func (p *pattern) match(s string) bool {
	if !p.begins(s) {
		return false
	}
	s = s[len(p.prefix):]
	t, i := 0, 0
	star, resume := -1, 0
	for i < len(s) {
		switch {
		case t < len(p.tokens) && p.tokens[t].kind == many:
			star, resume = t, i
			t++
		case t < len(p.tokens) && p.tokens[t].fits(s[i], p.fold):
			t++
			i++
		case star >= 0:
			resume++
			t, i = star+1, resume
		default:
			return false
		}
	}
	for t < len(p.tokens) && p.tokens[t].kind == many {
		t++
	}
	return t == len(p.tokens)
}

// begins says whether s has the prefix: few of many patterns pass.
func (p *pattern) begins(s string) bool {
	if !p.fold {
		return strings.HasPrefix(s, p.prefix)
	}
	if len(s) < len(p.prefix) {
		return false
	}
	for i := range len(p.prefix) {
		if lower(s[i]) != p.prefix[i] {
			return false
		}
	}
	return true
}

func (k token) fits(c byte, fold bool) bool {
	if fold {
		c = lower(c)
	}
	return k.kind == one || k.kind == literal && k.c == c
}

func newPatterns(values []string, fold bool) []pattern {
	ps := make([]pattern, len(values))
	for i, v := range values {
		ps[i] = newPattern(v, fold)
	}
	return ps
}

func matchAny(ps []pattern, s string) bool {
	for i := range ps {
		if ps[i].match(s) {
			return true
		}
	}
	return false
}
