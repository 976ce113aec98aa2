package http2

import "strconv"

// Header blocks that are sent use HPACK's static table for names and for whole
// status fields, and never the dynamic one: they depend on nothing that was sent
// before, and cost the least time (RFC 7541, section 6).

// staticNames are names of fields of responses, by their index in the static
// table (RFC 7541, appendix A).
var staticNames = map[string]uint8{
	"accept-ranges": 18, "access-control-allow-origin": 20, "age": 21, "allow": 22, "cache-control": 24,
	"content-disposition": 25, "content-encoding": 26, "content-language": 27, "content-length": 28,
	"content-location": 29, "content-range": 30, "content-type": 31, "date": 33, "etag": 34, "expires": 36,
	"last-modified": 44, "link": 45, "location": 46, "proxy-authenticate": 48, "refresh": 52, "retry-after": 53,
	"server": 54, "set-cookie": 55, "strict-transport-security": 56, "vary": 59, "via": 60, "www-authenticate": 61,
}

// staticStatus are the status fields of the static table.
var staticStatus = map[int]uint8{200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}

const (
	staticStatusName = 8
	literal          = 0x00 // without indexing
	literalSecret    = 0x10 // never to be indexed
	literalPrefix    = 4    // bits of the name's index
	stringPrefix     = 7
	tableEmpty       = 0x20 // the dynamic table's size is 0
)

// appendInteger appends an integer behind bits that are set already (RFC 7541,
// section 5.1).
func appendInteger(b []byte, first byte, prefix uint, n int) []byte {
	most := 1<<prefix - 1
	if n < most {
		return append(b, first|byte(n))
	}
	b = append(b, first|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func appendStatus(b []byte, status int) []byte {
	if i := staticStatus[status]; i != 0 {
		return append(b, 0x80|i)
	}
	b = appendInteger(b, literal, literalPrefix, staticStatusName)
	b = append(b, 3)
	return strconv.AppendInt(b, int64(status), 10)
}

// appendField appends a field. Its name is written in lower case; control
// characters in its value become spaces.
func appendField(b []byte, name, value string) []byte {
	var buf [64]byte
	kind := byte(literal)
	lower := buf[:0]
	if len(name) <= len(buf) {
		lower = appendLower(lower, name)
		i := staticNames[string(lower)]
		if string(lower) == "set-cookie" {
			kind = literalSecret
		}
		if i != 0 {
			b = appendInteger(b, kind, literalPrefix, int(i))
			return appendValue(b, value)
		}
	}
	b = append(b, kind)
	b = appendInteger(b, 0, stringPrefix, len(name))
	b = appendLower(b, name)
	return appendValue(b, value)
}

func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

func appendValue(b []byte, value string) []byte {
	b = appendInteger(b, 0, stringPrefix, len(value))
	start := len(b)
	b = append(b, value...)
	for i := start; i < len(b); i++ {
		if b[i] < ' ' && b[i] != '\t' || b[i] == 0x7f {
			b[i] = ' '
		}
	}
	return b
}
