package rule

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
)

// maxProgram bounds the instructions of a compiled expression: what a match
// costs is their number times the length of the text.
const maxProgram = 1000

// ParseRegex compiles a regular expression of a condition or a transform. The
// dialect is RE2's without Unicode classes: AWS's has, by "Listener rules" in
// the user guide, neither lookarounds, backreferences, atomic groups,
// possessive quantifiers, subroutines and recursion, nor these classes.
func ParseRegex(s string) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		var e *syntax.Error
		if errors.As(err, &e) {
			return nil, errors.New(e.Code.String() + ": " + e.Expr)
		}
		return nil, err
	}
	if hasUnicodeClass(s) {
		return nil, errors.New("it has a Unicode character class, which is not supported")
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxProgram {
		return nil, errors.New("the expression is too complex")
	}
	return regexp.Compile(s)
}

// hasUnicodeClass looks for \p and \P.
func hasUnicodeClass(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '\\' {
			if i++; s[i] == 'p' || s[i] == 'P' {
				return true
			}
		}
	}
	return false
}

func newRegexes(list []string, prefix string) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for _, s := range list {
		if _, err := ParseRegex(s); err != nil {
			return nil, err
		}
		r, err := regexp.Compile(prefix + s)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func regexAny(list []*regexp.Regexp, s string) bool {
	for _, r := range list {
		if r.MatchString(s) {
			return true
		}
	}
	return false
}

// normalized is a path as path conditions see it (RFC 3986, section 6.2.2):
// escapes of characters that need none are resolved, and so are dot segments.
// What is sent to targets stays as it came.
func normalized(path string) string {
	if strings.IndexByte(path, '%') < 0 && !strings.Contains(path, "/.") {
		return path
	}
	return withoutDots(unescaped(path))
}

// unescaped resolves the escapes of unreserved characters.
func unescaped(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			high, low := unhex(path[i+1]), unhex(path[i+2])
			if c := byte(high<<4 | low); high >= 0 && low >= 0 && unreserved(c) {
				out.WriteByte(c)
				i += 2
				continue
			}
		}
		out.WriteByte(path[i])
	}
	return out.String()
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// withoutDots removes dot segments (RFC 3986, section 5.2.4) of an absolute
// path, and keeps empty ones.
func withoutDots(path string) string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	kept := segments[:0]
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "") // the slash before the dots stays
		}
	}
	return "/" + strings.Join(kept, "/")
}
