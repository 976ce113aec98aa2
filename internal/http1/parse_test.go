package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// memory is a connection that holds what the other side has sent.
type memory struct {
	net.Conn // nil: nothing else is called
	io.Reader
	piece int // bytes that one read returns at most
}

func (m memory) Read(p []byte) (int, error) { return m.Reader.Read(p[:min(len(p), m.piece)]) }

func (memory) Close() error                { return nil }
func (memory) SetDeadline(time.Time) error { return nil }

// read reads one request as a server does: its head, and its body to the end.
func read(in *input) (*Request, []byte, error) {
	if err := in.await(); err != nil {
		return nil, nil, err
	}
	head, err := in.head(32 << 10)
	if err != nil {
		return nil, nil, err
	}
	if len(head) == 0 {
		return nil, nil, refuse(400, "an empty line")
	}
	r := &Request{}
	if err := parseRequest(r, string(head), nil); err != nil {
		return nil, nil, err
	}
	f, err := frameRequest(r)
	if err != nil {
		return nil, nil, err
	}
	body, err := readBody(in, f)
	return r, body, err
}

func readBody(in *input, f framing) ([]byte, error) {
	b := makeBodyReader(in, f)
	return io.ReadAll(&b)
}

// The published ways to have two parsers read one message in two ways (RFC
// 9112, sections 5, 6 and 11.2), and other messages that are none. Each is
// refused with a status: these by their heads,
var refusedHeads = map[string]int{
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":           400,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n":           400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab":                           400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na":                            400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na":                                              400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na":                                                400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\na":                                                400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na":                                               400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\na":                                               400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\na":                                               400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n":                                                    400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n":                                400,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":  400,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n": 400,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n":                                        501,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n":                               501,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n":                          501,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n":                          501,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n":                            400,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n":                            501,
	"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                                400,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n":                               400,
	"POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                               400,
	"POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Content-Length: 4\r\n\r\nabcd":                                     400,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer\x00-Encoding: chunked\r\n\r\n":                                     400,
	"POST / HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n":                                   400,
	"POST / HTTP/1.1\r\nHost: a\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n":                                   400,
	"POST / HTTP/1.1\nHost: a\n\n":                                                                             400,
	"POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n\nGET / HTTP/1.1\r\n\r\n":                                           400,
	"\r\n\r\n":                                                                               400,
	"GET /\r\n\r\n":                                                                          400,
	"GET  / HTTP/1.1\r\nHost: a\r\n\r\n":                                                     400,
	"GET / HTTP/1.1 \r\nHost: a\r\n\r\n":                                                     400,
	"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n":                                                     400,
	"G(T / HTTP/1.1\r\nHost: a\r\n\r\n":                                                      400,
	"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n":                                                  400,
	"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n":                                              400,
	"GET x HTTP/1.1\r\nHost: a\r\n\r\n":                                                      400,
	"GET * HTTP/1.1\r\nHost: a\r\n\r\n":                                                      400,
	"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n":                                               400,
	"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n":                                              400,
	"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n":                                            400,
	"GET / http/1.1\r\nHost: a\r\n\r\n":                                                      400,
	"GET / HTTP/1.10\r\nHost: a\r\n\r\n":                                                     400,
	"GET / HTTP/2.0\r\nHost: a\r\n\r\n":                                                      505,
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                                       505,
	"GET / HTTP/1.1\r\n\r\n":                                                                 400,
	"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n":                                           400,
	"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n":                                                    400,
	"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n":                                                    400,
	"GET / HTTP/1.1\r\nHost: a b\r\n\r\n":                                                    400,
	"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n":                                               400,
	"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n":                                                 400,
	"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n":                                         417,
	"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n":            431,
	"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", maxFields) + "\r\n":         431,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\na":          400,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent_Length: 2\r\nX:\x01\r\n\r\n": 400,
}

// and these in their bodies, behind the head chunked.
var refusedBodies = map[string]int{
	chunked + "1\nZ\r\n0\r\n\r\n":                                             400,
	chunked + "1\r\nZZ\r\n0\r\n\r\n":                                          400,
	chunked + "1\r\nZ\n0\r\n\r\n":                                             400,
	chunked + "\r\n":                                                          400,
	chunked + "0x1\r\nZ\r\n0\r\n\r\n":                                         400,
	chunked + "+1\r\nZ\r\n0\r\n\r\n":                                          400,
	chunked + "10000000000000001\r\nZ\r\n0\r\n\r\n":                           400,
	chunked + "1 Z\r\nZ\r\n0\r\n\r\n":                                         400,
	chunked + "1;a\rb\r\nZ\r\n0\r\n\r\n":                                      400,
	chunked + "1;" + strings.Repeat("x", maxChunkLine) + "\r\nZ\r\n0\r\n\r\n": 400,
	chunked + "0\r\nX Y: z\r\n\r\n":                                           400,
	chunked + "0\r\n" + strings.Repeat("X: yyyyyyyy\r\n", 1000) + "\r\n":      431,
}

const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestRefusedRequests(t *testing.T) {
	all := maps.Clone(refusedHeads)
	maps.Copy(all, refusedBodies)
	for text, status := range all {
		for _, piece := range []int{1, 7, 1 << 20} {
			_, _, err := read(newInput(memory{Reader: strings.NewReader(text), piece: piece}, smallInputs))
			var refused *Refusal
			if !errors.As(err, &refused) || refused.Status != status {
				t.Errorf("%.120q in pieces of %d: %v, want %d", text, piece, err, status)
			}
		}
	}
}

func TestRequests(t *testing.T) {
	for text, want := range map[string]struct{ method, authority, path, query, body string }{
		"GET / HTTP/1.1\r\nHost:\r\n\r\n":                              {"GET", "", "/", "", ""},
		"GET /a%2F//b?c=d?e#f HTTP/1.1\r\nHost: a\r\n\r\n":             {"GET", "", "/a%2F//b", "c=d?e", ""},
		"GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n":              {"GET", "b:81", "/x", "y", ""},
		"GET HTTP://b?y HTTP/1.1\r\nHost: a\r\n\r\n":                   {"GET", "b", "/", "y", ""},
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n":                        {"OPTIONS", "", "*", "", ""},
		"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n":                      {"CONNECT", "a:1", "/", "", ""},
		"GET / HTTP/1.0\r\n\r\n":                                       {"GET", "", "/", "", ""},
		"GET / HTTP/1.7\r\nHost: a\r\n\r\n":                            {"GET", "", "/", "", ""},
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\nabc": {"POST", "", "/", "", "abc"},
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA ;x=\"y\"\r\n0123456789\r\n000\r\nT: u\r\n\r\n": {"POST", "", "/", "", "abc0123456789"},
	} {
		for _, piece := range []int{1, 3, 1 << 20} {
			in := newInput(memory{Reader: strings.NewReader(text + "REST"), piece: piece}, smallInputs)
			r, body, err := read(in)
			if err != nil {
				t.Errorf("%q: %v", text, err)
				continue
			}
			authority, path, query := r.Origin()
			if r.Method != want.method || authority != want.authority || path != want.path || query != want.query || string(body) != want.body {
				t.Errorf("%q: %s %q %q %q %q", text, r.Method, authority, path, query, body)
			}
			rest := make([]byte, 4)
			for n := 0; n < 4; {
				got, err := in.read(rest[n:])
				if err != nil {
					t.Fatalf("%q: %v behind the request", text, err)
				}
				n += got
			}
			if string(rest) != "REST" {
				t.Errorf("%q: %q behind the request", text, rest)
			}
		}
	}
}

// What this parser takes, the standard library's takes too, and both mean the
// same: the method, the target, the body, and where the message ends.
func FuzzRequest(f *testing.F) {
	for text := range refusedHeads {
		f.Add([]byte(text))
	}
	for text := range refusedBodies {
		f.Add([]byte(text))
	}
	f.Add([]byte("POST /x?y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: u\r\n\r\nGET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newInput(memory{Reader: bytes.NewReader(data), piece: 1 << 20}, smallInputs)
		ours, body, err := read(in)
		if err != nil {
			return
		}
		rest := in.buffered()
		for {
			n, err := in.conn.Read(make([]byte, 1<<16))
			if rest += n; err != nil {
				break
			}
		}
		reader := bufio.NewReaderSize(bytes.NewReader(data), len(data)+16)
		theirs, err := http.ReadRequest(reader)
		if err != nil {
			// Deliberately looser: targets are passed on as they are.
			if strings.Contains(err.Error(), "invalid URI") || strings.Contains(err.Error(), "parse ") {
				return
			}
			t.Fatalf("the standard library refuses it: %v", err)
		}
		theirBody, err := io.ReadAll(theirs.Body)
		if err != nil {
			t.Fatalf("the standard library refuses its body: %v", err)
		}
		if theirs.Method != ours.Method || theirs.RequestURI != ours.Target || !bytes.Equal(theirBody, body) {
			t.Fatalf("%s %s %q, the standard library reads %s %s %q", ours.Method, ours.Target, body, theirs.Method, theirs.RequestURI, theirBody)
		}
		if reader.Buffered() != rest {
			t.Fatalf("it ends %d bytes before the end, for the standard library %d", rest, reader.Buffered())
		}
	})
}

func FuzzResponse(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nuntil the end", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newInput(memory{Reader: bytes.NewReader(data), piece: 1 << 20}, smallInputs)
		if in.await() != nil {
			return
		}
		head, err := in.head(64 << 10)
		if err != nil || len(head) == 0 {
			return
		}
		ours := &Response{}
		minor, err := parseResponse(ours, string(head), nil)
		if err != nil || ours.Status < 200 {
			return
		}
		framed, err := frameResponse(ours, minor, "GET")
		if err != nil {
			return
		}
		body, err := readBody(in, framed)
		if err != nil {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), nil)
		if err != nil {
			t.Fatalf("the standard library refuses it: %v", err)
		}
		theirBody, err := io.ReadAll(theirs.Body)
		if err != nil || theirs.StatusCode != ours.Status || !bytes.Equal(theirBody, body) {
			t.Fatalf("%d %q, the standard library reads %d %q, %v", ours.Status, body, theirs.StatusCode, theirBody, err)
		}
	})
}
