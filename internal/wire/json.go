package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// maxJSONValues bounds the values of a body: parsed, the smallest takes a
// hundred times its text.
const maxJSONValues = 100_000

// countJSON returns how many values JSON text holds, to within a factor of two:
// each follows a comma or the beginning of a list or object.
func countJSON(text []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

// parseJSON reads a whole body. Numbers stay text until their shape is known.
func parseJSON(body []byte) (any, error) {
	if countJSON(body) > maxJSONValues {
		return nil, fmt.Errorf("it has more than %d values", maxJSONValues)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("data after the JSON value")
	}
	return v, nil
}

// setJSON stores a parsed JSON value. Unknown members are ignored, null is
// absent.
func (sl *slot) setJSON(dst reflect.Value, v any) error {
	s := sl.shape
	if v == nil {
		return nil
	}
	switch s.kind {
	case kindStructure:
		object, ok := v.(map[string]any)
		if !ok {
			return mismatch(v, "structure")
		}
		return s.setJSONFields(alloc(dst), object)
	case kindList:
		array, ok := v.([]any)
		if !ok {
			return mismatch(v, "list")
		}
		list := reflect.MakeSlice(s.typ, len(array), len(array))
		for i, e := range array {
			if err := s.elem.setJSON(list.Index(i), e); err != nil {
				return err
			}
		}
		alloc(dst).Set(list)
	case kindMap:
		object, ok := v.(map[string]any)
		if !ok {
			return mismatch(v, "map")
		}
		m := reflect.MakeMapWithSize(s.typ, len(object))
		for k, e := range object {
			if e == nil {
				continue
			}
			elem := reflect.New(s.typ.Elem()).Elem()
			if err := s.elem.setJSON(elem, e); err != nil {
				return err
			}
			m.SetMapIndex(reflect.ValueOf(k), elem)
		}
		dst.Set(m)
	case kindAny:
		text, ok := v.(string)
		if !ok {
			return mismatch(v, "string")
		}
		return setJSONText(dst, text, false)
	default:
		return sl.setJSONScalar(dst, v)
	}
	return nil
}

// setJSONFields stores the members of an object that belong to the body.
func (s *shape) setJSONFields(dst reflect.Value, object map[string]any) error {
	for i := range s.fields {
		f := &s.fields[i]
		if v, ok := object[f.name]; ok && f.location == "" {
			if err := f.setJSON(dst.Field(f.index), v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (sl *slot) setJSONScalar(dst reflect.Value, v any) error {
	name := scalarNames[sl.shape.kind]
	switch v := v.(type) {
	case json.Number:
		switch sl.shape.kind {
		case kindInteger, kindFloat, kindTimestamp:
			if sl.setText(dst, v.String()) == nil {
				return nil
			}
		}
	case string:
		switch sl.shape.kind {
		case kindString, kindBlob, kindTimestamp:
			if sl.setText(dst, v) == nil {
				return nil
			}
		case kindFloat:
			if v == "NaN" || v == "Infinity" || v == "-Infinity" {
				return sl.setText(dst, v)
			}
		}
	case bool:
		if sl.shape.kind == kindBoolean {
			alloc(dst).SetBool(v)
			return nil
		}
	}
	return mismatch(v, name)
}

var scalarNames = map[kind]string{
	kindString: "String", kindInteger: "Integer", kindFloat: "Double",
	kindBoolean: "Boolean", kindTimestamp: "Timestamp", kindBlob: "Blob",
}

// mismatch says in AWS's words that a value has the wrong type.
func mismatch(v any, want string) error {
	have := "START_OBJECT"
	switch v := v.(type) {
	case []any:
		have = "START_ARRAY"
	case string:
		have = "STRING_VALUE"
	case json.Number:
		have = "NUMBER_VALUE"
	case bool:
		have = "FALSE_VALUE"
		if v {
			have = "TRUE_VALUE"
		}
	}
	return fmt.Errorf("%s can not be converted to a %s", have, want)
}

// appendJSON appends a value. A member that is nil is left out by the caller.
func (sl *slot) appendJSON(b []byte, v reflect.Value) ([]byte, error) {
	v, ok := deref(v)
	if !ok {
		return append(b, "null"...), nil
	}
	s := sl.shape
	var err error
	switch s.kind {
	case kindStructure:
		return s.appendJSONFields(b, v, "")
	case kindList:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = s.elem.appendJSON(b, v.Index(i)); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case kindMap:
		b = append(b, '{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, k), ':')
			if b, err = s.elem.appendJSON(b, v.MapIndex(reflect.ValueOf(k))); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case kindAny:
		text, err := jsonText(v, false)
		return appendJSONString(b, text), err
	case kindInteger, kindBoolean:
		return append(b, sl.text(v, "")...), nil
	case kindFloat:
		data, err := json.Marshal(v.Float())
		if err != nil { // not finite
			return strconv.AppendQuote(b, sl.text(v, "")), nil
		}
		return append(b, data...), nil
	case kindTimestamp:
		text := sl.text(v, formatUnix)
		if sl.timeFormat == "" || sl.timeFormat == formatUnix {
			return append(b, text...), nil
		}
		return appendJSONString(b, text), nil
	default:
		return appendJSONString(b, sl.text(v, "")), nil
	}
}

// appendJSONFields appends the members of a structure that belong to the body.
// The list named always is written even if nil.
func (s *shape) appendJSONFields(b []byte, v reflect.Value, always string) ([]byte, error) {
	b = append(b, '{')
	first := true
	for i := range s.fields {
		f := &s.fields[i]
		fv := v.Field(f.index)
		if f.location != "" {
			continue
		}
		if _, ok := deref(fv); !ok {
			if f.member != always {
				continue
			}
			fv = reflect.MakeSlice(fv.Type(), 0, 0)
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendJSONString(b, f.name), ':')
		var err error
		if b, err = f.appendJSON(b, fv); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendJSONString quotes s without the escapes that only HTML needs.
func appendJSONString(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string cannot fail
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

func sortedKeys(m reflect.Value) []string {
	keys := make(map[string]bool, m.Len())
	for _, k := range m.MapKeys() {
		keys[k.String()] = true
	}
	return slices.Sorted(maps.Keys(keys))
}
