package alb

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/cookie"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// cookieLife is what AWS writes as the expiry of its cookies, whatever the
// duration of the stickiness, which is inside.
const cookieLife = 7 * 24 * time.Hour

// pickGroup chooses the group: the one that the client is bound to by its
// cookies, or another.
func (x *exchange) pickGroup(f *forward) {
	if x.group = x.boundGroup(f); x.group == nil && f.total > 0 {
		x.group = f.choose(rand.IntN(f.total))
	}
}

// pickTarget chooses the group's target in the same way.
func (x *exchange) pickTarget() {
	if x.group == nil {
		return
	}
	if x.target = x.group.boundTo(x.boundAddress(x.group)); x.target == nil {
		x.target = x.group.choose()
	}
}

// boundGroup is the group that a cookie of the client names; nil if there is
// none.
func (x *exchange) boundGroup(f *forward) *group {
	if f.sticky > 0 {
		if b, ok := x.binding(cookie.Group, cookie.Group+cookie.CORS); ok {
			return f.bound(b.Group)
		}
	}
	return nil
}

// boundAddress is the target's that a cookie of the client names in a group; it
// is not valid if there is none.
func (x *exchange) boundAddress(g *group) netip.AddrPort {
	s := g.Stickiness
	if s == nil {
		return netip.AddrPort{}
	}
	names := []string{cookie.Target, cookie.Target + cookie.CORS}
	if s.AppCookie != "" {
		if _, ok := cookieOf(x.request.Header, s.AppCookie); !ok {
			return netip.AddrPort{}
		}
		names = []string{cookie.Application}
	}
	if b, ok := x.binding(names...); ok && b.Group == g.ARN {
		return b.Target
	}
	return netip.AddrPort{}
}

// binding opens the first of the client's cookies with these names.
func (x *exchange) binding(names ...string) (cookie.Binding, bool) {
	for _, name := range names {
		value, ok := cookieOf(x.request.Header, name)
		if !ok {
			continue
		}
		if b, err := x.snapshot.sealer.Open(name, value, x.start); err == nil {
			return b, true
		}
	}
	return cookie.Binding{}, false
}

// cookieOf is the value of a cookie that a client sent.
func cookieOf(h message.Header, name string) (string, bool) {
	for _, line := range h.Values("Cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			if n, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && n == name {
				return value, true
			}
		}
	}
	return "", false
}

// bind gives the client the cookies that bring its next requests to the same
// group and target.
func (x *exchange) bind(f *forward, r *message.Response) {
	if s := x.group.Stickiness; s != nil {
		b := cookie.Binding{Group: x.group.ARN, Target: x.target.Address, Expires: x.expires(s.Seconds)}
		if s.AppCookie == "" {
			x.setCookies(r, cookie.Target, b)
		} else if set, ok := cookieSet(r.Header, s.AppCookie); ok {
			r.Header.Add("Set-Cookie", cookie.Application+"="+x.snapshot.sealer.Seal(cookie.Application, b)+"; Expires="+x.life()+copied(set))
		}
	}
	if f.sticky > 0 {
		x.setCookies(r, cookie.Group, cookie.Binding{Group: x.group.ARN, Expires: x.expires(f.sticky)})
	}
}

func (x *exchange) expires(seconds int) int64 { return x.start.Unix() + int64(seconds) }

func (x *exchange) life() string { return x.start.Add(cookieLife).UTC().Format(http.TimeFormat) }

func (x *exchange) setCookies(r *message.Response, name string, b cookie.Binding) {
	r.Header.Add("Set-Cookie", name+"="+x.snapshot.sealer.Seal(name, b)+"; Expires="+x.life()+"; Path=/")
	end := "; Path=/; SameSite=None"
	if x.request.Secure {
		end += "; Secure"
	}
	name += cookie.CORS
	r.Header.Add("Set-Cookie", name+"="+x.snapshot.sealer.Seal(name, b)+"; Expires="+x.life()+end)
}

// cookieSet is the Set-Cookie field by which a target sets a cookie.
func cookieSet(h message.Header, name string) (string, bool) {
	for _, set := range h.Values("Set-Cookie") {
		if n, _, ok := strings.Cut(set, "="); ok && strings.TrimSpace(n) == name {
			return set, true
		}
	}
	return "", false
}

// copied are the attributes of the targets' cookie that the balancer's has too.
func copied(set string) string {
	var out strings.Builder
	path := false
	for i, attribute := range strings.Split(set, ";") {
		attribute = strings.TrimSpace(attribute)
		name, _, _ := strings.Cut(attribute, "=")
		switch name = strings.ToLower(name); {
		case i == 0:
		case name == "path", name == "domain", name == "samesite", name == "secure", name == "httponly":
			path = path || name == "path"
			out.WriteString("; " + attribute)
		}
	}
	if !path {
		out.WriteString("; Path=/")
	}
	return out.String()
}
