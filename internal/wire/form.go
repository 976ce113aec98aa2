package wire

import (
	"errors"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxFormDepth bounds the parts of a parameter's name, maxFormNodes those of
// all names of a request. AWS's deepest names have a dozen parts, and its
// longest lists a thousand elements.
const (
	maxFormDepth = 48
	maxFormNodes = 100_000
)

// A formNode is a parameter and those whose names continue its name after a
// dot.
type formNode struct {
	value string
	set   bool // has a value of its own
	used  bool // its value was read
	kids  map[string]*formNode
}

// parseForm arranges parameters by the dots in their names. Of several values
// of a name the first counts.
func parseForm(form url.Values) (*formNode, error) {
	root := new(formNode)
	nodes := 0
	for name, values := range form {
		if strings.Count(name, ".") >= maxFormDepth {
			return nil, errors.New("a parameter name has too many parts")
		}
		n := root
		for part := range strings.SplitSeq(name, ".") {
			if n.kids == nil {
				n.kids = make(map[string]*formNode)
			}
			if n.kids[part] == nil {
				n.kids[part] = new(formNode)
				nodes++
			}
			n = n.kids[part]
		}
		n.value, n.set = values[0], true
		if nodes > maxFormNodes {
			return nil, errors.New("too many parameters")
		}
	}
	return root, nil
}

func (n *formNode) kid(name string) *formNode {
	if n == nil {
		return nil
	}
	return n.kids[name]
}

// elements returns the kids whose names are numbers, in the order of these.
// The numbers need not be contiguous.
func (n *formNode) elements() []*formNode {
	byIndex := make(map[int]*formNode, len(n.kids))
	for name, kid := range n.kids {
		if i, err := strconv.Atoi(name); err == nil && i >= 0 {
			byIndex[i] = kid
		}
	}
	list := make([]*formNode, 0, len(byIndex))
	for _, i := range slices.Sorted(maps.Keys(byIndex)) {
		list = append(list, byIndex[i])
	}
	return list
}

// unused returns the name of a parameter that was not read, or "".
func (n *formNode) unused(prefix string) string {
	for _, name := range slices.Sorted(maps.Keys(n.kids)) {
		kid := n.kids[name]
		if kid.set && !kid.used && kid.value != "" {
			return prefix + name
		}
		if u := kid.unused(prefix + name + "."); u != "" {
			return u
		}
	}
	return ""
}

// A formError says which parameter has a bad value.
type formError struct {
	param, value string
	cause        error
}

func (e *formError) Error() string { return e.param + ": " + e.cause.Error() }

// A formReader stores parameters into shapes. In ec2Query lists are always
// flat and members have names of their own.
type formReader struct{ ec2 bool }

func (r formReader) structure(s *shape, dst reflect.Value, n *formNode, path string) error {
	for i := range s.fields {
		f := &s.fields[i]
		name := f.name
		switch {
		case r.ec2:
			name = f.queryName
		case f.flattened && f.shape.kind == kindList && f.shape.elem.name != "":
			name = f.shape.elem.name // a flat list goes by its elements' name
		}
		if kid := n.kid(name); kid != nil {
			if err := r.value(&f.slot, dst.Field(f.index), kid, path+name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r formReader) value(sl *slot, dst reflect.Value, n *formNode, path string) error {
	s := sl.shape
	switch s.kind {
	case kindStructure:
		n.used = true
		return r.structure(s, alloc(dst), n, path+".")
	case kindList:
		return r.list(sl, dst, n, path)
	case kindMap:
		return r.pairs(sl, dst, n, path)
	}
	if !n.set {
		return nil
	}
	n.used = true
	if err := sl.setText(dst, n.value); err != nil {
		return &formError{path, n.value, err}
	}
	return nil
}

func (r formReader) list(sl *slot, dst reflect.Value, n *formNode, path string) error {
	n.used = true // an empty list is sent as an empty value
	if !sl.flattened && !r.ec2 {
		name := "member"
		if sl.shape.elem.name != "" {
			name = sl.shape.elem.name
		}
		if kid := n.kid(name); kid != nil {
			n, path = kid, path+"."+name
		}
	}
	elements := n.elements()
	list := reflect.MakeSlice(sl.shape.typ, len(elements), len(elements))
	for i, e := range elements {
		if err := r.value(&sl.shape.elem, list.Index(i), e, path+"."+strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	dst.Set(list)
	return nil
}

func (r formReader) pairs(sl *slot, dst reflect.Value, n *formNode, path string) error {
	n.used = true
	s := sl.shape
	if kid := n.kid("entry"); kid != nil && !sl.flattened {
		n, path = kid, path+".entry"
	}
	m := reflect.MakeMap(s.typ)
	for i, e := range n.elements() {
		path := path + "." + strconv.Itoa(i+1)
		key := e.kid(orDefault(s.key.name, "key"))
		value := e.kid(orDefault(s.elem.name, "value"))
		if key == nil {
			return &formError{path, "", errors.New("a map entry needs a key")}
		}
		key.used = true
		v := reflect.New(s.typ.Elem()).Elem()
		if value != nil {
			if err := r.value(&s.elem, v, value, path+".value"); err != nil {
				return err
			}
		}
		m.SetMapIndex(reflect.ValueOf(key.value), v)
	}
	dst.Set(m)
	return nil
}

func orDefault(name, standard string) string {
	if name == "" {
		return standard
	}
	return name
}
