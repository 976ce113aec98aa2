package alb

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// targetHeader is the client's header as the target gets it, by "HTTP headers
// and Application Load Balancers" in the user guide.
func targetHeader(r *message.Request, a *config.Attributes, trace string) message.Header {
	h := r.Header.AppendPassed(nil, ours)
	if a.DropInvalidHeaders {
		h.DeleteFunc(func(name string) bool { return !validName(name) })
	}
	client := r.Client.Addr().Unmap()
	own := client.String()
	if a.XFFClientPort {
		own = netip.AddrPortFrom(client, r.Client.Port()).String()
	}
	switch a.XForwardedFor {
	case config.XFFRemove:
		h.Del("X-Forwarded-For")
	case config.XFFPreserve:
	default:
		h.Set("X-Forwarded-For", strings.Join(append(h.Values("X-Forwarded-For"), own), ", "))
	}
	h.Set("X-Forwarded-Proto", protocol(r))
	h.Set("X-Forwarded-Port", strconv.Itoa(int(r.Server.Port())))
	h.Set("X-Amzn-Trace-Id", trace)
	return h
}

// ours are the fields that are not passed on: that which the server answers, and
// those that tell of users, which only the load balancer may write.
var ours = http1.Names[bool]{"expect": true, accessTokenField: true, identityField: true, dataField: true}

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
	return targetHost(x.request, a)
}

// targetHost is the Host field as the target gets it: with the listener's port
// and no other, unless it is to be preserved.
func targetHost(r *message.Request, a *config.Attributes) string {
	host := r.Host
	if host == "" { // HTTP/1.0
		return r.Server.String()
	}
	if a.PreserveHost {
		return host
	}
	port := r.Server.Port()
	name, hasPort := host, false
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, hasPort = host[:i], true
	}
	switch {
	case port == 80 || port == 443:
		return name
	case hasPort:
		return host
	}
	return name + ":" + strconv.Itoa(int(port))
}

// traceID is the value of X-Amzn-Trace-Id: a root if the client sent none,
// else an id of the request's own before what came.
func traceID(client string, now time.Time) string {
	id := newTraceID(now)
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
	return strings.Join(append([]string{name + id}, kept...), ";")
}

// newTraceID is no secret, so that the runtime's generator is good enough.
func newTraceID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint32(b[:4], uint32(now.Unix()))
	binary.BigEndian.PutUint64(b[4:12], rand.Uint64())
	binary.BigEndian.PutUint32(b[12:], rand.Uint32())
	text := hex.EncodeToString(b[:])
	return "1-" + text[:8] + "-" + text[8:]
}
