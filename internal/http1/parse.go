package http1

import (
	"fmt"
	"strings"
)

// Refusal is a message that is not HTTP/1.1, or that this engine refuses.
type Refusal struct {
	Status int    // that a server answers with
	Reason string // in words, without what the message held
}

func (e *Refusal) Error() string { return e.Reason }

func refuse(status int, format string, args ...any) *Refusal {
	return &Refusal{status, fmt.Sprintf(format, args...)}
}

// Character classes of RFC 9110, section 5.6.2, and RFC 9112, section 3.2.
const (
	classToken  = 1 << iota
	classTarget // visible ASCII
	classValue  // of a field: visible, space, tab, obs-text
	classHost   // of a Host field: no spaces, no delimiters by which it would mean another host to somebody else
)

var classes = func() (c [256]byte) {
	for i := range 256 {
		if i > ' ' && i < 0x7f {
			c[i] |= classTarget
			if strings.IndexByte("/?#@\\,<>\"{}|^`", byte(i)) < 0 {
				c[i] |= classHost
			}
		}
		if i >= ' ' && i != 0x7f || i == '\t' {
			c[i] |= classValue
		}
		if i >= '0' && i <= '9' || i >= 'a' && i <= 'z' || i >= 'A' && i <= 'Z' || i < 0x7f && strings.IndexByte("!#$%&'*+-.^_`|~", byte(i)) >= 0 {
			c[i] |= classToken
		}
	}
	return c
}()

// all tells whether a string is not empty and of one class.
func all(s string, class byte) bool {
	if s == "" {
		return false
	}
	for ; len(s) >= 4; s = s[4:] {
		if classes[s[0]]&classes[s[1]]&classes[s[2]]&classes[s[3]]&class == 0 {
			return false
		}
	}
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// Token tells whether a string can be the name of a field (RFC 9110, section
// 5.1).
func Token(s string) bool { return all(s, classToken) }

// cutLine takes a line off a head that ends with an empty line. Lines end with
// CRLF, and hold no other control character but tabs: input.scan has seen to that.
func cutLine(head string) (line, rest string) {
	i := strings.IndexByte(head, '\r')
	return head[:i], head[i+len("\r\n"):]
}

// parseRequest reads a request's head, which ends with an empty line. fields is
// storage for the header.
func parseRequest(r *Request, head string, fields []Field) error {
	line, rest := cutLine(head)
	method, after, ok := strings.Cut(line, " ")
	target, version, ok2 := strings.Cut(after, " ")
	if !ok || !ok2 {
		return refuse(400, "a request line without three parts")
	}
	minor, err := parseVersion(version)
	if err != nil {
		return err
	}
	r.Method, r.Target, r.Minor = method, target, minor
	if refused := r.checkLine(); refused != nil {
		return refused
	}
	r.Header, err = parseFields(rest, fields)
	return err
}

// checkLine refuses a method or a target that is none.
func (r *Request) checkLine() *Refusal {
	switch {
	case !all(r.Method, classToken):
		return refuse(400, "a method that is no token")
	case !all(r.Target, classTarget):
		return refuse(400, "a request target with characters that it may not have")
	}
	switch {
	case r.Method == "CONNECT" && validHost(r.Target): // authority-form
	case r.Target == "*" && r.Method == "OPTIONS", r.Target[0] == '/':
	case hasScheme(r.Target):
	default:
		return refuse(400, "a request target in none of the forms that the method allows")
	}
	if r.Target[0] != '/' && r.Target != "*" {
		if authority, _, _ := r.Origin(); authority == "" || !validHost(authority) {
			return refuse(400, "a request target without a host")
		}
	}
	return nil
}

// Check refuses a request that came by HTTP/2 and that HTTP/1.1 would not let
// in, by its method, target and host. The last must be there (RFC 9113, section
// 8.3.1).
func (r *Request) Check() *Refusal {
	if r.Host == "" || !validHost(r.Host) {
		return refuse(400, "an authority that is no host")
	}
	return r.checkLine()
}

// hasScheme tells whether a target is in absolute-form, with http or https.
func hasScheme(target string) bool {
	i := strings.Index(target, "://")
	return i > 0 && i+3 < len(target) && (equalFold(target[:i], "http") || equalFold(target[:i], "https"))
}

func parseVersion(s string) (minor int, err error) {
	if len(s) != len("HTTP/1.1") || s[:5] != "HTTP/" || s[6] != '.' || s[5] < '0' || s[5] > '9' || s[7] < '0' || s[7] > '9' {
		return 0, refuse(400, "an HTTP version that is none")
	}
	if s[5] != '1' {
		return 0, refuse(505, "an HTTP version other than 1")
	}
	// A higher minor version is to be taken for the highest known (RFC 9110,
	// section 2.5).
	return min(int(s[7]-'0'), 1), nil
}

// parseResponse reads a response's head.
func parseResponse(r *Response, head string, fields []Field) (minor int, err error) {
	line, rest := cutLine(head)
	version, after, _ := strings.Cut(line, " ")
	if minor, err = parseVersion(version); err != nil {
		return 0, err
	}
	code, _, _ := strings.Cut(after, " ")
	if len(code) != 3 || code[0] < '1' || code[0] > '9' || code[1] < '0' || code[1] > '9' || code[2] < '0' || code[2] > '9' {
		return 0, refuse(502, "a status that is no number of three digits")
	}
	r.Status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	r.Header, err = parseFields(rest, fields)
	return minor, err
}

// maxFields bounds the header fields of a message.
const maxFields = 256

// parseFields reads field lines up to the empty one.
func parseFields(s string, fields []Field) ([]Field, error) {
	for {
		var line string
		if line, s = cutLine(s); line == "" {
			return fields, nil
		}
		f, err := parseField(line)
		if err != nil {
			return nil, err
		}
		if len(fields) == maxFields {
			return nil, refuse(431, "more than %d header fields", maxFields)
		}
		fields = append(fields, f)
	}
}

// parseTrailer reads a field line of a trailer.
func parseTrailer(line string) (Field, error) {
	if !plain(line) {
		return Field{}, errControl
	}
	return parseField(line)
}

// parseField reads a field line without control characters but tabs.
func parseField(line string) (Field, error) {
	if line[0] == ' ' || line[0] == '\t' {
		return Field{}, refuse(400, "a folded header field")
	}
	i := 0
	for i < len(line) && classes[line[i]]&classToken != 0 {
		i++
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return Field{}, refuse(400, "a header field whose name is no token followed by a colon")
	}
	value := line[i+1:]
	for value != "" && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for value != "" && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	return Field{line[:i], value}, nil
}
