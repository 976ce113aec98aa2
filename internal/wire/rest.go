package wire

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
)

// A request is what the codecs read.
type request struct {
	method string
	path   string // percent-encoded
	header http.Header
	query  url.Values        // of the URL
	body   []byte            // whole
	form   url.Values        // awsQuery, ec2Query: of URL and body
	labels map[string]string // REST: by name, decoded
}

// A response is what the codecs write.
type response struct {
	status int
	header http.Header
	body   []byte
}

func newResponse(status int, contentType string, body []byte) *response {
	h := make(http.Header)
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return &response{status: status, header: h, body: body}
}

// restJSON is the protocol restJson1.
type restJSON struct{}

func (restJSON) decode(op *operation, r *request, in reflect.Value) error {
	s := op.in
	for i := range s.fields {
		f := &s.fields[i]
		if err := f.fromHTTP(s, in.Field(f.index), r); err != nil {
			return serializationError("%s: %v", f.member, err)
		}
	}
	if s.payload >= 0 {
		f := &s.fields[s.payload]
		if err := f.fromPayload(in.Field(f.index), r.body); err != nil {
			return serializationError("%v", err)
		}
		return nil
	}
	if len(r.body) == 0 {
		return nil
	}
	v, err := parseJSON(r.body)
	if err != nil {
		return serializationError("the request body is not JSON: %v", err)
	}
	whole := slot{shape: s}
	if err := whole.setJSON(in, v); err != nil {
		return serializationError("%v", err)
	}
	return nil
}

// fromHTTP reads a field of s that is not in the body, if it is there.
func (f *field) fromHTTP(s *shape, dst reflect.Value, r *request) error {
	switch f.location {
	case "uri":
		if text, ok := r.labels[f.name]; ok {
			return f.setText(dst, text)
		}
	case "querystring":
		return f.fromQuery(s, dst, r.query)
	case "header":
		if text := strings.Join(r.header.Values(f.name), ","); text != "" {
			return f.fromHeader(dst, text)
		}
	case "headers":
		m := make(map[string]string)
		for k, v := range r.header {
			if len(k) >= len(f.name) && strings.EqualFold(k[:len(f.name)], f.name) {
				m[k[len(f.name):]] = strings.Join(v, ",")
			}
		}
		if len(m) > 0 {
			dst.Set(reflect.ValueOf(m))
		}
	}
	return nil
}

func (f *field) fromHeader(dst reflect.Value, text string) error {
	switch f.shape.kind {
	case kindAny:
		return setJSONText(dst, text, true)
	case kindList:
		parts := strings.Split(text, ",")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		return f.shape.elem.setTexts(dst, parts)
	}
	return f.setText(dst, text)
}

func (f *field) fromQuery(s *shape, dst reflect.Value, query url.Values) error {
	if f.shape.kind == kindMap {
		rest := maps.Clone(query)
		for i := range s.fields {
			if s.fields[i].location == "querystring" {
				delete(rest, s.fields[i].name)
			}
		}
		return f.shape.fromQueryMap(dst, rest)
	}
	values, ok := query[f.name]
	switch {
	case !ok:
		return nil
	case f.shape.kind == kindAny:
		return setJSONText(dst, values[0], false)
	case f.shape.kind == kindList:
		return f.shape.elem.setTexts(dst, values)
	}
	return f.setText(dst, values[0])
}

// fromQueryMap reads a map whose keys are the names of the query.
func (s *shape) fromQueryMap(dst reflect.Value, query url.Values) error {
	m := reflect.MakeMapWithSize(s.typ, len(query))
	for k, values := range query {
		v := reflect.New(s.typ.Elem()).Elem()
		var err error
		if s.elem.shape.kind == kindList {
			err = s.elem.shape.elem.setTexts(v, values)
		} else {
			err = s.elem.setText(v, values[0])
		}
		if err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(k), v)
	}
	if m.Len() > 0 {
		dst.Set(m)
	}
	return nil
}

// setTexts stores a list of which sl is the element.
func (sl *slot) setTexts(dst reflect.Value, texts []string) error {
	list := reflect.MakeSlice(dst.Type(), len(texts), len(texts))
	for i, text := range texts {
		if err := sl.setText(list.Index(i), text); err != nil {
			return err
		}
	}
	dst.Set(list)
	return nil
}

// fromPayload reads the field that is the whole body.
func (f *field) fromPayload(dst reflect.Value, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	switch f.shape.kind {
	case kindBlob:
		dst.SetBytes(body)
		return nil
	case kindString:
		alloc(dst).SetString(string(body))
		return nil
	}
	v, err := parseJSON(body)
	if err != nil {
		return fmt.Errorf("the request body is not JSON: %w", err)
	}
	return f.setJSON(dst, v)
}

func serializationError(format string, args ...any) error {
	return Errorf(http.StatusBadRequest, "SerializationException", format, args...)
}

func (restJSON) encode(op *operation, out reflect.Value, _ string) (*response, error) {
	status := op.http.ResponseCode
	if status == 0 {
		status = http.StatusOK
	}
	resp := newResponse(status, "application/json", nil)
	s := op.out
	for i := range s.fields {
		f := &s.fields[i]
		if err := f.toHTTP(resp, out.Field(f.index)); err != nil {
			return nil, err
		}
	}
	var err error
	switch {
	case s.payload >= 0:
		f := &s.fields[s.payload]
		err = f.toPayload(resp, out.Field(f.index))
	case !op.noOut && resp.status != http.StatusNoContent:
		resp.body, err = s.appendJSONFields(nil, out, s.page())
	}
	if len(resp.body) == 0 {
		resp.header.Del("Content-Type")
	}
	return resp, err
}

// page returns the name of the list that is the answer to a listing: clients
// expect it even if it is empty.
func (s *shape) page() string {
	for i := range s.fields {
		if f := &s.fields[i]; strings.EqualFold(f.member, "items") && f.shape.kind == kindList {
			return f.member
		}
	}
	return ""
}

// toHTTP writes a field that is not in the body.
func (f *field) toHTTP(resp *response, v reflect.Value) error {
	v, ok := deref(v)
	if !ok {
		return nil
	}
	switch f.location {
	case "statusCode":
		resp.status = int(v.Int())
	case "header":
		text, err := f.headerText(v)
		if err != nil {
			return err
		}
		resp.header.Set(f.name, text)
	case "headers":
		for _, k := range sortedKeys(v) {
			resp.header.Set(f.name+k, v.MapIndex(reflect.ValueOf(k)).String())
		}
	}
	return nil
}

func (f *field) headerText(v reflect.Value) (string, error) {
	switch f.shape.kind {
	case kindAny:
		return jsonText(v, true)
	case kindList:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = f.shape.elem.text(v.Index(i), formatRFC822)
		}
		return strings.Join(parts, ","), nil
	}
	return f.text(v, formatRFC822), nil
}

// toPayload writes the field that is the whole body.
func (f *field) toPayload(resp *response, v reflect.Value) error {
	v, ok := deref(v)
	switch {
	case f.shape.kind == kindBlob || f.shape.kind == kindString:
		if ok && f.shape.kind == kindBlob {
			resp.body = v.Bytes()
		} else if ok {
			resp.body = []byte(v.String())
		}
		if resp.header.Get("Content-Type") == "application/json" {
			resp.header.Set("Content-Type", "application/octet-stream")
		}
		return nil
	case !ok:
		resp.body = []byte("{}")
		return nil
	}
	var err error
	resp.body, err = f.appendJSON(nil, v)
	return err
}

func (restJSON) fail(a *api, e *Error, _ string) *response {
	return jsonError(a, e, func(resp *response, _ map[string]any) {
		resp.header.Set("x-amzn-ErrorType", e.Code)
	}, "application/json")
}
