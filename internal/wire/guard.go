package wire

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// A guard keeps web pages from driving the API. In open mode any credentials
// are good, so what a browser can be made to send must not count: a page's
// request carries its Origin, and one that got here by DNS rebinding carries
// the page's own host name. A presigned query can be an image's address or a
// link; then there is no Origin, but browsers say that it crosses sites.
type guard struct {
	hosts    []string // names, or "*.name" for all below name
	origins  []string
	prefixes []string // that clients write before the host of some operations
}

// Host names that no stranger can point at this machine.
var (
	loopbackNames = []string{"localhost", "*.localhost"}
	awsNames      = []string{"*.amazonaws.com", "localhost.localstack.cloud", "*.localhost.localstack.cloud"}
)

func newGuard(allowed []string) guard {
	g := guard{origins: append(append([]string{}, loopbackNames...), allowed...)}
	g.hosts = append(append([]string{}, g.origins...), awsNames...)
	return g
}

// check refuses a request with a foreign Host, or by a foreign page.
func (g guard) check(r *http.Request) *Error {
	if !g.allowsHost(r.Host) {
		return Errorf(http.StatusForbidden, "AccessDenied",
			"The Host header %q names neither this machine nor AWS; allow it in the server's configuration.", r.Host)
	}
	pages := r.Header.Values("Origin")
	if len(pages) == 0 {
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "none", "same-origin": // no browser, its user, a page of this host
		default:
			return Errorf(http.StatusForbidden, "AccessDenied", "Requests by pages of other sites are refused.")
		}
		pages = r.Header.Values("Referer")
	}
	for _, page := range pages {
		u, err := url.Parse(page)
		if err != nil || !allowed(u.Host, g.origins) {
			return Errorf(http.StatusForbidden, "AccessDenied",
				"Requests by pages of %q are refused; allow the host in the server's configuration.", page)
		}
	}
	return nil
}

// allowsHost tells whether a Host header is good. Clients add an operation's
// prefix to whatever host they were given, also to a bare "localhost" or to an
// address.
func (g guard) allowsHost(host string) bool {
	if allowed(host, g.hosts) {
		return true
	}
	for _, prefix := range g.prefixes {
		if rest, ok := strings.CutPrefix(strings.ToLower(host), prefix); ok && allowed(rest, g.hosts) {
			return true
		}
	}
	return false
}

// allowed tells whether a host, with or without port, is a loopback address or
// matches one of the names.
func allowed(hostport string, names []string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		host = a.String()
		if a.Unmap().IsLoopback() {
			return true
		}
	}
	for _, name := range names {
		suffix, wild := strings.CutPrefix(strings.ToLower(name), "*")
		if wild && strings.HasSuffix(host, suffix) && len(host) > len(suffix) || !wild && host == suffix {
			return true
		}
	}
	return false
}
