package router

import "strings"

// Climbs tells whether an escaped piece of a path leads above the place where
// it is put, however its dots and slashes are written ("..", "%2e%2e",
// "a/../..", "..%2f", "..%5c"): a backend would resolve it to something that
// the route did not mean to give. A single segment that is a dot segment
// climbs too if it is not allowed to span segments.
func Climbs(piece string, spans bool) bool {
	if strings.IndexByte(piece, '.') < 0 && strings.IndexByte(piece, '%') < 0 {
		return false
	}
	depth := 0
	decoded := decode(piece)
	if decoded == piece && strings.IndexByte(piece, '%') >= 0 {
		return true // not unescapable: what a backend makes of it is unknown
	}
	segments := strings.FieldsFunc(decoded, func(r rune) bool { return r == '/' || r == '\\' })
	for _, segment := range segments {
		// Some servers cut parameters off before they resolve ("..;x").
		segment, _, _ = strings.Cut(segment, ";")
		switch segment {
		case ".":
			if !spans {
				return true
			}
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return true
		}
	}
	return false
}

// Climbs tells whether a parameter of the match leads out of the route.
func (m *Match) Climbs() bool {
	for i, value := range m.Values {
		if Climbs(value, m.Greedy && i == len(m.Values)-1) {
			return true
		}
	}
	return false
}
