package upstream

import (
	"errors"
	"strconv"
)

// Reset is the error of a stream that a backend reset, with a code of RFC 9113,
// section 7. errors.As finds net/http's own by the names of the fields.
type Reset struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (Reset) Error() string { return "the stream was reset" }

// refusedStream is REFUSED_STREAM (RFC 9113, section 7).
const refusedStream = 7

// resetNames are the names of codes (RFC 9113, section 7).
var resetNames = []string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// unprocessed tells whether a backend says that it did nothing with a request
// (RFC 9113, section 8.7), or it was not sent at all. net/http has no other
// names for the latter and for a stream beyond a GOAWAY's last.
func unprocessed(err error) bool {
	var reset Reset
	if errors.As(err, &reset) {
		return reset.Code == refusedStream
	}
	switch err.Error() {
	case "http2: client conn not usable", "http2: Transport received Server's graceful shutdown GOAWAY":
		return true
	}
	return false
}

// resetCause says how a stream was reset, if that is what an error is.
func resetCause(err error) (string, bool) {
	var reset Reset
	if !errors.As(err, &reset) {
		return "", false
	}
	name := strconv.FormatUint(uint64(reset.Code), 10)
	if reset.Code < uint32(len(resetNames)) {
		name = resetNames[reset.Code]
	}
	return "the stream was reset: " + name, true
}
