package wire

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCountJSON(t *testing.T) {
	for text, want := range map[string]int{
		``: 0, `1`: 0, `[]`: 1, `[1,2,3]`: 3, `{"a":[{},{}]}`: 5,
		`"[,{"`: 0, `["\"[,{","\\",1]`: 3, `"`: 0, `"\`: 0,
	} {
		if got := countJSON([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestParseJSONLimit(t *testing.T) {
	list := func(n int) []byte { return []byte("[" + strings.Repeat("0,", n-1) + "0]") }
	if _, err := parseJSON(list(maxJSONValues)); err != nil {
		t.Errorf("%d values: %v", maxJSONValues, err)
	}
	if _, err := parseJSON(list(maxJSONValues + 1)); err == nil {
		t.Errorf("%d values were read", maxJSONValues+1)
	}
	if _, err := parseJSON([]byte(`"` + strings.Repeat("[", 2*maxJSONValues) + `"`)); err != nil {
		t.Errorf("a string of brackets: %v", err)
	}
}

// TestViolationLimit: a short element makes a long sentence, so that a body
// could ask for a message many times its size.
func TestViolationLimit(t *testing.T) {
	op := compileValidate(t, "query")
	in := validateIn{Name: Ptr("abc"), Ports: []int64{}, Tags: make([]*validateTag, 10*maxViolations)}
	for i := range in.Tags {
		in.Tags[i] = &validateTag{Key: Ptr("x")}
	}
	err := validate(op, reflect.ValueOf(in))
	if err == nil || len(err.Message) > 300*maxViolations {
		t.Errorf("the message has %d bytes", len(err.Message))
	}
}

func TestClip(t *testing.T) {
	if got := clip("short", 5); got != "short" {
		t.Error(got)
	}
	if got := clip("ab☃cd", 4); got != "ab…" {
		t.Error(got)
	}
	if got := clip(strings.Repeat("é", 1000), 101); !utf8.ValidString(got) || len(got) > 104 {
		t.Error(got)
	}
}
