package policy

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// naive is match as one would write it down: try everything.
func naive(tokens []token, s []rune) bool {
	if len(tokens) == 0 {
		return len(s) == 0
	}
	t := tokens[0]
	if t.kind == run && naive(tokens[1:], s) {
		return true
	}
	if len(s) == 0 || t.confined && s[0] == ':' || t.kind == literal && t.r != s[0] {
		return false
	}
	if t.kind == run {
		return naive(tokens, s[1:])
	}
	return naive(tokens[1:], s[1:])
}

// compilers are the ways to make tokens of a pattern.
var compilers = map[string]func(string) (pattern, error){
	"string":   func(s string) (pattern, error) { return compile(s, syntax{wildcards: true}) },
	"arn":      func(s string) (pattern, error) { return compileARN(s, syntax{wildcards: true}, false) },
	"resource": func(s string) (pattern, error) { return compileResource(s, syntax{wildcards: true}) },
}

func compareMatchers(t interface{ Errorf(string, ...any) }, text, s string) {
	for name, compile := range compilers {
		p, err := compile(text)
		if err != nil {
			t.Errorf("compile %s %q: %v", name, text, err)
			continue
		}
		if got, want := match(p.tokens, s), naive(p.tokens, []rune(s)); got != want {
			t.Errorf("match %s %q with %q: got %v, want %v", name, text, s, got, want)
		}
	}
}

func TestMatchIsNaiveMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.SampledFrom([]rune("ab:*?")), 0, 10, -1).Draw(t, "pattern")
		strings := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune("ab:")), 0, 10, -1), 50, 50)
		for _, s := range strings.Draw(t, "strings") {
			compareMatchers(t, pattern, s)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("arn:aws:*:*:x/*", "arn:aws:a:b:c:x/y")
	f.Add("a*b?*:c*", "aabb:::c")
	f.Add("*?*?*", "é\xff")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 16 {
			return // the naive matcher takes exponential time
		}
		compareMatchers(t, pattern, s)
	})
}

// TestMatchDoesNotBlowUp gives patterns at which matchers that try everything
// never end, in the greatest size that a policy can have.
func TestMatchDoesNotBlowUp(t *testing.T) {
	for _, text := range []string{strings.Repeat("*a", 5000) + "b", strings.Repeat("?*", 5000) + "b", "arn:aws:s" + strings.Repeat("*a", 5000) + "b:"} {
		p, err := compileARN(text, syntax{wildcards: true}, true)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if match(p.tokens, "arn:aws:s"+strings.Repeat("a", 4000)) {
			t.Errorf("%.10s… matches", text)
		}
		// Twenty million steps at most; a blow-up would outlast the universe.
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%.10s… took %v", text, took)
		}
	}
}

func TestResourcePatterns(t *testing.T) {
	const api = "arn:aws:execute-api:us-east-1:111122223333:abc123/prod/GET/pets"
	for _, test := range []struct {
		pattern, resource string
		want              bool
	}{
		{"*", api, true},
		{api, api, true},
		{"arn:aws:execute-api:us-east-1:111122223333:abc123/*", api, true},
		{"arn:aws:execute-api:us-east-1:111122223333:abc123/*/POST/*", api, false},
		{"arn:aws:execute-api:*:*:*", api, true},
		{"arn:*:execute-api:us-????-1:1111*3333:*/prod/*/pets", api, true},
		{"arn:aws:execute-api", api, true}, // incomplete: wildcards for the rest
		{"arn:aws:execute-api:us-east-1", api, true},
		{"arn:aws:execute-api:us-west-1", api, false},
		{"arn:aws:execute-api:*", api, true},
		{"arn:aws:dynamodb:*:table/prod-*", "arn:aws:dynamodb:us-east-1:111122223333:table/prod-x", true},
		{"arn:aws:dynamodb:*:table/prod-*", "arn:aws:dynamodb:us-east-1:111122223333:table/dev-x", false},
		// Inside a part, wildcards end at the colon.
		{"arn:aws:execute-api:us*1:111122223333:abc123/*", api, true},
		{"arn:aws:execute-api:us*3:abc123/*", api, false},
		{"arn:aws:execute-api:us-east-1:111122223333?abc123/*", api, false},
		// Where a wildcard that stays in its part fails, an earlier one goes on.
		{"arn:aws:s3:*:a*b:x", "arn:aws:s3:::a:ab:x", true},
		{"arn:aws:s3:*:a*b:x", "arn:aws:s3:::a:b:x", false},
		// In the resource, colons are like any other character.
		{"arn:aws:logs:us-east-1:1:log-group:a*d:x", "arn:aws:logs:us-east-1:1:log-group:a:b/c:d:x", true},
		{"arn:aws:s3:::amzn-s3-demo-bucket/*/test/*", "arn:aws:s3:::amzn-s3-demo-bucket/1///test///object.jpg", true},
		{"arn:aws:s3:::amzn-s3-demo-bucket/*/test/*", "arn:aws:s3:::amzn-s3-demo-bucket//test/object.jpg", true},
		{"arn:aws:s3:::amzn-s3-demo-bucket/*/test/*", "arn:aws:s3:::amzn-s3-demo-bucket/test/object.jpg", false},
		{"arn:aws:s3:::amzn-s3-demo-bucket/*/test/*", "arn:aws:s3:::amzn-s3-demo-bucket/1-test/object.jpg", false},
		{"arn:aws:iam::1:user/Bob", "arn:aws:iam::1:user/bob", false},
	} {
		p, err := compileResource(test.pattern, syntax{wildcards: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := match(p.tokens, test.resource); got != test.want {
			t.Errorf("%s with %s: got %v, want %v", test.pattern, test.resource, got, test.want)
		}
	}
}

func TestMalformedVariables(t *testing.T) {
	for _, text := range []string{"${", "${}", "a${aws:x", "${, 'x'}", "${aws:x,}", "${aws:x, y}", "${aws:x, 'y}", "${aws:x, 'y' }"} {
		if _, err := compile(text, syntax{variables: true}); err == nil {
			t.Errorf("%s is accepted", text)
		}
		if _, err := compile(text, syntax{}); err != nil {
			t.Errorf("%s without variables: %v", text, err)
		}
	}
}

// TestLongVariables: a policy cannot multiply the length of what a request
// brings.
func TestLongVariables(t *testing.T) {
	p, err := compile(strings.Repeat("${x:v}", 3000), syntax{variables: true})
	if err != nil {
		t.Fatal(err)
	}
	req := &Request{Context: NewContext(keys{"x:v": {strings.Repeat("v", 8000)}})}
	for _, s := range []string{"", "v", strings.Repeat("v", 100)} {
		tokens, ok := p.expand(req, s)
		if !ok || match(tokens, s) || len(tokens) > 3000+len(s) {
			t.Errorf("%d tokens to match %d characters; match: %v", len(tokens), len(s), match(tokens, s))
		}
	}
	short := &Request{Context: NewContext(keys{"x:v": {"v"}})}
	s := strings.Repeat("v", 3000)
	if tokens, ok := p.expand(short, s); !ok || !match(tokens, s) {
		t.Error("the expanded pattern does not match")
	}
}
