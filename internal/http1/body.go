package http1

import (
	"errors"
	"io"
)

// Limits of a chunked body's framing in bytes: of a chunk's line with its
// extensions, and of the trailer section.
const (
	maxChunkLine = 256
	maxTrailer   = 8 << 10
)

// bodyReader reads a message's body off its connection. Trailers are read,
// checked and left out (RFC 9110, section 6.5.1).
type bodyReader struct {
	in    *input
	kind  bodyKind
	left  int64 // of a body of a fixed length, or of the current chunk
	begun bool  // a chunk was read, whose line end is still to come
	err   error // once it has ended: io.EOF if it did well
}

func makeBodyReader(in *input, f framing) bodyReader {
	b := bodyReader{in: in, kind: f.kind, left: f.length}
	if f.kind == bodyNone {
		b.err = io.EOF
	}
	return b
}

// Read returns io.EOF with the last bytes where it can be known, so that the
// end needs no call of its own.
func (b *bodyReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.kind == bodyChunked && b.left == 0 {
		if b.nextChunk(); b.err != nil {
			return 0, b.err
		}
	}
	if b.kind != bodyUntilClose && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	return b.took(b.in.read(p))
}

// readPipe reads a body of a fixed length; see Piped.
func (b *bodyReader) readPipe(p *Pipe) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.kind != bodyFixed {
		return 0, errors.ErrUnsupported
	}
	n, err := b.in.readPipe(p, b.left)
	if err == errors.ErrUnsupported {
		return 0, err
	}
	return b.took(n, err)
}

// took counts what was read.
func (b *bodyReader) took(n int, err error) (int, error) {
	b.left -= int64(n)
	switch {
	case err == io.EOF && b.kind == bodyUntilClose:
		b.err = io.EOF
	case err == io.EOF:
		b.err = io.ErrUnexpectedEOF
	case err != nil:
		b.err = err
	case b.left == 0 && b.kind == bodyFixed:
		b.err = io.EOF
	case b.left == 0 && b.kind == bodyChunked && b.in.buffered() >= len("\r\n0\r\n\r\n"):
		b.nextChunk()
		if b.err != nil && b.err != io.EOF {
			return n, nil // told by the next call
		}
	}
	if n > 0 && b.err != io.EOF {
		return n, nil
	}
	return n, b.err
}

// whole takes what is left of a body of a fixed length out of the connection's
// buffer, where it stays until the connection is read again; nil if it is not
// all there.
func (b *bodyReader) whole() []byte {
	if b.err != nil || b.kind != bodyFixed || int64(b.in.buffered()) < b.left {
		return nil
	}
	whole := b.in.buf.b[b.in.r:][:b.left]
	b.in.r += len(whole)
	b.left, b.err = 0, io.EOF
	return whole
}

// ended tells whether the whole body was read.
func (b *bodyReader) ended() bool { return b.err == io.EOF }

// buffered is how many bytes can be read without waiting.
func (b *bodyReader) buffered() int {
	if b.err != nil {
		return 0
	}
	return b.in.buffered()
}

// nextChunk reads a chunk's line; after the last chunk also the trailers.
func (b *bodyReader) nextChunk() {
	if b.begun {
		line, err := b.in.line(0)
		if err == nil && len(line) > 0 {
			err = refuse(400, "a chunk that is longer than it says")
		}
		if b.err = err; err != nil {
			return
		}
	}
	line, err := b.in.line(maxChunkLine)
	if err == nil {
		b.left, err = parseChunk(line)
	}
	if b.err = err; err != nil {
		return
	}
	b.begun = true
	if b.left > 0 {
		return
	}
	for size := 0; ; {
		line, err := b.in.line(maxTrailer)
		if err == nil && len(line) > 0 {
			if size += len(line) + 2; size > maxTrailer {
				err = refuse(431, "trailers of more than %d bytes", maxTrailer)
			} else {
				_, err = parseTrailer(string(line))
			}
		}
		if err != nil {
			b.err = err
			return
		}
		if len(line) == 0 {
			b.err = io.EOF
			return
		}
	}
}

// parseChunk reads a chunk's size (RFC 9112, section 7.1). Extensions are
// passed over.
func parseChunk(line []byte) (int64, error) {
	var n int64
	i := 0
	for ; i < len(line); i++ {
		digit, ok := hexDigit(line[i])
		if !ok {
			break
		}
		if i == maxChunkDigits {
			return 0, errChunkSize
		}
		n = n<<4 | digit
	}
	if i == 0 {
		return 0, errChunkSize
	}
	if rest := line[i:]; len(rest) > 0 {
		for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0] != ';' || !all(string(rest), classValue) {
			return 0, refuse(400, "a chunk's line with other than its size and extensions")
		}
	}
	return n, nil
}

const maxChunkDigits = 15

var errChunkSize = refuse(400, "a chunk's size that is no number of 1 to %d hexadecimal digits", maxChunkDigits)

func hexDigit(c byte) (int64, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int64(c - '0'), true
	case 'a' <= c && c <= 'f':
		return int64(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return int64(c-'A') + 10, true
	}
	return 0, false
}
