package http2

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// What is encoded is what a decoder sees, of any status and any length.
func TestAppendHeader(t *testing.T) {
	for _, status := range []int{100, 200, 204, 206, 304, 400, 404, 500, 502, 561} {
		for _, size := range []int{0, 1, 126, 127, 128, 254, 255, 16_000} {
			value, name := strings.Repeat("v", size), "X-"+strings.Repeat("N", size)
			r := &http1.Response{Status: status, Header: http1.Header{
				{Name: "Content-Type", Value: value}, {Name: name, Value: "1"}, {Name: "Set-Cookie", Value: "a=1"}, {Name: "date", Value: "now"},
				{Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Upgrade", Value: "h2c"}, {Name: "TE", Value: "x"}, {Name: "Content-Length", Value: "7"},
			}}
			fields, err := hpack.NewDecoder(tableSize, nil).DecodeFull(appendHeader(nil, r, true))
			if err != nil {
				t.Fatal(status, size, err)
			}
			want := []hpack.HeaderField{{Name: ":status", Value: strconv.Itoa(status)}, {Name: "content-type", Value: value}, {Name: strings.ToLower(name), Value: "1"},
				{Name: "set-cookie", Value: "a=1", Sensitive: true}, {Name: "date", Value: "now"}}
			if status >= 200 && status != 204 && status != 304 {
				want = append(want, hpack.HeaderField{Name: "content-length", Value: "7"})
			}
			if !slices.Equal(fields, want) {
				t.Errorf("%d, %d: %.300v", status, size, fields)
			}
		}
	}
}

// The indices are those of RFC 7541, appendix A, as a decoder has them.
func TestStaticTable(t *testing.T) {
	for name, i := range staticNames {
		b := appendValue(appendInteger(nil, literal, literalPrefix, int(i)), "x")
		if f, err := hpack.NewDecoder(tableSize, nil).DecodeFull(b); err != nil || f[0].Name != name {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	for status, i := range staticStatus {
		if f, err := hpack.NewDecoder(tableSize, nil).DecodeFull([]byte{0x80 | i}); err != nil || f[0].Value != strconv.Itoa(status) {
			t.Errorf("%d: %v, %v", status, f, err)
		}
	}
}

// Date is in the form of RFC 9110, section 5.6.7.
func TestDate(t *testing.T) {
	if _, err := http.ParseTime(http1.Date()); err != nil {
		t.Error(err)
	}
}
