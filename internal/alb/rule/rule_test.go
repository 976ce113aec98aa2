package rule

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		fold, want    bool
	}{
		{"", "", false, true},
		{"", "a", false, false},
		{"*", "", false, true},
		{"*", "anything", false, true},
		{"/img/*", "/img/", false, true},
		{"/img/*", "/img", false, false},
		{"/img/*/pics", "/img/a/b/pics", false, true},
		{"/img/*/pics", "/img/a/b/pics/", false, false},
		{"?", "", false, false},
		{"?", "a", false, true},
		{"?", "ab", false, false},
		{"a?c*e", "abcde", false, true},
		{"*a*a*a*", "aa", false, false},
		{"/A", "/a", false, false},
		{"WWW.*.com", "www.Example.COM", true, true},
		{`\*`, "*", false, true},
		{`\*`, "a", false, false},
		{`a\?`, "a?", false, true},
		{`a\?`, "ab", false, false},
		{`\`, `\`, false, true},
		{`\\*`, `\x`, false, true},
	} {
		p := newPattern(c.pattern, c.fold)
		if got := p.match(c.text); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.text, got)
		}
	}
}

// A pattern means the same as the regular expression that is made of it.
func FuzzPattern(f *testing.F) {
	f.Add("/img/*/p?cs", "/img/a/b/pics", false)
	f.Add(`\**a*?`, "*aab", true)
	f.Add("*a*b*c*", "xaybzc", false)
	f.Fuzz(func(t *testing.T, text, s string, fold bool) {
		if len(text) > 64 || len(s) > 256 || !ascii(text) || !ascii(s) {
			return
		}
		var e strings.Builder
		e.WriteString("(?s")
		if fold {
			e.WriteString("i")
		}
		e.WriteString(")^")
		for i := 0; i < len(text); i++ {
			switch c := text[i]; {
			case c == '*':
				e.WriteString(".*")
			case c == '?':
				e.WriteString(".")
			default:
				if c == '\\' && i+1 < len(text) {
					i++
				}
				e.WriteString(regexp.QuoteMeta(text[i : i+1]))
			}
		}
		e.WriteString("$")
		p := newPattern(text, fold)
		if got, want := p.match(s), regexp.MustCompile(e.String()).MatchString(s); got != want {
			t.Errorf("%q matches %q: %v, want %v", text, s, got, want)
		}
	})
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func request() *message.Request {
	return &message.Request{
		Method: "GET", Path: "/shop/Cart", Query: "version=V1&flag&q=a%20b", Host: "Shop.Example.com:8080",
		Header: message.Header{{Name: "User-Agent", Value: "Mozilla Chrome/1"}, {Name: "X-A", Value: "one"}, {Name: "x-a", Value: "two"}},
		Client: netip.MustParseAddrPort("10.1.2.3:40000"),
	}
}

func TestConditions(t *testing.T) {
	header := func(name string, values ...string) config.Condition {
		return config.Condition{Field: config.HTTPHeader, HeaderName: name, Values: values}
	}
	query := func(pairs ...config.QueryPair) config.Condition {
		return config.Condition{Field: config.QueryString, Query: pairs}
	}
	is := func(f config.Field, values ...string) config.Condition {
		return config.Condition{Field: f, Values: values}
	}
	regex := func(f config.Field, expressions ...string) config.Condition {
		return config.Condition{Field: f, Regex: expressions}
	}
	from := func(cidr string) config.Condition {
		return config.Condition{Field: config.SourceIP, Sources: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix(cidr)}}
	}
	for _, c := range []struct {
		condition config.Condition
		want      bool
	}{
		{is(config.HostHeader, "shop.example.com"), true},
		{is(config.HostHeader, "*.EXAMPLE.com"), true},
		{is(config.HostHeader, "example.com", "other.com"), false},
		{is(config.PathPattern, "/shop/*"), true},
		{is(config.PathPattern, "/shop/cart"), false},
		{is(config.PathPattern, "/other", "/shop/C?rt"), true},
		{is(config.PathPattern, "*version*"), false},
		{is(config.RequestMethod, "POST", "GET"), true},
		{is(config.RequestMethod, "get"), false},
		{is(config.RequestMethod, "*"), false},
		{header("user-agent", "*chrome*"), true},
		{header("User-Agent", "chrome"), false},
		{header("X-A", "TWO"), true},
		{header("X-B", "*"), false},
		{header("Host", "shop.*"), true},
		{regex(config.HostHeader, `^shop\.example\.com:8080$`), true},
		{regex(config.HostHeader, `^other`, `EXAMPLE`), true},
		{regex(config.HostHeader, `^example`), false},
		{regex(config.PathPattern, `^/s[a-z]+/C`), true},
		{regex(config.PathPattern, `^/S`), false},
		{regex(config.PathPattern, `version`), false},
		{config.Condition{Field: config.HTTPHeader, HeaderName: "x-a", Regex: []string{`^t.o$`}}, true},
		{config.Condition{Field: config.HTTPHeader, HeaderName: "x-a", Regex: []string{`^T`}}, false},
		{query(config.QueryPair{Key: "VERSION", Value: "v1"}), true},
		{query(config.QueryPair{Key: "version", Value: "v2"}), false},
		{query(config.QueryPair{Value: "v?"}), true},
		{query(config.QueryPair{Key: "flag", Value: "*"}), true},
		{query(config.QueryPair{Key: "none", Value: "*"}, config.QueryPair{Key: "q", Value: "a%20b"}), true},
		{from("10.1.0.0/16"), true},
		{from("10.2.0.0/16"), false},
	} {
		rules, err := Compile([]config.Rule{{Conditions: []config.Condition{c.condition}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := rules.Find(request()) == 0; got != c.want {
			t.Errorf("%+v: %v", c.condition, got)
		}
	}
}

func TestRulesInOrder(t *testing.T) {
	yes := config.Condition{Field: config.PathPattern, Values: []string{"/shop/*"}}
	no := config.Condition{Field: config.RequestMethod, Values: []string{"POST"}}
	rules, err := Compile([]config.Rule{
		{Conditions: []config.Condition{yes, no}}, {Conditions: []config.Condition{yes}}, {Conditions: []config.Condition{yes}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := rules.Find(request()); got != 1 {
		t.Errorf("rule %d", got)
	}
	if got := rules[:1].Find(request()); got != -1 {
		t.Errorf("rule %d", got)
	}
	if _, err := Compile([]config.Rule{{ARN: "r", Conditions: []config.Condition{{Field: "cookie"}}}}); err == nil {
		t.Error("an unknown condition was compiled")
	}
}

func TestLocation(t *testing.T) {
	same := config.Redirect{StatusCode: 301, Protocol: "#{protocol}", Host: "#{host}", Port: "#{port}", Path: "/#{path}", Query: "#{query}"}
	with := func(change func(*config.Redirect)) config.Redirect {
		d := same
		change(&d)
		return d
	}
	for _, c := range []struct {
		redirect config.Redirect
		want     string
	}{
		{same, "http://Shop.Example.com:8080/shop/Cart?version=V1&flag&q=a%20b"},
		{with(func(d *config.Redirect) { d.Protocol, d.Port = "HTTPS", "443" }), "https://Shop.Example.com:443/shop/Cart?version=V1&flag&q=a%20b"},
		{with(func(d *config.Redirect) { d.Host, d.Path, d.Query = "new.#{host}", "/v2/#{path}/x", "" }), "http://new.Shop.Example.com:8080/v2/shop/Cart/x"},
		{with(func(d *config.Redirect) { d.Query = "a=b&#{query}" }), "http://Shop.Example.com:8080/shop/Cart?a=b&version=V1&flag&q=a%20b"},
		{with(func(d *config.Redirect) { d.Path = "/#{host}#{port}#{protocol}" }), "http://Shop.Example.com:8080/Shop.Example.com8080HTTP?version=V1&flag&q=a%20b"},
	} {
		if got, err := Location(&c.redirect, request(), 8080); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v", c.redirect, got, err)
		}
	}
	// What a request holds is not filled in again.
	r := request()
	r.Path, r.Query = "/#{query}", "secret"
	if got, err := Location(&same, r, 80); err != nil || got != "http://Shop.Example.com:80/#{query}?secret" {
		t.Errorf("%q, %v", got, err)
	}
	r.Host = "[fd00::1]:80"
	if got, err := Location(&same, r, 80); err != nil || !strings.HasPrefix(got, "http://[fd00::1]:80/") {
		t.Errorf("%q, %v", got, err)
	}
	r.Path = "/" + strings.Repeat("x", 8<<10)
	twice := with(func(d *config.Redirect) { d.Path = "/#{path}#{path}" })
	if _, err := Location(&twice, r, 80); err == nil {
		t.Error("a location of any length was made")
	}
}
