package http1

import (
	"sync/atomic"
	"time"
)

var clockStart = time.Now()

// clock is the time in nanoseconds since the process began; never 0. It is half
// as dear as time.Now, which reads two clocks.
func clock() int64 { return int64(time.Since(clockStart)) + 1 }

// dated is a Date field, made once a second.
type dated struct {
	until int64 // by clock
	line  []byte
}

var lastDate atomic.Pointer[dated]

func appendDate(b []byte) []byte {
	d := lastDate.Load()
	if at := clock(); d == nil || at >= d.until {
		now := time.Now()
		line := now.UTC().AppendFormat(append(make([]byte, 0, 40), "Date: "...), "Mon, 02 Jan 2006 15:04:05 GMT\r\n")
		d = &dated{until: at + int64(time.Second) - int64(now.Nanosecond()), line: line}
		lastDate.Store(d)
	}
	return append(b, d.line...)
}
