package http2

import (
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// block is a header block that is being read, and what it is for.
type block struct {
	open   bool // more of it is to come, in CONTINUATION
	stream uint32
	end    bool    // of the stream
	new    *stream // that it begins
	behind *stream // that it ends: these are trailers
	// When neither is set, the block is decoded and not looked at, so that the
	// table stays the client's.

	compressed, size int
	fields           []http1.Field // of trailers
	pseudo           pseudo
	fault            string         // what is wrong with it
	refusal          *http1.Refusal // if it is well formed but can't be served
}

// pseudo are the pseudo-header fields (RFC 9113, section 8.3.1).
type pseudo struct {
	method, scheme, authority, path string
	has                             uint8
	over                            bool // there was another field
}

const (
	hasMethod = 1 << iota
	hasScheme
	hasAuthority
	hasPath
)

// maxBlock bounds a compressed header block, also one that nobody looks at.
func (c *conn) maxBlock() int { return 2*c.server.options.MaxHeader + maxFrame }

func (c *conn) readHeaders(h frameHeader) error {
	size, padding, err := c.readPadding(h)
	if err != nil {
		return err
	}
	selfish := false
	if h.has(flagPriority) {
		if size+padding < 5 {
			return broken(codeFrameSize, "a priority of %d bytes", size+padding)
		}
		b, err := c.in.take(5)
		if err != nil {
			return err
		}
		selfish, size = binary.BigEndian.Uint32(b)&maxWindow == h.stream, size-5
	}
	if size < 0 {
		return broken(codeProtocol, "padding that is longer than its frame")
	}
	if err := c.beginBlock(h, selfish); err != nil {
		return err
	}
	if err := c.readFragment(size, h.has(flagEndHeaders)); err != nil {
		return err
	}
	return c.in.skip(padding)
}

func (c *conn) readContinuation(h frameHeader) error {
	if !c.block.open {
		return broken(codeProtocol, "a continuation of nothing")
	}
	if err := c.costs(1); err != nil {
		return err
	}
	return c.readFragment(h.length, h.has(flagEndHeaders))
}

// beginBlock decides what a header block is for.
func (c *conn) beginBlock(h frameHeader, selfish bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.block
	*b = block{open: true, stream: h.stream, end: h.has(flagEndStream), fields: b.fields[:0]}
	if selfish {
		b.fault = "a stream that depends on itself"
	}
	s := c.streams[h.stream]
	switch {
	case h.stream%2 == 0:
		return broken(codeProtocol, "a request on stream %d", h.stream)
	case s != nil && s.ended:
		return broken(codeStreamClosed, "fields behind the end of a stream")
	case s != nil:
		b.behind = s
		if !b.end {
			b.fault = "trailers that do not end the stream"
		}
	case h.stream <= c.last:
		if c.ownReset.has(h.stream) {
			return nil // they were on their way
		}
		return broken(codeStreamClosed, "fields of a stream that has ended")
	case c.stage >= stageLast:
		return nil // the client knows that it is not served
	default:
		c.last = h.stream
		if !selfish && len(c.streams) < maxStreams && c.running < 2*maxStreams {
			b.new = c.newStream(h.stream)
		}
	}
	return nil
}

func (c *conn) readFragment(n int, last bool) error {
	if c.block.compressed += n; c.block.compressed > c.maxBlock() {
		return broken(codeCalm, "a header block of more than %d bytes", c.maxBlock())
	}
	c.decoder.SetEmitEnabled(c.block.new != nil || c.block.behind != nil)
	if err := c.in.payload(n, func(p []byte) error {
		if _, err := c.decoder.Write(p); err != nil {
			return broken(codeCompression, "a header block that can't be decoded: %v", err)
		}
		return nil
	}); err != nil || !last {
		return err
	}
	if err := c.decoder.Close(); err != nil {
		return broken(codeCompression, "a header block that can't be decoded: %v", err)
	}
	c.block.open = false
	return c.endBlock()
}

// field takes a decoded field.
func (c *conn) field(f hpack.HeaderField) {
	b := &c.block
	fields := &b.fields
	if b.new != nil {
		fields = &b.new.fields
	}
	// As SETTINGS_MAX_HEADER_LIST_SIZE counts.
	if b.size += len(f.Name) + len(f.Value) + 32; b.size > c.server.options.MaxHeader || len(*fields) == maxFields {
		b.refusal = &http1.Refusal{Status: 431, Reason: "a header that is too large"}
		c.decoder.SetEmitEnabled(false)
		return
	}
	if strings.HasPrefix(f.Name, ":") {
		if b.new == nil || b.pseudo.over || !b.pseudo.set(f) {
			b.fault = "a pseudo-header field that is not right"
		}
		return
	}
	b.pseudo.over = true
	if fault := faultOf(f); fault != "" {
		b.fault = fault
		return
	}
	if f.Name == "cookie" && b.new != nil {
		for i := range *fields {
			if have := &(*fields)[i]; have.Name == f.Name {
				have.Value += "; " + f.Value
				return
			}
		}
	}
	*fields = append(*fields, http1.Field{Name: f.Name, Value: f.Value})
}

func (p *pseudo) set(f hpack.HeaderField) bool {
	var which uint8
	switch f.Name {
	case ":method":
		which, p.method = hasMethod, f.Value
	case ":scheme":
		which, p.scheme = hasScheme, f.Value
	case ":authority":
		which, p.authority = hasAuthority, f.Value
	case ":path":
		which, p.path = hasPath, f.Value
	}
	if which == 0 || p.has&which != 0 {
		return false
	}
	p.has |= which
	return true
}

// faultOf is what makes a field malformed (RFC 9113, sections 8.2.1 and 8.2.2).
func faultOf(f hpack.HeaderField) string {
	if !http1.Token(f.Name) {
		return "a field whose name is none"
	}
	for i := range len(f.Name) {
		if c := f.Name[i]; 'A' <= c && c <= 'Z' {
			return "a field whose name is not in lower case"
		}
	}
	switch f.Name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return "a field that concerns a connection of HTTP/1.1"
	case "te":
		if f.Value != "trailers" {
			return "a TE field other than trailers"
		}
	}
	for i := range len(f.Value) {
		if c := f.Value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "control characters in a field"
		}
	}
	if v := f.Value; v != "" && (v[0] == ' ' || v[0] == '\t' || v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		return "white space around a field"
	}
	return ""
}

// endBlock does what a whole block is for.
func (c *conn) endBlock() error {
	b := &c.block
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case b.behind != nil:
		return c.endTrailers(b)
	case b.new == nil && (c.stage >= stageLast && b.stream > c.last || c.ownReset.has(b.stream)):
		return nil
	case b.new == nil && b.fault != "":
		return c.resetID(b.stream, codeProtocol)
	case b.new == nil:
		return c.resetID(b.stream, codeRefused)
	}
	s := b.new
	if fault := b.fault; fault == "" && b.refusal == nil {
		b.fault = s.begin(&b.pseudo, b.end)
	} else if fault == "" {
		s.refusal, s.ended = b.refusal, b.end
		s.request.Method = b.pseudo.method
	}
	if b.fault != "" {
		c.server.options.Log.Debug("HTTP/2 request refused", "client", c.conn.RemoteAddr(), "reason", b.fault)
		return c.resetID(s.id, codeProtocol)
	}
	if c.failed != nil {
		return c.failed
	}
	c.streams[s.id] = s
	c.running++
	c.conn.Begin()
	c.handlers.Add(1)
	go s.runner()
	return nil
}

func (c *conn) endTrailers(b *block) error {
	s := b.behind
	switch {
	case c.streams[s.id] != s:
		return nil // it has ended meanwhile
	case b.fault != "":
		return c.refuse(s, codeProtocol, b.fault)
	case b.refusal != nil:
		return c.refuse(s, codeCalm, b.refusal.Reason)
	case s.left > 0:
		return c.refuse(s, codeProtocol, "a body that is shorter than its length")
	}
	for _, f := range b.fields {
		if _, ok := s.trailer[http.CanonicalHeaderKey(f.Name)]; ok {
			s.behind = append(s.behind, f)
		}
	}
	s.endInput()
	return nil
}

// begin makes the request of its fields. It returns what is wrong with it, if
// anything is.
func (s *stream) begin(p *pseudo, end bool) (fault string) {
	r := &s.request
	r.Method, r.Target, r.Host = p.method, p.path, p.authority
	switch {
	case p.has&hasMethod == 0:
		return "a request without a method"
	case p.method == "CONNECT":
		if p.has != hasMethod|hasAuthority {
			return "CONNECT with more than an authority"
		}
		r.Target = p.authority
	case p.has&hasScheme == 0, p.path == "":
		return "a request without a scheme or a path"
	}
	s.ended, s.short, s.left = end, end, -1
	header, n := s.fields, 0
	for _, f := range header {
		switch f.Name {
		case "host":
			if r.Host != "" && r.Host != f.Value {
				s.refusal = &http1.Refusal{Status: 400, Reason: "a Host field other than the authority"}
			}
			r.Host = f.Value
			continue
		case "content-length":
			length, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil || s.left >= 0 || f.Value[0] == '+' {
				return "a Content-Length field that is not right"
			}
			s.left = int64(length)
		case "expect":
			if !strings.EqualFold(f.Value, "100-continue") {
				s.refusal = &http1.Refusal{Status: 417, Reason: "an expectation other than 100-continue"}
			}
			s.expects = true
			continue
		case "trailer":
			if s.refusal == nil {
				s.refusal = s.announce(f.Value)
			}
			continue
		}
		header[n] = f
		n++
	}
	r.Header = header[:n]
	if r.Length = s.left; end {
		r.Length = max(0, s.left)
		if s.left > 0 {
			return "a body that is shorter than its length"
		}
	} else if s.left != 0 {
		s.body.stream = s
		r.Body = &s.body
	}
	if s.refusal == nil {
		s.refusal = r.Check()
	}
	return ""
}

// announce takes the names of fields that are to come behind the body.
func (s *stream) announce(names string) *http1.Refusal {
	for name := range strings.SplitSeq(names, ",") {
		name = strings.Trim(name, " \t")
		switch {
		case !http1.Token(name):
			return &http1.Refusal{Status: 400, Reason: "a Trailer field with what is no name"}
		case len(s.trailer)+len(s.fields) >= maxFields:
			return &http1.Refusal{Status: 431, Reason: "a header that is too large"}
		}
		switch strings.ToLower(name) {
		case "content-length", "transfer-encoding", "trailer", "host":
			continue // would frame the message, or route it (RFC 9110, section 6.5.1)
		}
		if s.trailer == nil {
			s.trailer = http.Header{}
		}
		s.trailer[http.CanonicalHeaderKey(name)] = nil
	}
	return nil
}
