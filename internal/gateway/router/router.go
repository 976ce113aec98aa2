// Package router finds the route of a request. It is compiled once per
// configuration; a look-up visits each node of the tree at most once and
// allocates nothing but the parameters.
package router

import (
	"net/url"
	"strings"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
)

// Rule says how the two kinds of API choose among routes that match.
type Rule int

const (
	// ResourceFirst is the rule of REST APIs: at each segment a literal goes
	// before a parameter and that before a greedy one; the method is looked up
	// in the resource that was found, and only there. A slash at the end is
	// ignored.
	ResourceFirst Rule = iota
	// RouteFirst is the rule of HTTP APIs: only routes that have the method
	// are considered; a full match goes before every greedy one, and that
	// before the default route.
	RouteFirst
)

// Router finds routes by method and path. It is immutable.
type Router struct {
	rule     Rule
	root     *node
	fallback int // index of the default route; -1 if there is none
	names    [][]string
}

type node struct {
	literals map[string]*node
	param    *node
	greedy   methods
	leaf     methods
}

// methods are the routes that end at one place, by method.
type methods map[string]int

// Match is a route that was found.
type Match struct {
	// Route is its index in the slice given to New; -1 if nothing was found.
	Route int
	// Names and Values are its path parameters. Values are as on the wire,
	// still escaped.
	Names, Values []string
	// Greedy tells that the last value may span segments. It is the whole path
	// without the first slash for the default route.
	Greedy bool
}

// New compiles routes. Of two with the same method and path the later one
// counts.
func New(rule Rule, routes []config.Route) *Router {
	r := &Router{rule: rule, root: &node{}, fallback: -1, names: make([][]string, len(routes))}
	for i := range routes {
		if routes[i].Path == config.DefaultRoute {
			r.fallback = i
			continue
		}
		r.add(i, &routes[i])
	}
	return r
}

func (r *Router) add(index int, route *config.Route) {
	at := r.root
	greedy := false
	for _, segment := range appendSegments(nil, route.Path) {
		name, isParam := strings.CutPrefix(segment, "{")
		switch {
		case isParam && strings.HasSuffix(name, "+}"):
			greedy = true
			r.names[index] = append(r.names[index], strings.TrimSuffix(name, "+}"))
		case isParam && strings.HasSuffix(name, "}"):
			r.names[index] = append(r.names[index], strings.TrimSuffix(name, "}"))
			if at.param == nil {
				at.param = &node{}
			}
			at = at.param
		default:
			if at.literals == nil {
				at.literals = map[string]*node{}
			}
			literal := decode(segment)
			if at.literals[literal] == nil {
				at.literals[literal] = &node{}
			}
			at = at.literals[literal]
		}
	}
	place := &at.leaf
	if greedy {
		place = &at.greedy
	}
	if *place == nil {
		*place = methods{}
	}
	(*place)[route.Method] = index
}

// Find looks up a path as on the wire, beginning with "/", without the stage.
// The match's values are appended to those given.
func (r *Router) Find(method, path string, values []string) Match {
	var few [16]string // as many as most paths have
	s := search{router: r, method: method, segments: appendSegments(few[:0], path), values: &values}
	if r.rule == RouteFirst {
		if s.walk(r.root, 0, false) || s.walk(r.root, 0, true) {
			return s.match()
		}
		if r.fallback >= 0 {
			return Match{Route: r.fallback, Values: append(values, strings.TrimPrefix(path, "/")), Greedy: true}
		}
		return Match{Route: -1}
	}
	if s.walk(r.root, 0, true) {
		return s.match()
	}
	return Match{Route: -1}
}

// search is the state of one look-up.
type search struct {
	router   *Router
	method   string
	segments []string
	values   *[]string // apart, so that the segments need not be allocated
	found    methods
	greedy   bool
}

// walk descends from a node at the i-th segment and stops at the first place
// that takes the request.
func (s *search) walk(n *node, i int, greedy bool) bool {
	if s.ends(i) && s.takes(n.leaf) {
		s.found, s.greedy = n.leaf, false
		return true
	}
	if i == len(s.segments) {
		return false
	}
	segment := s.segments[i]
	if next := n.literals[decode(segment)]; next != nil && s.walk(next, i+1, greedy) {
		return true
	}
	if n.param != nil && segment != "" {
		*s.values = append(*s.values, segment)
		if s.walk(n.param, i+1, greedy) {
			return true
		}
		*s.values = (*s.values)[:len(*s.values)-1]
	}
	if greedy && s.takes(n.greedy) {
		if rest := strings.Join(s.segments[i:], "/"); rest != "" {
			*s.values = append(*s.values, rest)
			s.found, s.greedy = n.greedy, true
			return true
		}
	}
	return false
}

// ends tells whether the path ends before the i-th segment.
func (s *search) ends(i int) bool {
	left := s.segments[i:]
	return len(left) == 0 || s.router.rule == ResourceFirst && len(left) == 1 && left[0] == ""
}

// takes tells whether a place takes the request by the router's rule.
func (s *search) takes(m methods) bool {
	if s.router.rule == ResourceFirst {
		return len(m) > 0
	}
	_, ok := m.choose(s.method)
	return ok
}

func (s *search) match() Match {
	index, ok := s.found.choose(s.method)
	if !ok {
		return Match{Route: -1}
	}
	return Match{Route: index, Names: s.router.names[index], Values: *s.values, Greedy: s.greedy}
}

// choose prefers the method itself to ANY.
func (m methods) choose(method string) (int, bool) {
	if i, ok := m[method]; ok {
		return i, true
	}
	i, ok := m[config.AnyMethod]
	return i, ok
}

// appendSegments appends the segments of a path. The root has none.
func appendSegments(segments []string, path string) []string {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return segments
	}
	for {
		segment, rest, more := strings.Cut(path, "/")
		segments = append(segments, segment)
		if path = rest; !more {
			return segments
		}
	}
}

// decode unescapes a segment, so that no spelling of a literal is taken for
// something else. What can't be unescaped stays as it is.
func decode(segment string) string {
	if strings.IndexByte(segment, '%') < 0 {
		return segment
	}
	if decoded, err := url.PathUnescape(segment); err == nil {
		return decoded
	}
	return segment
}
