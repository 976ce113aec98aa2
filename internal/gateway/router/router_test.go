package router

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
)

func routes(keys ...string) []config.Route {
	var rs []config.Route
	for _, key := range keys {
		method, path, ok := strings.Cut(key, " ")
		if !ok {
			method, path = config.AnyMethod, key
		}
		rs = append(rs, config.Route{Key: key, Method: method, Path: path})
	}
	return rs
}

func TestFindHTTP(t *testing.T) {
	// The example of the developer guide, and what it leaves open.
	rs := routes("GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default",
		"GET /a/{proxy+}", "GET /{x}/b", "GET /", "ANY /both/{id}", "POST /both/{other}")
	r := New(RouteFirst, rs)
	for _, tt := range []struct{ method, path, key, values string }{
		{"GET", "/pets/dog/1", "GET /pets/dog/1", ""},
		{"GET", "/pets/dog/2", "GET /pets/dog/{id}", "2"},
		{"GET", "/pets/cat/1", "GET /pets/{proxy+}", "cat/1"},
		{"POST", "/test/5", "ANY /{proxy+}", "test/5"},
		{"POST", "/pets/dog/1", "ANY /{proxy+}", "pets/dog/1"},
		{"GET", "/a/b", "GET /{x}/b", "a"}, // a full match goes before a greedy one
		{"GET", "/", "GET /", ""},
		{"POST", "/", "$default", ""},
		{"GET", "", "GET /", ""},
		{"GET", "/pets/dog/", "GET /pets/{proxy+}", "dog/"},
		{"GET", "/pets//1", "GET /pets/{proxy+}", "/1"},
		{"GET", "/p%65ts/dog/1", "GET /pets/dog/1", ""},
		{"GET", "/pets/dog/a%2Fb", "GET /pets/dog/{id}", "a%2Fb"},
		{"GET", "/pets%2Fdog/1", "ANY /{proxy+}", "pets%2Fdog/1"},
		{"GET", "/both/1", "ANY /both/{id}", "1"},
		{"POST", "/both/1", "POST /both/{other}", "1"},
	} {
		m := r.Find(tt.method, tt.path, nil)
		if m.Route < 0 {
			t.Errorf("%s %s: not found", tt.method, tt.path)
			continue
		}
		if got := rs[m.Route].Key; got != tt.key || strings.Join(m.Values, "|") != tt.values {
			t.Errorf("%s %s: %s %q, want %s %q", tt.method, tt.path, got, m.Values, tt.key, tt.values)
		}
	}
	if m := New(RouteFirst, routes("GET /pets")).Find("GET", "/pets/", nil); m.Route >= 0 {
		t.Error("a slash at the end was ignored in an HTTP API")
	}
}

func TestFindREST(t *testing.T) {
	rs := routes("GET /pets", "GET /pets/{id}", "ANY /pets/{id}/{rest+}", "ANY /{proxy+}", "GET /pets/mine", "POST /")
	r := New(ResourceFirst, rs)
	for _, tt := range []struct{ method, path, key string }{
		{"GET", "/pets", "GET /pets"},
		{"GET", "/pets/", "GET /pets"},
		{"GET", "/pets/1", "GET /pets/{id}"},
		{"GET", "/pets/mine", "GET /pets/mine"},
		{"POST", "/pets", ""}, // the resource is found, its method is not
		{"POST", "/pets/1", ""},
		{"POST", "/pets/1/2/3", "ANY /pets/{id}/{rest+}"},
		{"POST", "/other", "ANY /{proxy+}"},
		{"POST", "/", "POST /"},
		{"POST", "", "POST /"},
		{"GET", "/", ""},
	} {
		got := ""
		if m := r.Find(tt.method, tt.path, nil); m.Route >= 0 {
			got = rs[m.Route].Key
		}
		if got != tt.key {
			t.Errorf("%s %s: %q, want %q", tt.method, tt.path, got, tt.key)
		}
	}
}

// class orders the kinds of segment from the most specific one.
func class(segment string) int {
	switch {
	case strings.HasSuffix(segment, "+}"):
		return 2
	case strings.HasPrefix(segment, "{"):
		return 1
	}
	return 0
}

// naive finds a route by trying all of them and sorting what matches.
func naive(rule Rule, rs []config.Route, method, path string) int {
	type candidate struct {
		index  int
		greedy bool
		class  []int
	}
	var found []candidate
	parts := slices.Collect(segments(path))
	for i, r := range rs {
		if r.Path == config.DefaultRoute {
			continue
		}
		if rule == RouteFirst && r.Method != method && r.Method != config.AnyMethod {
			continue
		}
		c := candidate{index: i}
		pattern := slices.Collect(segments(r.Path))
		ok := true
		for j, p := range pattern {
			k := class(p)
			c.class = append(c.class, k)
			if k == 2 {
				c.greedy = true
				ok = ok && j < len(parts) && strings.Join(parts[j:], "/") != ""
				break
			}
			if j >= len(parts) {
				ok = false
				break
			}
			decoded, _ := url.PathUnescape(parts[j])
			if k == 0 && decoded != p || k == 1 && parts[j] == "" {
				ok = false
				break
			}
		}
		left := len(parts) - len(pattern)
		if rule == ResourceFirst && left == 1 && parts[len(parts)-1] == "" {
			left = 0
		}
		if ok && (c.greedy || left == 0) {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return slices.IndexFunc(rs, func(r config.Route) bool { return rule == RouteFirst && r.Path == config.DefaultRoute })
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		if rule == RouteFirst && a.greedy != b.greedy {
			if a.greedy {
				return 1
			}
			return -1
		}
		if c := slices.Compare(a.class, b.class); c != 0 {
			return c
		}
		return 0
	})
	best := found[0]
	for _, c := range found {
		if slices.Equal(c.class, best.class) {
			m := rs[c.index].Method
			if m == method {
				return c.index
			}
			if m == config.AnyMethod {
				best = c
			}
		}
	}
	if m := rs[best.index].Method; m != method && m != config.AnyMethod {
		return -1
	}
	return best.index
}

func TestFindAgreesWithNaiveSearch(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "c"})
	pattern := rapid.Custom(func(t *rapid.T) string {
		var parts []string
		for range rapid.IntRange(0, 4).Draw(t, "depth") {
			parts = append(parts, rapid.SampledFrom([]string{"a", "b", "{x}"}).Draw(t, "part"))
		}
		if rapid.IntRange(0, 3).Draw(t, "greedy") == 0 {
			parts = append(parts, "{p+}")
		}
		return "/" + strings.Join(parts, "/")
	})
	method := rapid.SampledFrom([]string{"GET", "POST", config.AnyMethod})
	rapid.Check(t, func(t *rapid.T) {
		var rs []config.Route
		seen := map[string]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "routes") {
			r := config.Route{Method: method.Draw(t, "method"), Path: pattern.Draw(t, "pattern")}
			if r.Key = r.Method + " " + r.Path; !seen[r.Key] {
				seen[r.Key] = true
				rs = append(rs, r)
			}
		}
		if rapid.Bool().Draw(t, "default") {
			rs = append(rs, config.Route{Method: config.AnyMethod, Path: config.DefaultRoute, Key: "$default"})
		}
		slices.SortFunc(rs, func(a, b config.Route) int { return cmp.Compare(a.Key, b.Key) })
		path := "/" + strings.Join(rapid.SliceOfN(rapid.OneOf(segment, segment, rapid.SampledFrom([]string{"", "%61", "a%2Fb", ".."})), 0, 5).Draw(t, "path"), "/")
		verb := rapid.SampledFrom([]string{"GET", "POST", "PUT"}).Draw(t, "verb")
		for _, rule := range []Rule{ResourceFirst, RouteFirst} {
			want := naive(rule, rs, verb, path)
			if got := New(rule, rs).Find(verb, path, nil).Route; got != want {
				name := func(i int) string {
					if i < 0 {
						return "nothing"
					}
					return rs[i].Key
				}
				t.Fatalf("rule %d, %s %s: found %s, want %s", rule, verb, path, name(got), name(want))
			}
		}
	})
}

func TestClimbs(t *testing.T) {
	for _, tt := range []struct {
		piece string
		spans bool
		want  bool
	}{
		{"a", false, false}, {"a.b", false, false}, {"...", false, false}, {"a%20b", false, false},
		{"..", true, true}, {".", false, true}, {".", true, false}, {"%2e%2e", true, true}, {".%2E", false, true},
		{"a/../b", true, false}, {"a/../../b", true, true}, {"a%2f..%2f..%2fb", false, true},
		{"..%5cb", true, true}, {"a/b/../..", true, false}, {"..;x/b", true, true}, {"a%zz", true, true},
		{"%252e%252e", true, false}, {"a//../..", true, true},
	} {
		if got := Climbs(tt.piece, tt.spans); got != tt.want {
			t.Errorf("Climbs(%q, %v) = %v", tt.piece, tt.spans, got)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, path := range []string{"/", "//", "/a/../b", "/a%2f..", "/%", "/a/b/c/", "/pets/%2e%2e/x"} {
		f.Add("GET", path)
	}
	rs := routes("GET /a", "ANY /a/{x}", "GET /a/{x}/b", "POST /{p+}", "GET /files/{p+}", "$default")
	routers := []*Router{New(ResourceFirst, rs), New(RouteFirst, rs)}
	f.Fuzz(func(t *testing.T, method, path string) {
		for rule, r := range routers {
			m := r.Find(method, path, nil)
			if m.Route < 0 {
				continue
			}
			if len(m.Values) != len(m.Names) && rs[m.Route].Path != config.DefaultRoute {
				t.Fatalf("rule %d: %d values for %d names", rule, len(m.Values), len(m.Names))
			}
			// Put back into the pattern, the values give the path again.
			if rs[m.Route].Path == config.DefaultRoute || strings.Contains(path, "%") {
				continue
			}
			rebuilt := rs[m.Route].Path
			for i, name := range m.Names {
				rebuilt = strings.NewReplacer("{"+name+"}", m.Values[i], "{"+name+"+}", m.Values[i]).Replace(rebuilt)
			}
			if strings.Contains(strings.Join(m.Values, ""), "{") {
				continue
			}
			if want := "/" + strings.TrimPrefix(path, "/"); rebuilt != want && rebuilt+"/" != want {
				t.Fatalf("rule %d: %q matched %q with %q", rule, path, rs[m.Route].Path, m.Values)
			}
			// Nothing that resolves to a place above passes.
			if !m.Climbs() && m.Greedy {
				if strings.HasPrefix(resolve(m.Values[len(m.Values)-1]), "..") {
					t.Fatalf("%q climbs by %q", path, m.Values)
				}
			}
		}
	})
}

// resolve removes dot segments, keeping those that lead above.
func resolve(piece string) string {
	var out []string
	for _, s := range strings.Split(piece, "/") {
		switch {
		case s == "" || s == ".":
		case s == ".." && len(out) > 0 && out[len(out)-1] != "..":
			out = out[:len(out)-1]
		default:
			out = append(out, s)
		}
	}
	if len(out) > 0 && out[0] != ".." {
		return strings.Join(out, "/")
	}
	if len(out) > 0 && out[0] == ".." {
		return ".."
	}
	return ""
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{10, 300} {
		var keys []string
		for i := range n {
			keys = append(keys, "GET /service"+string(rune('a'+i%26))+"/"+strings.Repeat("x", i/26)+"/{id}")
		}
		r := New(ResourceFirst, routes(keys...))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Find("GET", "/servicea//42", nil)
			}
		})
	}
}
