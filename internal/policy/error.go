package policy

import (
	"bytes"
	"fmt"
)

// Error is why a document is not a valid policy.
type Error struct {
	Line, Column int    // where in the document, from 1; a column is a byte
	Message      string // as IAM puts it, where it has words for it
}

// Error returns the message and the place.
func (e *Error) Error() string {
	return fmt.Sprintf("parse policy: %s Position (%d,%d)", e.Message, e.Line, e.Column)
}

// syntaxErrors is what IAM says of most mistakes; the reason is ours.
const syntaxErrors = "Syntax errors in policy."

func malformed(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...)}
}

// locate returns e with the place of an offset in doc.
func locate(e *Error, doc []byte, offset int) *Error {
	before := doc[:min(max(offset, 0), len(doc))]
	e.Line = 1 + bytes.Count(before, []byte("\n"))
	e.Column = len(before) - bytes.LastIndexByte(before, '\n')
	return e
}
