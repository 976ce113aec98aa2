package http1

import "strings"

// framing is how long a message's body is, and what its connection becomes.
type framing struct {
	kind   bodyKind
	length int64 // of a body of a fixed length
	close  bool  // the sender closes the connection after the message, or wants it closed
	expect bool  // the client waits for 100 Continue
}

type bodyKind uint8

const (
	bodyNone bodyKind = iota
	bodyFixed
	bodyChunked
	bodyUntilClose // of responses
)

// frameRequest decides on a request's body (RFC 9112, section 6.3).
func frameRequest(r *Request) (framing, error) {
	f, hosts := framing{close: r.Minor == 0}, 0
	coded, sized := false, false
	for i := range r.Header {
		name, value := r.Header[i].Name, r.Header[i].Value
		switch len(name) {
		case len("host"):
			if equalFold(name, "host") {
				if hosts++; !validHost(value) {
					return f, refuse(400, "a Host field that is no host")
				}
			}
		case len("expect"):
			if equalFold(name, "expect") {
				if !equalFold(value, "100-continue") {
					return f, refuse(417, "an expectation other than 100-continue")
				}
				f.expect = r.Minor > 0
			}
		case len("connection"):
			if equalFold(name, "connection") {
				f.close = wantsClose(value, f.close)
			}
		case len("content-length"):
			if equalFold(name, "content-length") {
				if sized {
					return f, refuse(400, "more than one Content-Length field")
				}
				n, err := parseLength(value)
				if err != nil {
					return f, err
				}
				sized, f.kind, f.length = true, bodyFixed, n
			}
		case len("transfer-encoding"):
			if equalFold(name, "transfer-encoding") {
				if coded {
					return f, refuse(400, "more than one Transfer-Encoding field")
				}
				if !equalFold(value, "chunked") {
					return f, refuse(501, "a transfer coding other than chunked")
				}
				coded = true
			}
		}
	}
	switch {
	case hosts > 1:
		return f, refuse(400, "more than one Host field")
	case hosts == 0 && r.Minor > 0:
		return f, refuse(400, "no Host field")
	case coded && sized:
		return f, refuse(400, "both Transfer-Encoding and Content-Length")
	case coded && r.Minor == 0:
		return f, refuse(400, "Transfer-Encoding in HTTP/1.0")
	case coded:
		f.kind = bodyChunked
	case f.length == 0:
		f.kind = bodyNone
	}
	f.expect = f.expect && f.kind != bodyNone
	return f, nil
}

// frameResponse decides on a response's body.
func frameResponse(r *Response, minor int, method string) (framing, error) {
	f := framing{kind: bodyUntilClose, close: minor == 0}
	coded, sized := false, false
	for i := range r.Header {
		name, value := r.Header[i].Name, r.Header[i].Value
		switch {
		case !framed(name):
		case len(name) == len("connection"):
			f.close = wantsClose(value, f.close)
		case len(name) == len("content-length"):
			n, err := parseLength(value)
			if err != nil || sized && n != f.length {
				return f, refuse(502, "a response with a Content-Length that is none")
			}
			sized, f.length = true, n
		default:
			if coded || !equalFold(value, "chunked") || minor == 0 {
				return f, refuse(502, "a response with a transfer coding other than chunked")
			}
			coded = true
		}
	}
	switch {
	case coded && sized:
		return f, refuse(502, "a response with both Transfer-Encoding and Content-Length")
	case method == "HEAD":
		f.kind = bodyNone
	case r.Status < 200 || r.Status == 204 || r.Status == 304:
		f.kind, f.length = bodyNone, 0
	case coded:
		f.kind = bodyChunked
	case sized && f.length == 0:
		f.kind = bodyNone
	case sized:
		f.kind = bodyFixed
	default:
		f.close = true
	}
	return f, nil
}

// wantsClose reads a Connection field (RFC 9112, section 9.3).
func wantsClose(value string, now bool) bool {
	for value != "" {
		var option string
		option, value, _ = strings.Cut(value, ",")
		switch option = strings.Trim(option, " \t"); {
		case equalFold(option, "close"):
			return true
		case equalFold(option, "keep-alive"):
			now = false
		}
	}
	return now
}

// parseLength reads a Content-Length: digits and nothing else.
func parseLength(s string) (int64, error) {
	if s == "" || len(s) > 18 {
		return 0, refuse(400, "a Content-Length that is no number of 1 to 18 digits")
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, refuse(400, "a Content-Length that is no number of 1 to 18 digits")
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, nil
}

// validHost tells whether a Host field could be one. It may be empty.
func validHost(s string) bool { return s == "" || all(s, classHost) }
