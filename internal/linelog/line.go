package linelog

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// Log writes a line for each of many events, as the handlers of package slog
// would write it, without what those allocate. A nil Log writes nothing.
type Log struct {
	w       io.Writer
	json    bool
	level   slog.Level
	process string
	last    atomic.Pointer[second]
	kind    atomic.Pointer[kind]
}

// kind is what lines of a level and a message have in common, as it is written.
type kind struct {
	level         slog.Level
	message, text string
}

// second is a second of the local time, as it is written.
type second struct {
	unix       int64
	text, zone string
}

// appendTime appends a local time with milliseconds.
func (l *Log) appendTime(b []byte, now time.Time) []byte {
	s := l.last.Load()
	if s == nil || s.unix != now.Unix() {
		s = &second{now.Unix(), now.Format("2006-01-02T15:04:05"), now.Format("Z07:00")}
		l.last.Store(s)
	}
	ms := now.Nanosecond() / 1e6
	b = append(b, s.text...)
	b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	return append(b, s.zone...)
}

// NewLog makes a log whose lines name the process.
func NewLog(w io.Writer, json bool, level slog.Level, process string) *Log {
	return &Log{w: w, json: json, level: level, process: process}
}

// Enabled tells whether lines of a level are written.
func (l *Log) Enabled(level slog.Level) bool { return l != nil && level >= l.level }

var lines = sync.Pool{New: func() any { return &Line{b: make([]byte, 0, 1<<10)} }}

// Line is a line that is being made. Keys are plain words.
type Line struct {
	log *Log
	b   []byte
}

// Line begins a line of a local time, whose level must be enabled.
func (l *Log) Line(now time.Time, level slog.Level, message string) *Line {
	e := lines.Get().(*Line)
	e.log = l
	if l.json {
		e.b = append(e.b[:0], `{"time":"`...)
		e.b = append(l.appendTime(e.b, now), '"')
	} else {
		e.b = append(e.b[:0], "time="...)
		e.b = l.appendTime(e.b, now)
	}
	k := l.kind.Load()
	if k == nil || k.level != level || k.message != message {
		k = &kind{level, message, l.Pairs("level", level.String(), "msg", message)}
		if l.process != "" {
			k.text += l.Pairs("process", l.process)
		}
		l.kind.Store(k)
	}
	e.Pairs(k.text)
	return e
}

// Pairs makes what is the same in many lines: keys, each before its text. A nil
// Log makes nothing of them.
func (l *Log) Pairs(texts ...string) string {
	if l == nil {
		return ""
	}
	e := Line{log: l}
	for i := 0; i < len(texts); i += 2 {
		e.Text(texts[i], texts[i+1])
	}
	return string(e.b)
}

// Pairs adds what the line's Log made.
func (e *Line) Pairs(made string) { e.b = append(e.b, made...) }

// End writes the line.
func (e *Line) End() {
	if e.log.json {
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, '\n')
	e.log.w.Write(e.b)
	if e.log = nil; cap(e.b) <= 16<<10 {
		lines.Put(e)
	}
}

func (e *Line) key(key string) {
	if !e.log.json {
		e.b = append(append(append(e.b, ' '), key...), '=')
		return
	}
	e.b = append(append(append(e.b, `,"`...), key...), `":`...)
}

// Int adds a number.
func (e *Line) Int(key string, n int64) {
	e.key(key)
	e.b = strconv.AppendInt(e.b, n, 10)
}

// Word adds a text that is known to be of letters, digits and such as are never
// quoted for, and not to be empty.
func (e *Line) Word(key, value string) {
	e.key(key)
	if !e.log.json {
		e.b = append(e.b, value...)
		return
	}
	e.b = append(append(append(e.b, '"'), value...), '"')
}

// Text adds a text, quoted if need be.
func (e *Line) Text(key, value string) {
	if value != "" && plain(value) {
		e.Word(key, value)
		return
	}
	e.key(key)
	var found byte
	for i := range len(value) {
		found |= classes[value[i]]
	}
	switch {
	case !e.log.json && value != "" && found&classParted == 0 && !needsQuotes(value):
		e.b = append(e.b, value...)
	case found&classEscaped == 0:
		e.b = append(append(append(e.b, '"'), value...), '"')
	case !e.log.json:
		e.b = strconv.AppendQuote(e.b, value)
	default:
		text, _ := json.Marshal(value) // no string fails
		e.b = append(e.b, text...)
	}
}

// plain tells whether a text holds nothing that is quoted for. Eight bytes are
// looked at at a time; that '!' among them makes it say no is cheaper than to tell.
func plain(s string) bool {
	const each, tops = 0x0101010101010101, 0x8080808080808080
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		equals, backslash := x^'='*each, x^'\\'*each
		if ((x-'#'*each)&^x|(x+each)|x|(equals-each)&^equals|(backslash-each)&^backslash)&tops != 0 {
			return false
		}
	}
	for _, c := range b {
		if classes[c] != 0 {
			return false
		}
	}
	return true
}

// What a byte asks of the text that it is in.
const (
	classParted  = 1 << iota // quotes, where texts are parted by spaces
	classEscaped             // more than quotes, or a look at whole characters
)

var classes = func() (c [256]byte) {
	for i := range c {
		if i <= ' ' || i == '"' || i == '=' {
			c[i] |= classParted
		}
		if i < ' ' || i > '~' || i == '"' || i == '\\' {
			c[i] |= classEscaped
		}
	}
	return c
}()

// needsQuotes is slog's rule.
func needsQuotes(s string) bool {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c <= ' ' || c == '"' || c == '=' {
				return true
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return true
		}
		i += size
	}
	return false
}
