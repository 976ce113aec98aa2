package http1

import (
	"sync/atomic"
	"time"
)

var clockStart = time.Now()

// clock is the time in nanoseconds since the process began; never 0. It is half
// as dear as time.Now, which reads two clocks.
func clock() int64 { return int64(time.Since(clockStart)) + 1 }

// dated is the value of a Date field, made once a second.
type dated struct {
	until int64 // by clock
	value string
}

var lastDate atomic.Pointer[dated]

// Date is the value of a Date field now (RFC 9110, section 6.6.1).
func Date() string {
	d := lastDate.Load()
	if at := clock(); d == nil || at >= d.until {
		now := time.Now()
		d = &dated{until: at + int64(time.Second) - int64(now.Nanosecond()), value: now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
		lastDate.Store(d)
	}
	return d.value
}

func appendDate(b []byte) []byte {
	b = append(b, "Date: "...)
	b = append(b, Date()...)
	return append(b, "\r\n"...)
}
