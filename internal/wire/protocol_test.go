package wire

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/wire/model"
	"github.com/isthmus-net/isthmus/internal/wire/protocoltest"
)

// The protocol tests are AWS's own, published beside the models for clients.
// Here they run from the server's side: their requests must be read as their
// parameters, their results must be written as their responses.

// A suite is one entry of a file of protocol tests.
type suite struct {
	Description string
	Metadata    json.RawMessage
	Shapes      json.RawMessage
	Cases       []struct {
		Given struct {
			Name          string
			HTTP          json.RawMessage
			Input, Output json.RawMessage
		}
		Params, Result any
		Serialized     struct {
			URI, Method string
			Body        string
			Headers     map[string]string
		}
		Response struct {
			StatusCode int `json:"status_code"`
			Headers    map[string]string
			Body       string
		}
	}
}

// onlyClients names cases that say what a client does, by protocol, direction
// and suite.
var onlyClients = map[string]string{
	"rest-json/output/Ignores extra data/0":             "the response holds what no server with this model sends",
	"rest-json/output/Ignores undefined output/0":       "the same",
	"json/output/Ignores extra data/0":                  "the same",
	"json/output/unmodeled non-json response payload/0": "the same",
	"json/output/unmodeled non-json response payload/1": "the same",
	"json/output/Lists/1":                               "null elements, which Go's types do not hold",
	"query/output/Flattened list of structures/0":       "the response has a wrapper that its model lacks",
	"rest-json/input/Idempotency token auto fill/1":     "the client makes up a token",
	"json/input/Idempotency token auto fill/1":          "the same",
	"query/input/Idempotency token auto fill/1":         "the same",
	"ec2/input/Idempotency token auto fill/1":           "the same",
	"rest-json/output/Scalar members/0":                 "a timestamp in another format than the protocol's",
}

func sdkModels(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", "github.com/aws/aws-sdk-go@v1.55.8").Output()
	if err != nil {
		t.Fatalf("download the models: %v", err)
	}
	var mod struct{ Dir string }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(mod.Dir, "models")
}

func forEachCase(t *testing.T, direction string, run func(t *testing.T, op *operation, s *suite, c int)) {
	dir := sdkModels(t)
	ran := 0
	for _, protocol := range []string{"rest-json", "json", "query", "ec2"} {
		data, err := os.ReadFile(filepath.Join(dir, "protocol_tests", direction, protocol+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var suites []suite
		if err := json.Unmarshal(data, &suites); err != nil {
			t.Fatal(err)
		}
		for i := range suites {
			s := &suites[i]
			for c := range s.Cases {
				name := fmt.Sprintf("%s/%s/%s/%d", protocol, direction, s.Description, c)
				if onlyClients[name] != "" {
					continue
				}
				ran++
				t.Run(name, func(t *testing.T) {
					op := compileCase(t, fmt.Sprintf("%s/%s/%d/", protocol, direction, i), s, c)
					run(t, op, s, c)
				})
			}
		}
	}
	if ran < 45 {
		t.Errorf("ran %d cases only", ran)
	}
}

type none struct{}

// compileCase makes an API with the one operation of a case.
func compileCase(t *testing.T, prefix string, s *suite, c int) *operation {
	given := s.Cases[c].Given
	op := map[string]any{"name": given.Name}
	var in, out = reflect.TypeFor[none](), reflect.TypeFor[none]()
	payload := make(map[string]string)
	for key, ref := range map[string]json.RawMessage{"http": given.HTTP, "input": given.Input, "output": given.Output} {
		if ref == nil {
			continue
		}
		op[key] = ref
		var r struct{ Shape, Payload string }
		if err := json.Unmarshal(ref, &r); err != nil {
			t.Fatal(err)
		}
		payload[r.Shape] = r.Payload
		switch key {
		case "input":
			in = protocoltest.Types[prefix+r.Shape]
		case "output":
			out = protocoltest.Types[prefix+r.Shape]
		}
	}
	data, err := json.Marshal(map[string]any{
		"metadata": s.Metadata, "shapes": s.Shapes, "operations": map[string]any{given.Name: op}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	for shape, p := range payload { // some tests have it at the reference
		if p != "" {
			m.Shapes[shape].Payload = p
		}
	}
	if m.Operations[given.Name].HTTP == nil {
		m.Operations[given.Name].HTTP = &model.HTTP{Method: "POST", RequestURI: "/"}
	}
	if data, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	a, err := compile(API{Name: "test", Model: data, Methods: map[string]Method{given.Name: {in: in, out: out}}})
	if err != nil {
		t.Fatal(err)
	}
	return a.operations[given.Name]
}

func TestProtocolInput(t *testing.T) {
	forEachCase(t, "input", func(t *testing.T, op *operation, s *suite, c int) {
		want, sent := s.Cases[c].Params, s.Cases[c].Serialized
		p, ok := newProtocol(op.api)
		if !ok {
			t.Fatalf("no protocol %q", op.api.meta.Protocol)
		}
		hr := httptest.NewRequest(orDefault(sent.Method, orDefault(op.http.Method, "POST")), sent.URI, strings.NewReader(sent.Body))
		for k, v := range sent.Headers {
			hr.Header.Set(k, v)
		}
		switch p := p.(type) {
		case awsQuery, ec2Query:
			hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		case awsJSON: // some tests leave the headers out
			hr.Header.Set("Content-Type", p.contentType())
			hr.Header.Set("X-Amz-Target", op.api.meta.TargetPrefix+"."+op.name)
		}
		r := &request{method: hr.Method, path: hr.URL.EscapedPath(), header: hr.Header, query: hr.URL.Query(), body: []byte(sent.Body)}
		e := &endpoint{protocol: p, apis: []*api{op.api}, router: newRouter([]*api{op.api})}
		found, failure := p.find(e, r)
		if failure != nil {
			t.Fatal(failure)
		}
		if found != op {
			t.Fatalf("found operation %s", found.name)
		}
		in := reflect.New(op.in.typ).Elem()
		if err := p.decode(op, r, in); err != nil {
			t.Fatal(err)
		}
		got, _ := plainStructure(op.in, in)
		if want == nil {
			want = map[string]any{}
		}
		dropNull(want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
	})
}

func TestProtocolOutput(t *testing.T) {
	forEachCase(t, "output", func(t *testing.T, op *operation, s *suite, c int) {
		result, want := s.Cases[c].Result, s.Cases[c].Response
		p, _ := newProtocol(op.api)
		out := reflect.New(op.out.typ).Elem()
		whole := slot{shape: op.out}
		fill(t, &whole, out, result)
		resp, err := p.encode(op, out, "request-id")
		if err != nil {
			t.Fatal(err)
		}
		if resp.status != want.StatusCode {
			t.Errorf("status %d, want %d", resp.status, want.StatusCode)
		}
		for k, v := range want.Headers {
			if got := resp.header.Get(k); got != v {
				t.Errorf("header %s is %q, want %q", k, got, v)
			}
		}
		compare := sameJSON
		switch p.(type) {
		case awsQuery, ec2Query:
			compare = sameXML
		}
		if op.out.payload >= 0 && op.out.fields[op.out.payload].shape.kind == kindBlob {
			compare = func(got, want string) bool { return got == want }
		}
		if !compare(string(resp.body), want.Body) {
			t.Errorf("wrote %s, want %s", resp.body, want.Body)
		}
	})
}

// plain turns a value into what the tests' params hold: times are seconds,
// blobs are text, absent members and structures without members are left out.
func plain(sl *slot, v reflect.Value) (any, bool) {
	v, ok := deref(v)
	if !ok {
		return nil, false
	}
	s := sl.shape
	switch s.kind {
	case kindStructure:
		return plainStructure(s, v)
	case kindList:
		list := []any{}
		for i := range v.Len() {
			e, _ := plain(&s.elem, v.Index(i))
			list = append(list, e)
		}
		return list, true
	case kindMap:
		m := map[string]any{}
		for _, k := range v.MapKeys() {
			m[k.String()], _ = plain(&s.elem, v.MapIndex(k))
		}
		return m, true
	case kindInteger:
		return float64(v.Int()), true
	case kindTimestamp:
		return float64(v.Interface().(time.Time).Unix()), true
	case kindBlob:
		return string(v.Bytes()), true
	}
	return v.Interface(), true
}

func plainStructure(s *shape, v reflect.Value) (any, bool) {
	m := map[string]any{}
	for i := range s.fields {
		f := &s.fields[i]
		if x, ok := plain(&f.slot, v.Field(f.index)); ok {
			m[f.member] = x
		}
	}
	return m, len(m) > 0
}

func dropNull(v any) {
	if m, ok := v.(map[string]any); ok {
		for k, e := range m {
			if e == nil {
				delete(m, k)
			}
			dropNull(e)
		}
	}
}

// fill is the reverse of plain.
func fill(t *testing.T, sl *slot, dst reflect.Value, v any) {
	s := sl.shape
	switch s.kind {
	case kindStructure:
		dst = alloc(dst)
		for i := range s.fields {
			f := &s.fields[i]
			if x, ok := v.(map[string]any)[f.member]; ok && x != nil {
				fill(t, &f.slot, dst.Field(f.index), x)
			}
		}
	case kindList:
		list := v.([]any)
		dst.Set(reflect.MakeSlice(s.typ, len(list), len(list)))
		for i, e := range list {
			fill(t, &s.elem, dst.Index(i), e)
		}
	case kindMap:
		dst.Set(reflect.MakeMap(s.typ))
		for k, e := range v.(map[string]any) {
			x := reflect.New(s.typ.Elem()).Elem()
			fill(t, &s.elem, x, e)
			dst.SetMapIndex(reflect.ValueOf(k), x)
		}
	case kindInteger:
		alloc(dst).SetInt(int64(v.(float64)))
	case kindTimestamp:
		alloc(dst).Set(reflect.ValueOf(time.Unix(int64(v.(float64)), 0)))
	case kindBlob:
		dst.SetBytes([]byte(v.(string)))
	case kindAny:
		dst.Set(reflect.ValueOf(v))
	default:
		alloc(dst).Set(reflect.ValueOf(v))
	}
}

func sameJSON(got, want string) bool {
	if got == "" || want == "" {
		return strings.Trim(got, "{}") == strings.Trim(want, "{}")
	}
	var g, w any
	return json.Unmarshal([]byte(got), &g) == nil && json.Unmarshal([]byte(want), &w) == nil && reflect.DeepEqual(g, w)
}

// element is an XML element without attributes. Leaves have text only.
type element struct {
	name, text string
	kids       []element
}

func (e element) String() string {
	parts := []string{e.name, fmt.Sprintf("%q", e.text)}
	for _, k := range e.kids {
		parts = append(parts, k.String())
	}
	if len(e.kids) > 0 { // space between elements means nothing
		parts[1] = ""
	}
	slices.Sort(parts[2:]) // nor does their order, except in lists of equal names
	return "(" + strings.Join(parts, " ") + ")"
}

func parseElements(t string) (element, error) {
	dec := xml.NewDecoder(strings.NewReader(t))
	stack := []element{{}}
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			if len(stack) != 1 {
				return element{}, io.ErrUnexpectedEOF
			}
			return stack[0], nil
		}
		if err != nil {
			return element{}, err
		}
		top := len(stack) - 1
		switch tok := tok.(type) {
		case xml.StartElement:
			stack = append(stack, element{name: tok.Name.Local})
		case xml.CharData:
			stack[top].text += string(bytes.TrimSpace(tok))
		case xml.EndElement:
			stack[top-1].kids = append(stack[top-1].kids, stack[top])
			stack = stack[:top]
		}
	}
}

// sameXML compares without the request id, which the tests leave out often.
func sameXML(got, want string) bool {
	g, gerr := parseElements(got)
	w, werr := parseElements(want)
	if gerr != nil || werr != nil {
		return false
	}
	return withoutID(g).String() == withoutID(w).String()
}

func withoutID(e element) element {
	kids := slices.DeleteFunc(e.kids, func(k element) bool {
		return strings.EqualFold(k.name, "requestId") || k.name == "ResponseMetadata"
	})
	for i := range kids {
		kids[i] = withoutID(kids[i])
	}
	e.kids = kids
	return e
}
