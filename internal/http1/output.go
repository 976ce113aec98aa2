package http1

import (
	"slices"
	"strconv"
	"sync"
)

var outputs = sync.Pool{New: func() any { b := make([]byte, 0, outputSize); return &b }}

// framed are the fields that the engine writes itself.
func framed(name string) bool {
	switch len(name) {
	case len("connection"):
		return equalFold(name, "connection")
	case len("content-length"):
		return equalFold(name, "content-length")
	case len("transfer-encoding"):
		return equalFold(name, "transfer-encoding")
	}
	return false
}

// appendFields appends header fields. A value with a line end would be another
// field, or another message: control characters become spaces. A name that is
// no token is left out.
func appendFields(b []byte, header []Field) []byte {
	for i := range header {
		f := &header[i]
		if !framed(f.Name) && all(f.Name, classToken) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	return b
}

// appendField appends a field line, whose name is a token.
func appendField(b []byte, name, value string) []byte {
	start, n := len(b), len(name)+len(": ")+len(value)+len("\r\n")
	b = slices.Grow(b, n)[:start+n]
	line := b[start:]
	i := copy(line, name)
	line[i], line[i+1] = ':', ' '
	end := len(line) - len("\r\n")
	line[end], line[end+1] = '\r', '\n'
	text := line[i+len(": ") : end]
	copy(text, value)
	for j := control(text, 0); j < len(text); j = control(text, j+1) {
		if text[j] != '\t' {
			text[j] = ' '
		}
	}
	return b
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

// appendStatus appends a status line.
func appendStatus(b []byte, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, reasons[status]...)
	return append(b, "\r\n"...)
}

// A chunk's size is written with a fixed number of digits, so that data can be
// read behind its place before the size is known.
const (
	chunkDigits = 4
	chunkHeader = chunkDigits + len("\r\n")
	lastChunk   = "0\r\n\r\n"
)

func putChunkHeader(b []byte, n int) {
	const digits = "0123456789abcdef"
	for i := range chunkDigits {
		b[i] = digits[n>>(4*(chunkDigits-1-i))&15]
	}
	b[chunkDigits], b[chunkDigits+1] = '\r', '\n'
}
