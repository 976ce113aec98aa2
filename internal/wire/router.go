package wire

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// A router finds the REST operation of a method and path.
type router struct {
	routes map[string][]*route // by method, the most specific first
}

type route struct {
	op       *operation
	segments []segment
	query    url.Values // must be present with these values
}

// A segment is literal text or a label. A greedy label takes any number of
// segments, at least one.
type segment struct {
	text   string // or the label's name
	label  bool
	greedy bool
}

func newRouter(apis []*api) *router {
	r := &router{routes: make(map[string][]*route)}
	for _, a := range apis {
		for _, op := range a.operations {
			r.routes[op.http.Method] = append(r.routes[op.http.Method], newRoute(op))
		}
	}
	for _, routes := range r.routes {
		slices.SortFunc(routes, compareRoutes)
	}
	return r
}

func newRoute(op *operation) *route {
	path, query, _ := strings.Cut(op.http.RequestURI, "?")
	rt := &route{op: op}
	rt.query, _ = url.ParseQuery(query) // of the model, so it is well formed
	for _, s := range splitPath(path) {
		name, label := strings.CutPrefix(s, "{")
		name = strings.TrimSuffix(name, "}")
		name, greedy := strings.CutSuffix(name, "+")
		if !label {
			name, greedy = s, false
		}
		rt.segments = append(rt.segments, segment{text: name, label: label, greedy: greedy})
	}
	return rt
}

// compareRoutes puts a literal segment before a label, a label before a greedy
// one, and more query conditions before fewer.
func compareRoutes(a, b *route) int {
	rank := func(s segment) int {
		switch {
		case s.greedy:
			return 2
		case s.label:
			return 1
		}
		return 0
	}
	for i := range min(len(a.segments), len(b.segments)) {
		if c := cmp.Compare(rank(a.segments[i]), rank(b.segments[i])); c != 0 {
			return c
		}
	}
	return cmp.Or(
		cmp.Compare(len(b.segments), len(a.segments)),
		cmp.Compare(len(b.query), len(a.query)),
		cmp.Compare(a.op.name, b.op.name),
	)
}

func splitPath(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// find returns the operation of a request and the values of its path's labels.
// path is still percent-encoded: a label may contain an encoded slash.
func (r *router) find(method, path string, query url.Values) (*operation, map[string]string) {
	segments := splitPath(path)
	for _, rt := range r.routes[method] {
		if labels, ok := rt.match(segments); ok && rt.matchQuery(query) {
			return rt.op, labels
		}
	}
	return nil, nil
}

func (rt *route) match(path []string) (map[string]string, bool) {
	labels := make(map[string]string)
	for i, s := range rt.segments {
		if i >= len(path) {
			return nil, false
		}
		text := path[i]
		if s.greedy {
			// Greedy labels are followed by literal segments only, if at all.
			end := len(path) - (len(rt.segments) - i - 1)
			if end <= i {
				return nil, false
			}
			text = strings.Join(path[i:end], "/")
			path = slices.Concat(path[:i+1], path[end:])
		}
		plain, err := url.PathUnescape(text)
		if err != nil || plain == "" || !s.label && plain != s.text {
			return nil, false
		}
		if s.label {
			labels[s.text] = plain
		}
	}
	return labels, len(path) == len(rt.segments)
}

func (rt *route) matchQuery(query url.Values) bool {
	for k, want := range rt.query {
		if !slices.Equal(query[k], want) {
			return false
		}
	}
	return true
}
