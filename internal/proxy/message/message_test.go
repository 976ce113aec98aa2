package message

import "testing"

func TestLineSize(t *testing.T) {
	r := Request{Method: "GET", Path: "/a", Query: "b=1", Proto: "HTTP/1.1"}
	if got := r.LineSize(); got != len("GET /a?b=1 HTTP/1.1") {
		t.Errorf("%d", got)
	}
}
