package health

import (
	"fmt"
	"strconv"
	"strings"
)

// Matcher is a set of HTTP status codes.
type Matcher []codeRange

type codeRange struct{ from, to int }

// ParseMatcher reads success codes in the form of a target group's Matcher:
// codes and ranges of codes from 200 to 599, separated by commas, such as
// "200,202,300-399".
func ParseMatcher(s string) (Matcher, error) {
	var m Matcher
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, okFrom := parseCode(low)
		to, okTo := parseCode(high)
		if !okFrom || !okTo || from > to {
			return nil, fmt.Errorf("parse matcher %q: %q is neither a code nor a range of codes within 200-599", s, part)
		}
		m = append(m, codeRange{from, to})
	}
	return m, nil
}

// Match reports whether code is in the set.
func (m Matcher) Match(code int) bool {
	for _, r := range m {
		if r.from <= code && code <= r.to {
			return true
		}
	}
	return false
}

// Highest is the greatest code of the set.
func (m Matcher) Highest() (code int) {
	for _, r := range m {
		code = max(code, r.to)
	}
	return code
}

func parseCode(s string) (int, bool) {
	if len(s) != 3 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	code, err := strconv.Atoi(s)
	return code, err == nil && code >= 200 && code <= 599
}
