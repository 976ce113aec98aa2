package feed

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Limits of one message in bytes. Configuration may be large; what a
// subscriber sends, some of which parse bytes of strangers, may not.
const (
	maxToServer = 4 << 20
	maxToClient = 256 << 20
)

// Role is what a subscriber is, and so which configuration it gets.
type Role string

// kind tells which fields of a message are set.
type kind string

const (
	kindHello    kind = "hello"    // Role
	kindRefused  kind = "refused"  // Error
	kindUpdate   kind = "update"   // Revision, Config
	kindAck      kind = "ack"      // Revision, Error
	kindRequest  kind = "request"  // ID, Method, Params
	kindResponse kind = "response" // ID, Result, Error
)

type message struct {
	Kind     kind            `json:"kind"`
	Role     Role            `json:"role,omitempty"`
	Revision int64           `json:"revision,omitempty"`
	Config   json.RawMessage `json:"config,omitempty"`
	ID       uint64          `json:"id,omitempty"`
	Method   string          `json:"method,omitempty"`
	Params   json.RawMessage `json:"params,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

const headerSize = 4

// encode returns the frame of a message; an error if it is longer than limit.
func encode(m message, limit int) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Kind, err)
	}
	if len(body) > limit {
		return nil, fmt.Errorf("encode %s: %d bytes are more than the limit of %d", m.Kind, len(body), limit)
	}
	frame := make([]byte, headerSize, headerSize+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	return append(frame, body...), nil
}

// readMessage reads one frame. The error is io.EOF only if the stream ended
// between frames.
func readMessage(r io.Reader, limit int) (message, error) {
	var m message
	body, err := readFrame(r, limit)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("decode message: %w", err)
	}
	return m, nil
}

// firstRead bounds the memory that a length alone can claim.
const firstRead = 64 << 10

func readFrame(r io.Reader, limit int) ([]byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(header[:])
	if uint64(size) > uint64(limit) {
		return nil, fmt.Errorf("read message: %d bytes are more than the limit of %d", size, limit)
	}
	n := int(size)
	body := make([]byte, 0, min(n, firstRead))
	for len(body) < n {
		// Memory grows with what has arrived.
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(n, 2*cap(body)))
			copy(grown, body)
			body = grown
		}
		got, err := io.ReadFull(r, body[len(body):cap(body)])
		body = body[:len(body)+got]
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("read message: %w", err)
		}
	}
	return body, nil
}
