package gateway

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/http1"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// What a REST API of type HTTP_PROXY does with headers is listed in the
// developer guide, "Amazon API Gateway important notes for REST APIs".

// restDropped are not passed to the backend.
var restDropped = http1.NamesOf(map[string]bool{
	"content-encoding": true, "content-length": true, "content-md5": true,
	"expect": true, "max-forwards": true, "server": true, "via": true,
	"www-authenticate": true, "x-http-method-override": true,
})

// restProxyHeader is the client's header as the backend gets it. Credentials
// that were meant for API Gateway are not passed on.
func (x *exchange) restProxyHeader(h message.Header) message.Header {
	h = x.request.Header.AppendPassed(h, restDropped)
	if x.route.AuthorizationType == "AWS_IAM" || strings.HasPrefix(h.Get("Authorization"), "AWS4-HMAC-SHA256") {
		h.Del("Authorization")
	}
	return h
}

// remapping is the prefix of fields that are kept under another name.
const remapping = "x-amzn-Remapped-"

// restResponse says what becomes of a backend's header: the name under which it
// is kept if the backend wrote its own in the usual way, or none if it is
// dropped. Others pass.
var restResponse = func() *http1.Names[string] {
	names := map[string]string{
		"expect": "", "host": "", "keep-alive": "", "proxy-authenticate": "", "proxy-connection": "",
		"te": "", "trailer": "", "transfer-encoding": "", "upgrade": "", "via": "",
	}
	for _, name := range []string{
		"Authorization", "Connection", "Content-Length", "Content-MD5", "Date", "Max-Forwards", "Server",
		"User-Agent", "WWW-Authenticate", "x-amzn-RequestId",
	} {
		names[strings.ToLower(name)] = remapping + name
	}
	return http1.NamesOf(names)
}()

// remap makes a backend's header what a client of a REST API gets.
func remap(h *message.Header) {
	kept := (*h)[:0]
	for _, f := range *h {
		name, known := restResponse.Get(f.Name)
		switch {
		case !known:
		case name == "":
			continue
		case strings.HasSuffix(name, f.Name):
			f.Name = name
		default:
			f.Name = remapping + f.Name
		}
		kept = append(kept, f)
	}
	*h = kept
	h.SetDefault("Content-Type", defaultMediaType)
}

// setForwardedFor adds the client to X-Forwarded-For, and says how it came.
func (x *exchange) setForwardedFor(h *message.Header) {
	h.Set("X-Forwarded-For", x.appended("X-Forwarded-For", x.client()))
	h.Set("X-Forwarded-Proto", proto(x.request))
	var port [len("65535")]byte
	h.Set("X-Forwarded-Port", x.texts.Of(strconv.AppendUint(port[:0], uint64(x.request.Server.Port()), 10)))
}

// appended is the list that the client's fields of a name are, and an element
// more.
func (x *exchange) appended(name, element string) string {
	if values := x.request.Header.Values(name); len(values) > 0 {
		return strings.Join(append(values, element), ", ")
	}
	return element
}

// forwarded is the Forwarded header (RFC 7239) of HTTP APIs, which takes in
// what came as X-Forwarded-For.
func (x *exchange) forwarded() string {
	elements := x.request.Header.Values("Forwarded")
	for _, list := range x.request.Header.Values("X-Forwarded-For") {
		for client := range strings.SplitSeq(list, ",") {
			if client = strings.TrimSpace(client); client != "" {
				elements = append(elements, "for="+x.forwardedNode(client))
			}
		}
	}
	own := x.texts.Join("for=", x.forwardedNode(x.client()), ";host=", x.forwardedValue(x.request.Host), ";proto=", proto(x.request))
	if len(elements) == 0 {
		return own
	}
	return strings.Join(append(elements, own), ", ")
}

// forwardedNode writes an address as RFC 7239 wants it: IPv6 in brackets and
// quotes.
func (x *exchange) forwardedNode(s string) string {
	if strings.Contains(s, ":") {
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
			return `"[` + s + `]"`
		}
	}
	return x.forwardedValue(s)
}

var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// forwardedValue quotes a value that is not a token.
func (x *exchange) forwardedValue(s string) string {
	if s == "" || http1.Token(s) {
		return s
	}
	return x.texts.Join(`"`, quoting.Replace(s), `"`)
}

func proto(r *message.Request) string {
	if r.Secure {
		return "https"
	}
	return "http"
}

// validValue tells whether a mapped value may stand in a header.
func validValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// joinHostPort takes a host with or without brackets.
func joinHostPort(host string, port int) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}
