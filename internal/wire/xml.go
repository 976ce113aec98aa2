package wire

import (
	"bytes"
	"encoding/xml"
	"reflect"
	"strings"
)

// An xmlWriter writes the answers of awsQuery and ec2Query.
type xmlWriter struct{ bytes.Buffer }

func newXMLWriter() *xmlWriter {
	w := new(xmlWriter)
	w.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	return w
}

// start opens an element. The namespace, which may be empty, is the model's and
// needs no escapes.
func (w *xmlWriter) start(name, namespace string) {
	w.WriteString("<" + name)
	if namespace != "" {
		w.WriteString(` xmlns="` + namespace + `"`)
	}
	w.WriteString(">")
}

func (w *xmlWriter) end(name string) { w.WriteString("</" + name + ">") }

func (w *xmlWriter) escape(text string) {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a buffer cannot fail
	_, _ = quotes.WriteString(w, b.String())
}

// quotes undoes the escape of quotes, which AWS leaves as they are in text:
// people read the messages.
var quotes = strings.NewReplacer("&#39;", "'", "&#34;", `"`)

func (w *xmlWriter) text(name, text string) {
	w.start(name, "")
	w.escape(text)
	w.end(name)
}

// fields writes the members of a structure.
func (w *xmlWriter) fields(s *shape, v reflect.Value) {
	for i := range s.fields {
		f := &s.fields[i]
		if fv := v.Field(f.index); !isNil(fv) {
			w.value(&f.slot, f.name, fv)
		}
	}
}

// answer writes the members at the top of an answer. Clients expect its lists
// even if they are empty, and EC2's return even if the service did not set it.
func (w *xmlWriter) answer(s *shape, v reflect.Value) {
	for i := range s.fields {
		f := &s.fields[i]
		fv := v.Field(f.index)
		switch {
		case !isNil(fv) || f.shape.kind == kindList && !f.flattened:
			w.value(&f.slot, f.name, fv)
		case f.name == "return":
			w.text(f.name, "true")
		}
	}
}

// value writes v, which is not nil, unless it is a list, as elements called name.
func (w *xmlWriter) value(sl *slot, name string, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	s := sl.shape
	switch s.kind {
	case kindStructure:
		w.start(name, "")
		w.fields(s, v)
		w.end(name)
	case kindList:
		w.list(sl, name, v)
	case kindMap:
		w.pairs(sl, name, v)
	default:
		w.text(name, sl.text(v, formatISO8601))
	}
}

func (w *xmlWriter) list(sl *slot, name string, v reflect.Value) {
	elem := &sl.shape.elem
	elemName := orDefault(elem.name, "member")
	if sl.flattened {
		elemName = orDefault(elem.name, name)
	} else {
		w.start(name, "")
	}
	for i := range v.Len() {
		if e := v.Index(i); !isNil(e) {
			w.value(elem, elemName, e)
		}
	}
	if !sl.flattened {
		w.end(name)
	}
}

func (w *xmlWriter) pairs(sl *slot, name string, v reflect.Value) {
	s := sl.shape
	entry := "entry"
	if sl.flattened {
		entry = name
	} else {
		w.start(name, "")
	}
	for _, k := range sortedKeys(v) {
		w.start(entry, "")
		w.text(orDefault(s.key.name, "key"), k)
		if e := v.MapIndex(reflect.ValueOf(k)); !isNil(e) {
			w.value(&s.elem, orDefault(s.elem.name, "value"), e)
		}
		w.end(entry)
	}
	if !sl.flattened {
		w.end(name)
	}
}

func isNil(v reflect.Value) bool {
	_, ok := deref(v)
	return !ok
}
