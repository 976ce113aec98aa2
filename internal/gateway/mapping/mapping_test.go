package mapping

import (
	"strings"
	"testing"
)

// values is a request with one of everything.
type values struct{}

func (values) RequestHeader(name string) []string {
	if strings.EqualFold(name, "X-Two") {
		return []string{"one", "two"}
	}
	return nil
}

func (values) Query(name string) []string {
	if name == "q" {
		return []string{"a b", "c"}
	}
	return nil
}

func (values) PathParameter(name string) (string, bool)    { return "p/q", name == "id" }
func (values) RawPathParameter(name string) (string, bool) { return "p%2Fq", name == "id" }
func (values) RequestPath() string                         { return "/pets/p%2Fq" }
func (values) Context(name string) (string, bool)          { return "ctx-" + name, true }
func (values) StageVariable(name string) (string, bool)    { return "blue", name == "color" }
func (values) ResponseHeader(name string) []string {
	if strings.EqualFold(name, "Location") {
		return []string{"/there"}
	}
	return nil
}

const missing = "\x00missing"

func TestSources(t *testing.T) {
	for _, tt := range []struct {
		parse      func(string) (Source, error)
		text, want string
	}{
		{ParseREST, "'fixed'", "fixed"},
		{ParseREST, "''", ""},
		{ParseREST, "method.request.header.x-two", "two"},
		{ParseREST, "method.request.multivalueheader.x-two", "one,two"},
		{ParseREST, "method.request.header.none", missing},
		{ParseREST, "method.request.querystring.q", "c"},
		{ParseREST, "method.request.multivaluequerystring.q", "a b,c"},
		{ParseREST, "method.request.path.id", "p/q"},
		{ParseREST, "method.request.path.other", missing},
		{ParseREST, "stageVariables.color", "blue"},
		{ParseREST, "stageVariables.none", missing},
		{ParseREST, "context.requestId", "ctx-requestId"},
		{ParseREST, "context.identity.sourceIp", "ctx-identity.sourceIp"},
		{ParseREST, "integration.response.header.Location", "/there"},
		{ParseHTTP, "plain", "plain"},
		{ParseHTTP, "", ""},
		{ParseHTTP, "$request.header.X-Two", "one,two"},
		{ParseHTTP, "$request.querystring.q", "a b,c"},
		{ParseHTTP, "$request.path", "/pets/p%2Fq"},
		{ParseHTTP, "$request.path.id", "p/q"},
		{ParseHTTP, "$context.stage", "ctx-stage"},
		{ParseHTTP, "$stageVariables.color", "blue"},
		{ParseHTTP, "$response.header.location", "/there"},
		{ParseHTTP, "$request.header.none", missing},
		{ParseHTTP, "/v1/${request.path.id}/${stageVariables.color}.x", "/v1/p/q/blue.x"},
		{ParseHTTP, "a${request.header.none}b", "ab"},
		{ParseHTTP, "${stageVariables.color}", "blue"},
	} {
		s, err := tt.parse(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		got, found := s.Value(values{})
		if !found {
			got = missing
		}
		if got != tt.want {
			t.Errorf("%q = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestSourcesRefused(t *testing.T) {
	for _, text := range []string{"", "x", "method.request.body", "method.request.body.a", "context.nothing", "method.request.header.", "'open"} {
		if _, err := ParseREST(text); err == nil {
			t.Errorf("ParseREST(%q) succeeded", text)
		}
	}
	for _, text := range []string{"$request.body.x", "$nothing", "$context.nothing", "a${request.path", "${x}"} {
		if _, err := ParseHTTP(text); err == nil {
			t.Errorf("ParseHTTP(%q) succeeded", text)
		}
	}
}

func TestChanges(t *testing.T) {
	for key, value := range map[string]string{
		"append:header.x": "1", "overwrite:header.x": "$request.path", "remove:header.x": "''",
		"append:querystring.q": "1", "overwrite:path": "$request.path",
	} {
		if _, err := ParseRequestChanges(map[string]string{key: value}); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for key, value := range map[string]string{
		"append:path": "/", "remove:path": "", "overwrite:statuscode": "200", "header.x": "1", "append:header.": "1",
		"overwrite:header.Via": "1", "overwrite:header.authorization": "1", "append:header.X-Amz-Date": "1",
		"append:header.access-control-allow-origin": "*", "append:header.a b": "1", "append:header.x": "$request.body.y",
	} {
		if _, err := ParseRequestChanges(map[string]string{key: value}); err == nil {
			t.Errorf("%s: accepted", key)
		}
	}
	changes, err := ParseResponseChanges(map[string]string{"overwrite:statuscode": "403", "append:header.x": "1"})
	if err != nil || len(changes) != 2 || changes[1].Status != 403 {
		t.Errorf("response changes: %+v, %v", changes, err)
	}
	for _, value := range []string{"", "99", "600", "$context.status"} {
		if _, err := ParseResponseChanges(map[string]string{"overwrite:statuscode": value}); err == nil {
			t.Errorf("status code %q: accepted", value)
		}
	}
}

func TestTemplates(t *testing.T) {
	for _, text := range []string{"", `{"statusCode": 200}`, "price: $5, #1", "100%", "a $ b # c", `{"a":"#tag"}`} {
		if template, err := ParseTemplate(text); err != nil || template.Passthrough || template.Text != text {
			t.Errorf("%q: %+v, %v", text, template, err)
		}
	}
	for _, text := range []string{"$input.body", " $input.json('$')\n", `$input.json("$")`} {
		if template, err := ParseTemplate(text); err != nil || !template.Passthrough {
			t.Errorf("%q: %+v, %v", text, template, err)
		}
	}
	for _, text := range []string{"$input.path('$.a')", "${context.stage}", "$!x", "#set($a = 1)", "#{if}(true)x#end", "## comment", "#* c *#", "#[[raw]]#"} {
		if _, err := ParseTemplate(text); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
}

func TestMockStatus(t *testing.T) {
	for text, want := range map[string]int{
		`{"statusCode": 200}`: 200, `{statusCode:404}`: 404, "{\n  'statusCode' : '503',\n \"x\": 1}": 503,
		`{"a": 1, "statusCode": 201}`: 201,
	} {
		if got, err := MockStatus(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "{}", `{"statusCode": 20}`, `{"statusCode": 2000}`, `{"statusCode": 999}`, `"statusCode": 200`, `{"xstatusCode": 200}`} {
		if got, err := MockStatus(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"'a'", "$request.path", "a${context.stage}b", "${", "$", "method.request.header.x", "{statusCode: 200}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (Source, error){ParseREST, ParseHTTP} {
			if s, err := parse(text); err == nil {
				s.Value(values{})
				// What comes from the client is never trusted.
				if strings.Contains(text, "request.") && !strings.HasPrefix(text, "'") && strings.HasPrefix(text, "$request.") && s.Trusted() {
					t.Fatalf("%q is trusted", text)
				}
			}
		}
		if s, err := ParseHTTP(text); err == nil && !strings.Contains(text, "$") {
			if got, _ := s.Value(values{}); got != text {
				t.Fatalf("text %q became %q", text, got)
			}
		}
		ParseTemplate(text)
		MockStatus(text)
	})
}
