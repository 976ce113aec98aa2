package rule

import (
	"errors"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

func TestParseRegex(t *testing.T) {
	for _, s := range []string{`^/api/v[0-9]+/(.*)$`, `(?i)abc`, `\\p`, `[[:alpha:]]\d\w`, `a{3,5}?`, `^([^?]*)`} {
		if _, err := ParseRegex(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		`(?=a)`, `(?!a)`, `(?<=a)`, `(a)\1`, `(?>a)`, `a++`, `(?1)`, `(?R)`, `\p{L}`, `\PN`, `(`, `a{1001}`,
		strings.Repeat(`.{900}`, 20), `((((a{10}){10}){10}){10}){10}`,
	} {
		if _, err := ParseRegex(s); err == nil {
			t.Errorf("%s is taken", s)
		}
	}
}

func TestNormalized(t *testing.T) {
	for in, want := range map[string]string{
		"/a/b": "/a/b", "/%61%2Fb%7e": "/a%2Fb~", "/x/../admin/": "/admin/", "/x/%2e%2E/admin": "/admin",
		"/../../a": "/a", "/a/.": "/a/", "/a/..": "/", "/.": "/", "/a//b/./c": "/a//b/c", "/a%": "/a%", "/a%4": "/a%4", "/a%zz": "/a%zz",
		"/.well-known/x": "/.well-known/x", "/a/...": "/a/...", "/*": "/*",
	} {
		if got := normalized(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestTransform(t *testing.T) {
	host := func(regex, replace string) config.Rule {
		return config.Rule{HostRewrite: &config.Rewrite{Regex: regex, Replace: replace}}
	}
	url := func(regex, replace string) config.Rule {
		return config.Rule{URLRewrite: &config.Rewrite{Regex: regex, Replace: replace}}
	}
	for _, c := range []struct {
		rule config.Rule
		want string // host and URL
	}{
		{config.Rule{}, "Shop.Example.com:8080 /shop/Cart?version=V1&flag&q=a%20b"},
		// The user guide's examples.
		{host(`^mywebsite-(.+).com$`, "internal.dev.$1.myweb.com"), "Shop.Example.com:8080 /shop/Cart?version=V1&flag&q=a%20b"},
		{host(`^shop\.(.+)\.com:\d+$`, "internal.dev.$1.myweb.com"), "internal.dev.Example.myweb.com /shop/Cart?version=V1&flag&q=a%20b"},
		{host(`.*`, "inner.example"), "inner.example /shop/Cart?version=V1&flag&q=a%20b"},
		{url(`^/shop/([A-Za-z0-9]+)/?$`, "/product.php?id=$1"), "Shop.Example.com:8080 /shop/Cart?version=V1&flag&q=a%20b"},
		{url(`^/shop/([A-Za-z0-9]+)\?version=(\w+)`, "/product.php?id=$1&v=$2"), "Shop.Example.com:8080 /product.php?id=Cart&v=V1&flag&q=a%20b"},
		// A part is replaced, and the rest stays.
		{url(`^([^?]*)`, "/new"), "Shop.Example.com:8080 /new?version=V1&flag&q=a%20b"},
		{url(`(^/shop(/)?)`, "/cat$2"), "Shop.Example.com:8080 /cat/Cart?version=V1&flag&q=a%20b"},
		{url(`a`, "$$0x$"), "Shop.Example.com:8080 /shop/C$ax$rt?version=V1&flag&q=a%20b"},
		{url(`\?.*`, ""), "Shop.Example.com:8080 /shop/Cart"},
		{url(`(x)?/shop`, "$1/s"), "Shop.Example.com:8080 /s/Cart?version=V1&flag&q=a%20b"},
		{url(`^/`, ""), ""},
		{url(`^/`, "http://other/"), ""},
		{url(`^/shop`, "/a b"), ""},
		{url(`^/shop`, "/a\r\nX: y"), ""},
		{url(`shop`, "#"), ""},
		{url(`shop`, strings.Repeat("x", maxURL)), ""},
		{host(`^.*$`, ""), ""},
		{host(`^.*$`, "a/b"), ""},
		{host(`^.*$`, "a\r\nX: y"), ""},
	} {
		transform, err := NewTransform(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		r := request()
		got, _, err := transform.Apply(r)
		if c.want == "" {
			if !errors.Is(err, ErrTransform) || got != r {
				t.Errorf("%+v: %+v, %v", c.rule, got, err)
			}
			continue
		}
		if err != nil || whole(got) != c.want || whole(r) != whole(request()) {
			t.Errorf("%+v%+v: %q, %v", c.rule.HostRewrite, c.rule.URLRewrite, whole(got), err)
		}
	}
	if _, err := NewTransform(url(`(a)`, "$2")); err == nil {
		t.Error("a group that is not there was taken")
	}
}

func whole(r *message.Request) string {
	url := r.Path
	if r.Query != "" {
		url += "?" + r.Query
	}
	return r.Host + " " + url
}

// No dots lead out of a normalised path.
func FuzzNormalized(f *testing.F) {
	f.Add("/a/../%2e%2E/b//./c/..")
	f.Add("/%252e/%")
	f.Fuzz(func(t *testing.T, path string) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		once := normalized(path)
		if !strings.HasPrefix(once, "/") || strings.Contains(once+"/", "/../") || strings.Contains(once+"/", "/./") {
			t.Errorf("%q becomes %q", path, once)
		}
	})
}

// Whatever an expression and a replacement make is a request that can be sent.
func FuzzTransform(f *testing.F) {
	f.Add(`^/v(\d)/(.*)`, "/$2?v=$1", "/v1/a%20b", "x=1")
	f.Add(`.*`, "$0\r\n", "/", "")
	f.Fuzz(func(t *testing.T, regex, replace, path, query string) {
		if len(regex) > 128 || len(path) > 256 || !validURL(path) || strings.Contains(path, "?") || !visible(query) || strings.Contains(query, "#") || CheckRewrite(regex, replace) != nil {
			return
		}
		transform, err := NewTransform(config.Rule{URLRewrite: &config.Rewrite{Regex: regex, Replace: replace}})
		if err != nil {
			t.Fatal(err)
		}
		r := &message.Request{Path: path, Query: query}
		out, _, err := transform.Apply(r)
		if err == nil && !validURL(whole(out)[1:]) {
			t.Errorf("%q", whole(out))
		}
	})
}
