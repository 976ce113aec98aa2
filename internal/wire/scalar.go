package wire

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Timestamp formats of the models.
const (
	formatISO8601 = "iso8601"
	formatRFC822  = "rfc822"
	formatUnix    = "unixTimestamp"
)

const iso8601 = "2006-01-02T15:04:05.999Z07:00"

// formatTime writes t, which becomes UTC, in milliseconds at most.
func formatTime(t time.Time, format string) string {
	t = t.UTC()
	switch format {
	case formatRFC822:
		return t.Format(http.TimeFormat)
	case formatUnix:
		ms := t.UnixMilli()
		if ms%1000 == 0 {
			return strconv.FormatInt(ms/1000, 10)
		}
		return strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64)
	default:
		return t.Format(iso8601)
	}
}

// parseTime reads any of the formats, as AWS does.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	if t, err := http.ParseTime(s); err == nil {
		return t.UTC(), nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1e12 {
		sec, frac := math.Modf(f)
		return time.Unix(int64(sec), int64(math.Round(frac*1e3))*1e6).UTC(), nil
	}
	return time.Time{}, errors.New("not a timestamp")
}

// setText stores a scalar that was sent as text into dst.
func (sl *slot) setText(dst reflect.Value, text string) error {
	switch sl.shape.kind {
	case kindString:
		alloc(dst).SetString(text)
	case kindInteger:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return errors.New("not an integer")
		}
		alloc(dst).SetInt(n)
	case kindFloat:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return errors.New("not a number")
		}
		alloc(dst).SetFloat(f)
	case kindBoolean:
		switch {
		case strings.EqualFold(text, "true"):
			alloc(dst).SetBool(true)
		case strings.EqualFold(text, "false"):
			alloc(dst).SetBool(false)
		default:
			return errors.New("not a boolean")
		}
	case kindTimestamp:
		t, err := parseTime(text)
		if err != nil {
			return err
		}
		alloc(dst).Set(reflect.ValueOf(t))
	case kindBlob:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return errors.New("not base64")
		}
		dst.SetBytes(b)
	default:
		return fmt.Errorf("a %v cannot be text", sl.shape.typ)
	}
	return nil
}

// text returns a scalar as text; format is the protocol's format of timestamps.
func (sl *slot) text(v reflect.Value, format string) string {
	switch sl.shape.kind {
	case kindInteger:
		return strconv.FormatInt(v.Int(), 10)
	case kindFloat:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case kindBoolean:
		return strconv.FormatBool(v.Bool())
	case kindTimestamp:
		if sl.timeFormat != "" {
			format = sl.timeFormat
		}
		return formatTime(v.Interface().(time.Time), format)
	case kindBlob:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	default:
		return v.String()
	}
}

// A JSON value in a header is base64, elsewhere a string that holds JSON.

func setJSONText(dst reflect.Value, text string, header bool) error {
	data := []byte(text)
	if header {
		var err error
		if data, err = base64.StdEncoding.DecodeString(text); err != nil {
			return errors.New("not base64")
		}
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return errors.New("not JSON")
	}
	if v != nil {
		dst.Set(reflect.ValueOf(v))
	}
	return nil
}

func jsonText(v reflect.Value, header bool) (string, error) {
	data, err := json.Marshal(v.Interface())
	if err != nil {
		return "", fmt.Errorf("write JSON value: %w", err)
	}
	if header {
		return base64.StdEncoding.EncodeToString(data), nil
	}
	return string(data), nil
}
