// Package router finds the route of a request. It is compiled once per
// configuration; a look-up visits each node of the tree at most twice and
// allocates nothing but the parameters.
package router

import (
	"iter"
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
}

type node struct {
	literals literals
	param    *node
	greedy   place
	leaf     place
}

// literals are the nodes behind one whose segment is a text. Most have one at
// most, which is found without a map.
type literals struct {
	text string
	only *node
	more map[string]*node // all of them, if there are several
}

// place holds the routes that end there: few, with a method each.
type place []route

type route struct {
	method string
	index  int
	names  []string // of its path parameters
}

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
	r := &Router{rule: rule, root: &node{}, fallback: -1}
	for i := range routes {
		if routes[i].Path == config.DefaultRoute {
			r.fallback = i
			continue
		}
		r.add(i, &routes[i])
	}
	return r
}

func (r *Router) add(index int, added *config.Route) {
	at := r.root
	greedy := false
	var names []string
	for segment := range segments(added.Path) {
		name, isParam := strings.CutPrefix(segment, "{")
		switch {
		case isParam && strings.HasSuffix(name, "+}"):
			greedy = true
			names = append(names, strings.TrimSuffix(name, "+}"))
		case isParam && strings.HasSuffix(name, "}"):
			names = append(names, strings.TrimSuffix(name, "}"))
			if at.param == nil {
				at.param = &node{}
			}
			at = at.param
		default:
			at = at.literals.add(decode(segment))
		}
	}
	end := &at.leaf
	if greedy {
		end = &at.greedy
	}
	end.add(route{added.Method, index, names})
}

// add returns the node behind a text, which may be there already.
func (l *literals) add(text string) *node {
	if n := l.get(text); n != nil {
		return n
	}
	n := &node{}
	switch {
	case l.only == nil:
		l.text, l.only = text, n
		return n
	case l.more == nil:
		l.more = map[string]*node{l.text: l.only}
	}
	l.more[text] = n
	return n
}

// get returns the node behind a text; nil if there is none.
func (l *literals) get(text string) *node {
	if l.more != nil {
		return l.more[text]
	}
	if l.only != nil && l.text == text {
		return l.only
	}
	return nil
}

func (p *place) add(r route) {
	for i := range *p {
		if (*p)[i].method == r.method {
			(*p)[i] = r
			return
		}
	}
	*p = append(*p, r)
}

// choose prefers the method itself to ANY; nil if the place has neither.
func (p place) choose(method string) (chosen *route) {
	for i := range p {
		switch r := &p[i]; r.method {
		case method:
			return r
		case config.AnyMethod:
			chosen = r
		}
	}
	return chosen
}

// Find looks up a path as on the wire, beginning with "/", without the stage.
// The match's values are appended to those given.
func (r *Router) Find(method, path string, values []string) Match {
	rest := strings.TrimPrefix(path, "/")
	s := search{rule: r.rule, method: method, escaped: strings.IndexByte(path, '%') >= 0, values: values}
	found := false
	if r.rule == RouteFirst {
		found = s.walk(r.root, rest, rest == "", false)
	}
	if !found && !s.walk(r.root, rest, rest == "", true) {
		if r.rule == RouteFirst && r.fallback >= 0 {
			return Match{Route: r.fallback, Values: append(values, rest), Greedy: true}
		}
		return Match{Route: -1}
	}
	if s.found == nil {
		return Match{Route: -1} // the resource has other methods
	}
	return Match{Route: s.found.index, Names: s.found.names, Values: s.values, Greedy: s.greedy}
}

// search is the state of one look-up.
type search struct {
	rule    Rule
	method  string
	escaped bool // something in the path is
	values  []string
	found   *route
	greedy  bool
}

// walk descends from a node with what is left of the path, unless that has
// ended, and stops at the first place that takes the request.
func (s *search) walk(n *node, path string, ended, greedy bool) bool {
	if (ended || s.rule == ResourceFirst && path == "") && s.takes(n.leaf, false) {
		return true
	}
	if ended {
		return false
	}
	segment, rest, more := strings.Cut(path, "/")
	literal := segment
	if s.escaped {
		literal = decode(segment)
	}
	if next := n.literals.get(literal); next != nil && s.walk(next, rest, !more, greedy) {
		return true
	}
	if n.param != nil && segment != "" {
		s.values = append(s.values, segment)
		if s.walk(n.param, rest, !more, greedy) {
			return true
		}
		s.values = s.values[:len(s.values)-1]
	}
	if greedy && path != "" && s.takes(n.greedy, true) {
		s.values = append(s.values, path)
		return true
	}
	return false
}

// takes tells whether a place takes the request by the router's rule.
func (s *search) takes(p place, greedy bool) bool {
	if len(p) == 0 {
		return false
	}
	chosen := p.choose(s.method)
	if chosen == nil && s.rule == RouteFirst {
		return false
	}
	s.found, s.greedy = chosen, greedy
	return true
}

// segments are those of a path. The root has none.
func segments(path string) iter.Seq[string] {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(path, "/")
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
