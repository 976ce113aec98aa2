package gateway

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// The identifiers tell requests apart in logs. They are no secrets, so that
// the runtime's generator is good enough.

// newRequestID makes a random UUID.
func (x *exchange) newRequestID() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], rand.Uint64())
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], b[0:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:36], b[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return x.texts.Of(text[:])
}

// newExtendedID makes an identifier of the form of x-amz-apigw-id: 16
// characters of base64, of which the last is padding.
func (x *exchange) newExtendedID() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], rand.Uint64())
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	var text [16]byte
	base64.StdEncoding.Encode(text[:], b[:11])
	return x.texts.Of(text[:])
}

// rootOf is the trace's own id in a value of X-Amzn-Trace-Id.
func rootOf(value string) string {
	for field := range strings.SplitSeq(value, ";") {
		if root, ok := strings.CutPrefix(strings.TrimSpace(field), "Root="); ok {
			return root
		}
	}
	return ""
}

// isRoot tells whether a text is "1-", a time of 8 digits and 24 more.
func isRoot(s string) bool {
	if len(s) != len("1-01234567-0123456789abcdef01234567") || s[:2] != "1-" || s[10] != '-' {
		return false
	}
	for _, digits := range []string{s[2:10], s[11:]} {
		for i := range len(digits) {
			if c := digits[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// trace is the value of X-Amzn-Trace-Id: the client's if it has a root that is
// one, else a new one.
func (x *exchange) trace(client string) string {
	if client != "" && isRoot(rootOf(client)) {
		return client
	}
	var b [16]byte
	binary.BigEndian.PutUint32(b[:4], uint32(x.start.Unix()))
	binary.BigEndian.PutUint64(b[4:12], rand.Uint64())
	binary.BigEndian.PutUint32(b[12:], rand.Uint32())
	text := []byte("Root=1-01234567-0123456789abcdef01234567")
	hex.Encode(text[7:15], b[:4])
	hex.Encode(text[16:], b[4:])
	return x.texts.Of(text)
}
