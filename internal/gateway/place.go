package gateway

import (
	"fmt"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/mapping"
	"github.com/isthmus-net/isthmus/internal/gateway/router"
	"github.com/isthmus-net/isthmus/internal/http1"
)

// place is a text with "{name}" places, which are filled per request.
type place []placePart

type placePart struct{ text, name string } // one of them

func parsePlace(text string) (place, error) {
	var p place
	for text != "" {
		before, after, found := strings.Cut(text, "{")
		if before != "" {
			p = append(p, placePart{text: before})
		}
		if !found {
			break
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed || name == "" {
			return nil, fmt.Errorf("parse uri: no name in braces at %q", after)
		}
		p = append(p, placePart{name: strings.TrimSuffix(name, "+")})
		text = rest
	}
	return p, nil
}

// errClimbs is answered as a bad request: the client is at fault.
var errClimbs = fmt.Errorf("a value for the uri leads out of its place by dot segments")

// fill fills the places with values, which are escaped for where they are put.
func (p place) fill(t *http1.Texts, value func(name string) (string, bool)) (string, error) {
	if len(p) == 0 {
		return "", nil
	}
	if len(p) == 1 && p[0].name == "" {
		return p[0].text, nil
	}
	var few [8]string
	filled := few[:0]
	for _, part := range p {
		if part.name == "" {
			filled = append(filled, part.text)
			continue
		}
		v, ok := value(part.name)
		if !ok {
			return "", fmt.Errorf("fill uri: nothing is mapped to {%s}", part.name)
		}
		filled = append(filled, v)
	}
	return t.Join(filled...), nil
}

// fillHost fills the places of a host name with values that may be part of
// one.
func (p place) fillHost(t *http1.Texts, value func(name string) (string, bool)) (string, error) {
	return p.fill(t, func(name string) (string, bool) {
		v, ok := value(name)
		if !ok || v == "" || strings.ContainsFunc(v, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.')
		}) {
			return "", false
		}
		return v, true
	})
}

// pathValue is the escaped form of a mapped value for a path. A path parameter
// keeps the client's spelling; other values of the client fill one segment.
func pathValue(s mapping.Source, v mapping.Values) (string, error) {
	if name, ok := s.PathParameter(); ok {
		raw, _ := v.RawPathParameter(name)
		return raw, nil // the router has checked that it does not climb
	}
	value, _ := s.Value(v)
	escaped := escapePath(value, s.Trusted())
	if !s.Trusted() && router.Climbs(escaped, false) {
		return "", errClimbs
	}
	return escaped, nil
}

const upperHex = "0123456789ABCDEF"

// escapePath escapes what may not stand in a path, and slashes unless they are
// to be kept.
func escapePath(s string, slashes bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0, c == '/' && slashes:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}
