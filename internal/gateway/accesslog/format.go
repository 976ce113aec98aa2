// Package accesslog compiles the formats of stages' access logs, text with
// $context variables, and says where the lines of a log group are kept. See
// "Variables for access logging for API Gateway" and "Customize HTTP API access
// logs" in the developer guide.
package accesslog

import (
	"strings"
	"unicode/utf8"
)

// Values are what a line tells of a request.
type Values interface {
	// AppendContext appends the value of a variable, named without "$context.",
	// as it is. It appends nothing if the request has none.
	AppendContext(b []byte, name string) []byte
}

// Format is a compiled format.
type Format struct {
	parts []part
	xml   bool
}

// part is a text, or a variable if that has a name.
type part struct {
	text string
	name string
	// quoted puts the value in quotes, and is for error.messageString.
	quoted bool
}

const reference = "$context."

// messageString is error.message in quotes.
const messageString = "error.messageString"

// Parse compiles a format. Every text is one; what is no variable stands for
// itself.
func Parse(format string) Format {
	format = strings.TrimRight(format, "\r\n")
	f := Format{xml: strings.HasPrefix(strings.TrimLeft(format, " \t"), "<")}
	for format != "" {
		text, name, rest := next(format)
		if text != "" {
			f.parts = append(f.parts, part{text: text})
		}
		switch name {
		case "":
		case messageString:
			f.parts = append(f.parts, part{name: "error.message", quoted: true})
		default:
			f.parts = append(f.parts, part{name: name})
		}
		format = rest
	}
	return f
}

// next cuts a format after its first variable, if it has one.
func next(format string) (text, name, rest string) {
	for from := 0; ; {
		i := strings.Index(format[from:], reference)
		if i < 0 {
			return format, "", ""
		}
		i += from
		from = i + len(reference)
		if n := nameLength(format[from:]); n > 0 {
			return format[:i], format[from : from+n], format[from+n:]
		}
	}
}

// nameLength is the length of the name that a text begins with: words that are
// joined by dots. Hyphens occur in what authorizers add alone; elsewhere they
// separate variables.
func nameLength(s string) int {
	hyphens := strings.HasPrefix(s, "authorizer.")
	end := 0
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-' && hyphens:
			end = i + 1
		case c == '.' && end == i && i > 0:
		default:
			return end
		}
	}
	return end
}

// variables are the names that a format uses.
func variables(format string) (names []string) {
	for format != "" {
		var name string
		if _, name, format = next(format); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// maxValue bounds a value, much of which may be the client's, and maxLine a line
// as CloudWatch Logs does ("Quotas for configuring and running an HTTP API").
const (
	maxValue = 8 << 10
	maxPart  = 2 + 6*maxValue // quoted and escaped
	maxLine  = 1 << 20
)

// Append appends the line of a request, without its end. Variables without a
// value are "-". Values are escaped so that a client can write neither lines
// nor fields: as in JSON strings, or as XML if the format begins with "<". A
// line that becomes too long ends early.
func (f Format) Append(b []byte, v Values) []byte {
	begin := len(b)
	for i := range f.parts {
		p := &f.parts[i]
		if len(b)-begin > maxLine-maxPart {
			break
		}
		if p.name == "" {
			b = append(b, p.text...)
			continue
		}
		start := len(b)
		if p.quoted {
			b = append(b, '"')
		}
		from := len(b)
		b = v.AppendContext(b, p.name)
		switch {
		case len(b) == from:
			b = append(b[:start], '-')
			continue
		case len(b)-from > maxValue:
			b = b[:from+maxValue]
		}
		if !plain(b[from:]) {
			// Only what is odd is copied.
			b = f.escape(b[:from], string(b[from:]))
		}
		if p.quoted {
			b = append(b, '"')
		}
	}
	return b
}

// plain tells whether a value stands for itself in every format.
func plain(value []byte) bool {
	for _, c := range value {
		if c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

var xmlEntities = map[rune]string{'"': "&quot;", '<': "&lt;", '>': "&gt;", '&': "&amp;", '\'': "&apos;"}

func (f Format) escape(b []byte, value string) []byte {
	const hex = "0123456789abcdef"
	for _, r := range value {
		entity := ""
		if f.xml {
			entity = xmlEntities[r]
		}
		switch {
		case entity != "":
			b = append(b, entity...)
		case f.xml && (r < ' ' || 0x7f <= r && r < 0xa0 || isLineEnd(r)):
			b = utf8.AppendRune(b, utf8.RuneError) // not even a reference to it may stand in XML
		case r < ' ' || 0x7f <= r && r < 0xa0 || isLineEnd(r):
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		case !f.xml && (r == '"' || r == '\\'):
			b = append(b, '\\', byte(r))
		default: // bytes that are not UTF-8 become U+FFFD
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// isLineEnd tells the line and paragraph separators, which end lines too for
// some readers.
func isLineEnd(r rune) bool { return r == '\u2028' || r == '\u2029' }
