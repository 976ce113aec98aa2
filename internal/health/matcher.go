package health

import (
	"fmt"
	"strconv"
	"strings"
)

// Matcher is a set of status codes of HTTP, or of gRPC.
type Matcher []codeRange

type codeRange struct{ from, to int }

// ParseMatcher reads success codes in the form of a target group's Matcher:
// codes and ranges of codes from 200 to 599, separated by commas, such as
// "200,202,300-399".
func ParseMatcher(s string) (Matcher, error) { return parseMatcher(s, 200, 599) }

// ParseGRPCMatcher is ParseMatcher for codes of gRPC, from 0 to 99.
func ParseGRPCMatcher(s string) (Matcher, error) { return parseMatcher(s, 0, 99) }

func parseMatcher(s string, least, most int) (Matcher, error) {
	var m Matcher
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, okFrom := parseCode(low, least, most)
		to, okTo := parseCode(high, least, most)
		if !okFrom || !okTo || from > to {
			return nil, fmt.Errorf("parse matcher %q: %q is neither a code nor a range of codes within %d-%d", s, part, least, most)
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

func parseCode(s string, least, most int) (int, bool) {
	if len(s) > 3 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	code, err := strconv.Atoi(s)
	return code, err == nil && code >= least && code <= most
}
