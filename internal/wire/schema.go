package wire

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/wire/model"
)

// An api is an API with its shapes joined to the Go types.
type api struct {
	name       string
	meta       model.Metadata
	operations map[string]*operation
	// errorHeaders holds, by error code and member, the header that carries
	// the member instead of the body.
	errorHeaders map[string]map[string]string
}

// An operation that is not supported has no method, input and output.
type operation struct {
	name   string
	api    *api
	http   model.HTTP
	method *Method
	in     *shape
	out    *shape
	// wrapper is the element around the result in awsQuery.
	wrapper string
	noOut   bool // the model has no output at all
	// hostPrefix is what clients write before the host's name.
	hostPrefix string
}

type kind uint8

const (
	kindString kind = iota
	kindInteger
	kindFloat
	kindBoolean
	kindTimestamp
	kindBlob
	kindAny // a JSON value of any kind
	kindStructure
	kindList
	kindMap
)

// A shape is a type on the wire and the Go type that holds it. Where a value
// may be absent Go holds a pointer to typ.
type shape struct {
	name    string
	kind    kind
	typ     reflect.Type
	fields  []field // structure
	payload int     // index of the field that is the body, or -1
	elem    slot    // of a list; value of a map
	key     slot    // of a map
	limits  limits
}

// A slot is a place where a shape stands.
type slot struct {
	shape      *shape
	name       string // locationName; empty for elements that have none
	timeFormat string // empty: the protocol's default
	flattened  bool
}

type field struct {
	slot
	member    string // name in the model
	index     int    // of the Go field
	location  string // as model.Ref
	queryName string // name in ec2Query requests
	required  bool
}

// limits are the constraints on values of a shape.
type limits struct {
	enum        []string
	min, max    *float64
	pattern     *regexp.Regexp // nil also if Go has no equivalent
	patternText string
}

// compile joins an API's model to the Go types of its methods.
func compile(a API) (*api, error) {
	m, err := model.Parse(a.Model)
	if err != nil {
		return nil, fmt.Errorf("compile API %s: %w", a.Name, err)
	}
	c := compiler{model: m, done: make(map[shapeKey]*shape)}
	out := &api{
		name:         a.Name,
		meta:         m.Metadata,
		operations:   make(map[string]*operation, len(m.Operations)),
		errorHeaders: errorHeaders(m),
	}
	if out.meta.SigningName == "" {
		out.meta.SigningName = out.meta.EndpointPrefix
	}
	for name, op := range m.Operations {
		o := &operation{name: name, api: out}
		if op.HTTP != nil {
			o.http = *op.HTTP
		}
		out.operations[name] = o
	}
	for name, method := range a.Methods {
		o := out.operations[name]
		if o == nil {
			return nil, fmt.Errorf("compile API %s: the model has no operation %s", a.Name, name)
		}
		if err := c.operation(o, m.Operations[name], method); err != nil {
			return nil, fmt.Errorf("compile operation %s of API %s: %w", name, a.Name, err)
		}
	}
	return out, nil
}

func errorHeaders(m *model.Model) map[string]map[string]string {
	headers := make(map[string]map[string]string)
	for name, s := range m.Shapes {
		if !s.Exception {
			continue
		}
		for _, member := range s.Members {
			if member.Location == "header" {
				if headers[name] == nil {
					headers[name] = make(map[string]string)
				}
				headers[name][member.Name] = member.LocationName
			}
		}
	}
	return headers
}

type shapeKey struct {
	name string
	typ  reflect.Type
}

// A compiler makes shapes, each once: a structure may contain itself.
type compiler struct {
	model *model.Model
	done  map[shapeKey]*shape
}

func (c *compiler) operation(o *operation, op *model.Operation, method Method) (err error) {
	o.method = &method
	o.noOut = op.Output == nil
	if op.Endpoint != nil {
		o.hostPrefix = op.Endpoint.HostPrefix
	}
	if o.in, err = c.root(op.Input, method.in); err != nil {
		return err
	}
	if o.out, err = c.root(op.Output, method.out); err != nil {
		return err
	}
	if op.Output != nil {
		o.wrapper = op.Output.ResultWrapper
	}
	return nil
}

// root makes the shape of an input or output, which may be absent.
func (c *compiler) root(ref *model.Ref, typ reflect.Type) (*shape, error) {
	if ref == nil {
		return &shape{kind: kindStructure, typ: typ, payload: -1}, nil
	}
	return c.shape(ref.Shape, typ)
}

var kinds = map[string]kind{
	"string": kindString, "character": kindString,
	"integer": kindInteger, "long": kindInteger,
	"float": kindFloat, "double": kindFloat,
	"boolean": kindBoolean, "timestamp": kindTimestamp, "blob": kindBlob,
	"structure": kindStructure, "list": kindList, "map": kindMap,
}

var scalarTypes = map[kind]reflect.Type{
	kindString:    reflect.TypeFor[string](),
	kindInteger:   reflect.TypeFor[int64](),
	kindFloat:     reflect.TypeFor[float64](),
	kindBoolean:   reflect.TypeFor[bool](),
	kindTimestamp: reflect.TypeFor[time.Time](),
	kindBlob:      reflect.TypeFor[[]byte](),
}

func (c *compiler) shape(name string, typ reflect.Type) (*shape, error) {
	key := shapeKey{name, typ}
	if s := c.done[key]; s != nil {
		return s, nil
	}
	m := c.model.Shapes[name]
	if m == nil {
		return nil, fmt.Errorf("the model has no shape %s", name)
	}
	k, ok := kinds[m.Type]
	if !ok {
		return nil, fmt.Errorf("shape %s has unknown type %q", name, m.Type)
	}
	s := &shape{name: name, kind: k, typ: typ, payload: -1, limits: newLimits(m)}
	c.done[key] = s
	var err error
	switch {
	case k == kindStructure && typ.Kind() == reflect.Struct:
		err = c.fields(s, m)
	case k == kindList && typ.Kind() == reflect.Slice:
		s.elem, err = c.slot(m.Member, typ.Elem())
	case k == kindMap && typ.Kind() == reflect.Map:
		if s.key, err = c.slot(m.Key, typ.Key()); err == nil {
			s.elem, err = c.slot(m.Value, typ.Elem())
		}
	case scalarTypes[k] != typ:
		err = fmt.Errorf("shape %s: Go type %v does not fit", name, typ)
	}
	return s, err
}

func (c *compiler) fields(s *shape, m *model.Shape) error {
	for i := range m.Members {
		member := &m.Members[i]
		goName := strings.TrimLeft(member.Name, "_")
		goName = strings.ToUpper(goName[:1]) + goName[1:]
		gf, ok := s.typ.FieldByName(goName)
		if !ok {
			return fmt.Errorf("shape %s: %v has no field %s", s.name, s.typ, goName)
		}
		sl, err := c.slot(&member.Ref, gf.Type)
		if err != nil {
			return err
		}
		f := field{
			slot:      sl,
			member:    member.Name,
			index:     gf.Index[0],
			location:  orDefault(member.Location, c.model.Shapes[member.Shape].Location),
			queryName: member.QueryName,
			required:  slices.Contains(m.Required, member.Name),
		}
		if f.queryName == "" && f.name != "" {
			f.queryName = strings.ToUpper(f.name[:1]) + f.name[1:]
		}
		if f.name == "" && f.location != "headers" { // headers: no prefix
			f.name = member.Name
		}
		if f.queryName == "" {
			f.queryName = member.Name
		}
		if member.Name == m.Payload {
			s.payload = len(s.fields)
		}
		s.fields = append(s.fields, f)
	}
	return nil
}

func (c *compiler) slot(ref *model.Ref, typ reflect.Type) (slot, error) {
	target := c.model.Shapes[ref.Shape]
	if target == nil {
		return slot{}, fmt.Errorf("the model has no shape %s", ref.Shape)
	}
	sl := slot{
		name:       ref.LocationName,
		timeFormat: ref.TimestampFormat,
		flattened:  ref.Flattened || target.Flattened,
	}
	if sl.timeFormat == "" {
		sl.timeFormat = target.TimestampFormat
	}
	if ref.JSONValue {
		sl.shape = &shape{name: ref.Shape, kind: kindAny, typ: typ, payload: -1}
		return sl, nil
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	var err error
	sl.shape, err = c.shape(ref.Shape, typ)
	return sl, err
}

func newLimits(m *model.Shape) limits {
	l := limits{enum: m.Enum, min: m.Min, max: m.Max, patternText: m.Pattern}
	if m.Pattern != "" {
		// AWS matches the whole value. What only Java's syntax has is left to
		// the service.
		l.pattern, _ = regexp.Compile(`\A(?:` + m.Pattern + `)\z`)
	}
	return l
}

// deref returns what a pointer points to, and whether v is there at all: not a
// nil pointer, slice, map or interface.
func deref(v reflect.Value) (reflect.Value, bool) {
	switch v.Kind() {
	case reflect.Pointer:
		return v.Elem(), !v.IsNil()
	case reflect.Slice, reflect.Map, reflect.Interface:
		return v, !v.IsNil()
	}
	return v, true
}

// alloc returns the place to store a value in: v, or what v is made to point
// to.
func alloc(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return v.Elem()
	}
	return v
}
