package accesslog

import (
	"encoding/json"
	"encoding/xml"
	"path"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type values map[string]string

func (v values) AppendContext(b []byte, name string) []byte { return append(b, v[name]...) }

func TestLines(t *testing.T) {
	v := values{
		"requestId": "r-1", "path": "/prod/pets", "status": "200", "identity.userAgent": `a "b" \c` + "\n\x7f\u2028é\xff<&>",
		"error.message": `say "no"`, "authorizer.my-claim": "c",
	}
	for _, c := range []struct{ format, want string }{
		{"", ""},
		{"$context.requestId", "r-1"},
		{"$context.requestId\n", "r-1"},
		{"[$context.requestId]-$context.status-$context.path.", "[r-1]-200-/prod/pets."},
		{"$context.status.no $context.none $context. $context $contextrequestId $$context.status", "- - $context. $context $contextrequestId $200"},
		{"$context.authorizer.my-claim $context.requestId-1", "c r-1-1"},
		{`{"a":"$context.identity.userAgent"}`, `{"a":"a \"b\" \\c\u000a\u007f\u2028é` + "\ufffd" + `<&>"}`},
		{`<a b="$context.identity.userAgent"/>`, `<a b="a &quot;b&quot; \c` + "\ufffd\ufffd\ufffdé\ufffd" + `&lt;&amp;&gt;"/>`},
		{`{"m":$context.error.messageString,"n":"$context.error.message"}`, `{"m":"say \"no\"","n":"say \"no\""}`},
	} {
		if got := string(Parse(c.format).Append(nil, v)); got != c.want {
			t.Errorf("%q: %q, want %q", c.format, got, c.want)
		}
	}
	if got := string(Parse("$context.error.messageString").Append([]byte("x"), values{})); got != "x-" {
		t.Errorf("no message: %q", got)
	}
	if got := Parse("$context.path").Append(nil, values{"path": strings.Repeat("x", 2*maxValue)}); len(got) != maxValue {
		t.Errorf("%d bytes of a long value", len(got))
	}
	long := strings.Repeat("$context.path", maxFormat/len("$context.path"))
	if got := Parse(long).Append(nil, values{"path": strings.Repeat("\x01", maxValue)}); len(got) > maxLine || len(got) < maxLine/2 {
		t.Errorf("%d bytes of a long line", len(got))
	}
}

// Whatever a client sends, a line stays a line, and a field a field.
func TestValuesStayInTheirFields(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values{"requestId": rapid.String().Draw(t, "value") + string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + "x"}
		line := Parse(`{"a":"$context.requestId","b":"$context.none"}`).Append(nil, v)
		var fields map[string]string
		if err := json.Unmarshal(line, &fields); err != nil || len(fields) != 2 || fields["b"] != "-" {
			t.Fatalf("%q: %v", line, err)
		}
		if want := strings.ToValidUTF8(v["requestId"], "\ufffd"); len(want) < 100 && fields["a"] != want && !strings.Contains(want, "\ufffd") {
			t.Fatalf("%q became %q", v["requestId"], fields["a"])
		}
		if strings.ContainsAny(string(line), "\r\n\u2028\u2029\u0085") {
			t.Fatalf("%q has a line end", line)
		}
		line = Parse(`<l a="$context.requestId"><b>$context.requestId</b></l>`).Append(nil, v)
		var element struct {
			A string `xml:"a,attr"`
			B string `xml:"b"`
		}
		if err := xml.Unmarshal(line, &element); err != nil || element.A != element.B {
			t.Fatalf("%q: %v", line, err)
		}
	})
}

func TestLineAllocations(t *testing.T) {
	f := Parse(`{"id":"$context.requestId","p":"$context.path","m":$context.error.messageString}`)
	v := Values(values{"requestId": "r-1", "path": "/prod/pets", "error.message": "no"})
	b := make([]byte, 0, 1<<10)
	if n := testing.AllocsPerRun(100, func() { b = f.Append(b[:0], v) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzFormat(f *testing.F) {
	f.Add(`{"a":"$context.requestId"}`)
	f.Add("<a>$context.error.messageString</a>$context.authorizer.x-y.z\n")
	f.Fuzz(func(t *testing.T, format string) {
		v := values{}
		names := variables(strings.TrimRight(format, "\r\n"))
		for _, n := range names {
			v[n] = reference + n
		}
		if slices.Contains(names, messageString) {
			return
		}
		// With each variable as its own value, the line is the format.
		if got := string(Parse(format).Append(nil, v)); got != strings.TrimRight(format, "\r\n") {
			t.Fatalf("%q became %q", format, got)
		}
		if CheckREST(format) == nil && strings.Count(strings.TrimRight(format, "\r\n"), "\n") > 0 {
			t.Fatalf("%q has lines", format)
		}
		CheckHTTP(format)
	})
}

func TestCheck(t *testing.T) {
	for _, c := range []struct{ format, rest, http string }{
		{"$context.requestId", "", ""},
		{"$context.extendedRequestId $context.authorizer.x", "", ""},
		{"$context.requestId\n", "", "must be single line: "},
		{"$context.requestId\r\n", "", "must be single line: "},
		{"a\n$context.requestId", "allowed only at end of the format: 'a\n$context.requestId'", "single line"},
		{"$context.status", "include either $context.requestId or $context.extendedRequestId : '$context.status'", "include either"},
		{"$context.requestIds", "include either", "not supported: [$context.requestIds]"},
		{"$context.requestId $context.xrayTraceId $context.x", "", "not supported: [$context.xrayTraceId, $context.x]"},
		{strings.Repeat("x", maxFormat) + "$context.requestId", "at most 3072 bytes; it has 3090", "at most 3072 bytes"},
	} {
		for _, kind := range []struct {
			check func(string) error
			want  string
		}{{CheckREST, c.rest}, {CheckHTTP, c.http}} {
			if err := kind.check(c.format); (err == nil) != (kind.want == "") || err != nil && !strings.Contains(err.Error(), kind.want) {
				t.Errorf("%q: %v, want %q", c.format, err, kind.want)
			}
		}
	}
}

func TestGroup(t *testing.T) {
	for _, c := range []struct{ arn, want, err string }{
		{"arn:aws:logs:us-east-1:111111111111:log-group:/aws/api#1", "/aws/api#1", ""},
		{"arn:aws:logs:us-east-1:111111111111:log-group:g:*", "g", ""},
		{"arn:aws:logs:us-east-1:111111111111:log-group:g:log-stream:s", "", "must be a valid"},
		{"arn:aws:logs:us-east-1:111111111111:log-group:", "", "must be a valid"},
		{"arn:aws:logs:us-east-1:222222222222:log-group:g", "", "must be a valid"},
		{"arn:aws:logs:eu-west-1:111111111111:log-group:g", "", "must be a valid"},
		{"arn:aws:s3:::bucket", "", "must be a valid"},
		{"arn:aws:firehose:us-east-1:111111111111:deliverystream/amazon-apigateway-x", "", "delivery streams are not supported"},
		{"arn:aws:logs:us-east-1:111111111111:log-group:/a/" + strings.Repeat("x", 251), "/a/" + strings.Repeat("x", 251), ""},
		{"arn:aws:logs:us-east-1:111111111111:log-group:/a/" + strings.Repeat("x", 252), "", "at most 251 characters between slashes"},
		{"/aws/api", "", "must start with 'arn:': /aws/api"},
	} {
		got, err := Group(c.arn, "us-east-1", "111111111111")
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v", c.arn, got, err)
		}
	}
}

func TestPath(t *testing.T) {
	for group, want := range map[string]string{
		"/aws/api/prod": "1/aws/api/prod.log", "g": "1/g.log", "a.log/b": "1/a.log%/b.log", "..": "1/%...log", "a/../../b": "1/a/%../%../b.log", "a//b/": "1/a/%/b/%.log", ".": "1/%..log",
	} {
		if got := Path("1", group); got != want {
			t.Errorf("%s: %s, want %s", group, got, want)
		}
	}
	seen := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		group := rapid.StringMatching(`/?[./a]{1,8}(\.log)?(/[./a]{1,4})?`).Draw(t, "group")
		p := Path("1", group)
		if path.Clean(p) != p || !strings.HasPrefix(p, "1/") {
			t.Fatalf("%s is at %s", group, p)
		}
		bare := strings.TrimPrefix(group, "/")
		if other, ok := seen[p]; ok && other != bare {
			t.Fatalf("%s and %s are both at %s", bare, other, p)
		}
		seen[p] = bare
	})
}
