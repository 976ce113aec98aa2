package alb

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// targetHeader is the client's header as the target gets it, by "HTTP headers
// and Application Load Balancers" in the user guide.
func (x *exchange) targetHeader(h message.Header, a *config.Attributes) message.Header {
	r := x.request
	h = r.Header.AppendPassed(h, ours)
	if a.DropInvalidHeaders {
		h.DeleteFunc(func(name string) bool { return !validName(name) })
	}
	switch a.XForwardedFor {
	case config.XFFRemove:
		h.Del("X-Forwarded-For")
	case config.XFFPreserve:
	default:
		forwarded := r.ClientAddress()
		if a.XFFClientPort {
			forwarded = r.ClientPort()
		}
		if before := h.Values("X-Forwarded-For"); len(before) > 0 {
			forwarded = strings.Join(append(before, forwarded), ", ")
		}
		h.Set("X-Forwarded-For", forwarded)
	}
	h.Set("X-Forwarded-Proto", protocol(r))
	var text [len("65535")]byte
	h.Set("X-Forwarded-Port", x.texts.Of(strconv.AppendUint(text[:0], uint64(r.Server.Port()), 10)))
	h.Set("X-Amzn-Trace-Id", x.traceID)
	return h
}

// ours are the fields that are not passed on: that which the server answers, and
// those that tell of users, which only the load balancer may write.
var ours = http1.NamesOf(map[string]bool{"expect": true, accessTokenField: true, identityField: true, dataField: true})

func protocol(r *message.Request) string {
	if r.Secure {
		return "https"
	}
	return "http"
}

// validName is AWS's rule for drop_invalid_header_fields.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// forwarders counts the addresses in X-Forwarded-For.
func forwarders(h message.Header) int {
	n := 0
	for _, value := range h.Values("X-Forwarded-For") {
		n += 1 + strings.Count(value, ",")
	}
	return n
}

// targetHost is the Host field as the target gets it. One that a transform
// wrote stays as it was written.
func (x *exchange) targetHost(a *config.Attributes) string {
	if x.rehosted {
		return x.routed.Host
	}
	return x.ownHost(a)
}

// ownHost is the Host field as the target gets it: with the listener's port
// and no other, unless it is to be preserved.
func (x *exchange) ownHost(a *config.Attributes) string {
	r := x.request
	host := r.Host
	if host == "" { // HTTP/1.0
		return r.Server.String()
	}
	if a.PreserveHost {
		return host
	}
	port := r.Server.Port()
	name, hasPort := host, false
	if strings.IndexByte(host, ':') >= 0 { // mostly there is none, which a search from the end tells slowly
		if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
			name, hasPort = host[:i], true
		}
	}
	switch {
	case port == 80 || port == 443:
		return name
	case hasPort:
		return host
	}
	var text [len("65535")]byte
	return x.texts.Join(name, ":", x.texts.Of(strconv.AppendUint(text[:0], uint64(port), 10)))
}

// traceID is the value of X-Amzn-Trace-Id: a root if the client sent none,
// else an id of the request's own before what came.
func traceID(t *http1.Texts, client string, now time.Time) string {
	id := newTraceID(now)
	if client == "" {
		text := []byte("Root=1-01234567-0123456789abcdef01234567")
		copy(text[len("Root="):], id[:])
		return t.Of(text)
	}
	rooted := false
	var kept []string
	for field := range strings.SplitSeq(client, ";") {
		field = strings.TrimSpace(field)
		if field == "" || strings.HasPrefix(field, "Self=") {
			continue
		}
		rooted = rooted || strings.HasPrefix(field, "Root=")
		kept = append(kept, field)
	}
	name := "Root="
	if rooted {
		name = "Self="
	}
	return strings.Join(append([]string{name + string(id[:])}, kept...), ";")
}

// newTraceID is no secret, so that the runtime's generator is good enough.
func newTraceID(now time.Time) (text [len("1-01234567-0123456789abcdef01234567")]byte) {
	var b [16]byte
	binary.BigEndian.PutUint32(b[:4], uint32(now.Unix()))
	binary.BigEndian.PutUint64(b[4:12], rand.Uint64())
	binary.BigEndian.PutUint32(b[12:], rand.Uint32())
	text[0], text[1], text[10] = '1', '-', '-'
	hex.Encode(text[2:10], b[:4])
	hex.Encode(text[11:], b[4:])
	return text
}
