package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// document is a policy as it is written: the right elements, each of the right
// JSON type, none twice. Since the reader goes by the elements, a document
// cannot be deeper than the language is.
type document struct {
	version    text
	id         text
	statements []element
}

// element is a statement as it is written.
type element struct {
	at           int
	has          map[string]bool // which elements it has
	sid, effect  text
	anyPrincipal text // the key Principal or NotPrincipal
	principals   []principalText
	actions      []text
	resources    []text
	conditions   []conditionText
}

// text is a string and its offset in the document.
type text struct {
	s  string
	at int
}

type principalText struct {
	kind string
	id   text
}

type conditionText struct {
	operator, key text
	values        []string
}

// reader reads a document token by token.
type reader struct {
	doc []byte
	dec *json.Decoder
}

// read reads a document. All its errors are *Error.
func read(doc []byte) (*document, *Error) {
	r := &reader{doc: doc}
	if !utf8.Valid(doc) {
		return nil, r.syntax(0, "not UTF-8")
	}
	// The decoder's tokens are laxer than JSON, so the text is checked first.
	var whole json.RawMessage
	if err := json.Unmarshal(doc, &whole); err != nil {
		offset := len(doc)
		if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
			offset = int(bad.Offset) - 1
		}
		return nil, r.syntax(offset, err.Error())
	}
	r.dec = json.NewDecoder(bytes.NewReader(doc))
	r.dec.UseNumber()
	var d document
	err := r.object(r.next(), func(key text) (err *Error) {
		switch key.s {
		case "Version":
			d.version, err = r.str(r.next())
		case "Id":
			d.id, err = r.str(r.next())
		case "Statement":
			err = r.each(r.next(), func(t value) *Error {
				e, err := r.element(t)
				d.statements = append(d.statements, e)
				return err
			})
		default:
			err = r.syntax(key.at, "unknown element "+key.s)
		}
		return err
	})
	return &d, err
}

func (r *reader) element(t value) (element, *Error) {
	e := element{at: t.at, has: map[string]bool{}}
	err := r.object(t, func(key text) (err *Error) {
		e.has[key.s] = true
		switch key.s {
		case "Sid":
			e.sid, err = r.str(r.next())
		case "Effect":
			e.effect, err = r.str(r.next())
		case "Principal", "NotPrincipal":
			e.anyPrincipal = key
			e.principals, err = r.principals(r.next())
		case "Action", "NotAction":
			e.actions, err = r.strs(r.next())
		case "Resource", "NotResource":
			e.resources, err = r.strs(r.next())
		case "Condition":
			e.conditions, err = r.conditions(r.next())
		default:
			return r.syntax(key.at, "unknown element "+key.s)
		}
		for _, name := range []string{"Principal", "Action", "Resource"} {
			if e.has[name] && e.has["Not"+name] && err == nil {
				err = r.syntax(key.at, "both "+name+" and Not"+name)
			}
		}
		return err
	})
	return e, err
}

func (r *reader) principals(t value) ([]principalText, *Error) {
	if s, ok := t.token.(string); ok {
		if s != "*" {
			return nil, r.fail(t.at, malformed("Invalid principal in policy: %q.", s))
		}
		return []principalText{{kind: "AWS", id: text{s, t.at}}}, nil
	}
	var all []principalText
	err := r.object(t, func(kind text) *Error {
		ids, err := r.strs(r.next())
		for _, id := range ids {
			all = append(all, principalText{kind.s, id})
		}
		return err
	})
	return all, err
}

func (r *reader) conditions(t value) ([]conditionText, *Error) {
	var all []conditionText
	err := r.object(t, func(operator text) *Error {
		return r.object(r.next(), func(key text) *Error {
			c := conditionText{operator: operator, key: key}
			err := r.each(r.next(), func(t value) *Error {
				switch v := t.token.(type) {
				case string:
					c.values = append(c.values, v)
				case json.Number:
					c.values = append(c.values, v.String())
				case bool:
					c.values = append(c.values, map[bool]string{false: "false", true: "true"}[v])
				default:
					return r.syntax(t.at, "the value of a condition is a string, a number or a Boolean")
				}
				return nil
			})
			all = append(all, c)
			return err
		})
	})
	return all, err
}

// value is a token of the document and its offset.
type value struct {
	token json.Token
	at    int
}

// next returns the next token. It cannot fail: the document is valid JSON, and
// nothing is asked for after its end.
func (r *reader) next() value {
	at := int(r.dec.InputOffset())
	for at < len(r.doc) && bytes.IndexByte([]byte(" \t\r\n,:"), r.doc[at]) >= 0 {
		at++
	}
	token, _ := r.dec.Token()
	return value{token, at}
}

// object reads an object whose first token is t, and calls member after each
// key.
func (r *reader) object(t value, member func(key text) *Error) *Error {
	if t.token != json.Delim('{') {
		return r.syntax(t.at, "an object is expected")
	}
	seen := map[string]bool{}
	for r.dec.More() {
		key, err := r.str(r.next())
		if err != nil {
			return err
		}
		if seen[key.s] {
			return r.syntax(key.at, key.s+" is there twice")
		}
		seen[key.s] = true
		if err := member(key); err != nil {
			return err
		}
	}
	r.next()
	return nil
}

// each calls item for t, or if t begins a list, for each item of it.
func (r *reader) each(t value, item func(value) *Error) *Error {
	if t.token != json.Delim('[') {
		return item(t)
	}
	for r.dec.More() {
		if err := item(r.next()); err != nil {
			return err
		}
	}
	r.next()
	return nil
}

func (r *reader) str(t value) (text, *Error) {
	s, ok := t.token.(string)
	if !ok {
		return text{}, r.syntax(t.at, "a string is expected")
	}
	return text{s, t.at}, nil
}

func (r *reader) strs(t value) ([]text, *Error) {
	var all []text
	err := r.each(t, func(t value) *Error {
		s, err := r.str(t)
		all = append(all, s)
		return err
	})
	return all, err
}

func (r *reader) syntax(offset int, reason string) *Error {
	return r.fail(offset, malformed("%s (%s)", syntaxErrors, reason))
}

func (r *reader) fail(offset int, e *Error) *Error { return locate(e, r.doc, offset) }
