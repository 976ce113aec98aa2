package http2

import (
	"encoding/binary"
	"fmt"
)

// Types of frames (RFC 9113, section 6).
const (
	frameData uint8 = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation
)

// Flags of frames.
const (
	flagEndStream  = 0x01
	flagAck        = 0x01
	flagEndHeaders = 0x04
	flagPadded     = 0x08
	flagPriority   = 0x20
)

// code is an error code (RFC 9113, section 7).
type code uint32

const (
	codeNone code = iota
	codeProtocol
	codeInternal
	codeFlowControl
	codeSettingsTimeout
	codeStreamClosed
	codeFrameSize
	codeRefused
	codeCancel
	codeCompression
	codeConnect
	codeCalm
)

// connectionError is what a client did that ends its connection.
type connectionError struct {
	code   code
	reason string
}

func (e *connectionError) Error() string { return "HTTP/2: " + e.reason }

func broken(c code, format string, args ...any) error {
	return &connectionError{c, fmt.Sprintf(format, args...)}
}

const (
	frameHeaderSize = 9
	// maxFrame is the largest payload either way: that of every implementation,
	// which is not negotiated (section 4.2).
	maxFrame = 16 << 10
	// maxWindow bounds windows of flow control, and identifiers of streams.
	maxWindow = 1<<31 - 1
)

type frameHeader struct {
	length      int
	kind, flags uint8
	stream      uint32
}

func (h frameHeader) has(flag uint8) bool { return h.flags&flag != 0 }

// parseFrameHeader reads frameHeaderSize bytes.
func parseFrameHeader(b []byte) frameHeader {
	return frameHeader{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), kind: b[3], flags: b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & maxWindow,
	}
}

func appendFrame(b []byte, length int, kind, flags uint8, stream uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags)
	return binary.BigEndian.AppendUint32(b, stream)
}

func putLength(frame []byte, length int) {
	frame[0], frame[1], frame[2] = byte(length>>16), byte(length>>8), byte(length)
}

// Settings (RFC 9113, section 6.5.2).
const (
	settingTableSize     = 1
	settingPush          = 2
	settingStreams       = 3
	settingWindow        = 4
	settingFrame         = 5
	settingHeaderList    = 6
	settingSize          = 6 // of each in bytes
	settingWindowDefault = 1<<16 - 1
	tableSize            = 4 << 10 // of HPACK's dynamic table
)

func appendSetting(b []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, id), value)
}

func appendReset(b []byte, stream uint32, c code) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, frameReset, 0, stream), uint32(c))
}

func appendWindow(b []byte, stream, more uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, frameWindow, 0, stream), more)
}

func appendGoAway(b []byte, last uint32, c code) []byte {
	b = appendFrame(b, 8, frameGoAway, 0, 0)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, last), uint32(c))
}
