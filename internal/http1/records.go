package http1

import "encoding/binary"

// records follows the borders of TLS's records in a stream of bytes (RFC 8446,
// section 5.1).
type records struct {
	header [5]byte // type, version and length
	got    int     // of the header
	left   int     // of the record's contents
}

// pass is told the next bytes of the stream.
func (r *records) pass(b []byte) {
	for len(b) > 0 {
		if r.left > 0 {
			n := min(r.left, len(b))
			r.left, b = r.left-n, b[n:]
			continue
		}
		n := copy(r.header[r.got:], b)
		if r.got, b = r.got+n, b[n:]; r.got == len(r.header) {
			r.got, r.left = 0, int(binary.BigEndian.Uint16(r.header[3:]))
		}
	}
}

// within tells whether a record has begun and not ended.
func (r *records) within() bool { return r.got > 0 || r.left > 0 }
