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
)

var classes = func() (c [256]byte) {
	for i := range 256 {
		if i > ' ' && i < 0x7f {
			c[i] |= classTarget
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
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return s != ""
}

// Token tells whether a string can be the name of a field (RFC 9110, section
// 5.1).
func Token(s string) bool { return all(s, classToken) }

// plain tells whether a string is of field values' characters: visible, space,
// tab and obs-text. Eight bytes are looked at at a time; a tab is rare.
func plain(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		del := x ^ 0x7f*ones
		// A top bit is set where a byte is below ' ', or is DEL, or behind such a
		// byte: no less is known than that there may be one.
		if ((x-' '*ones)&^x|(del-ones)&^del)&tops != 0 {
			break
		}
	}
	for ; i < len(s); i++ {
		if classes[s[i]]&classValue == 0 {
			return false
		}
	}
	return true
}

// cutLine takes a line off a head that ends with an empty line. Lines end with
// CRLF: input.head has seen to it that no LF stands without CR.
func cutLine(head string) (line, rest string) {
	i := strings.IndexByte(head, '\n')
	return head[:i-1], head[i+1:]
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
	if authority, _, _ := r.Origin(); r.Target[0] != '/' && r.Target != "*" && (authority == "" || !validHost(authority)) {
		return refuse(400, "a request target without a host")
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
	code, reason, _ := strings.Cut(after, " ")
	if len(code) != 3 || code[0] < '1' || code[0] > '9' || code[1] < '0' || code[1] > '9' || code[2] < '0' || code[2] > '9' {
		return 0, refuse(502, "a status that is no number of three digits")
	}
	if !plain(reason) {
		return 0, refuse(502, "control characters in the reason phrase")
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

func parseField(line string) (Field, error) {
	if line[0] == ' ' || line[0] == '\t' {
		return Field{}, refuse(400, "a folded header field")
	}
	i := strings.IndexByte(line, ':')
	if i < 0 || !all(line[:i], classToken) {
		return Field{}, refuse(400, "a header field whose name is no token followed by a colon")
	}
	value := line[i+1:]
	for value != "" && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for value != "" && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	if !plain(value) {
		return Field{}, refuse(400, "control characters in a header field")
	}
	return Field{line[:i], value}, nil
}
