package alb

import (
	"context"
	"net/http"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/alb/idp"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// authenticate lets a request pass whose client has logged in, or need not. It
// answers all others, by "Authentication flow" in the user guide.
func (x *exchange) authenticate(ctx context.Context, l *idp.Login) *message.Response {
	last := x.action
	x.action, x.identity = authenticateName, &identity{}
	session, f := l.Session(x.cookie)
	switch {
	case f != nil && l.OnUnauthenticated() != config.Allow:
		x.keep(l, nil) // what is no session is none of the next request either
		return x.refuse(f)
	case session != nil:
		if session, f = x.refreshed(ctx, l, session); f != nil {
			return x.refuse(f)
		}
	}
	if session == nil {
		switch l.OnUnauthenticated() {
		case config.Allow:
		case config.Deny:
			return x.fail(401, "authenticate: the client has not logged in")
		default:
			return x.logIn(l)
		}
	} else if x.identity.user, f = l.Fields(session); f != nil {
		return x.refuse(f)
	}
	x.action += "," + last
	return nil
}

// refreshed is a session whose claims are good. It is nil if the provider knows
// the user no more, or can't be asked: then the user logs in again.
func (x *exchange) refreshed(ctx context.Context, l *idp.Login, s *idp.Session) (*idp.Session, *idp.Failure) {
	current, f := l.Current(ctx, s)
	switch {
	case f != nil:
		x.identity.reason, x.cause = f.Reason, f.Cause
		return nil, nil
	case current == s:
		return s, nil
	}
	return current, x.keep(l, current)
}

// logIn sends the client to the provider.
func (x *exchange) logIn(l *idp.Login) *message.Response {
	had, _ := x.cookie(idp.NonceCookie)
	location, nonce, f := l.Begin(x.request.Host, withQuery(x.request), had)
	if f != nil {
		return x.refuse(f)
	}
	x.setCookie(idp.NonceCookie, nonce, idp.LoginTime)
	return x.found(location)
}

// comeBack takes a client that the provider has sent back, and sends it where it
// wanted to go.
func (x *exchange) comeBack(ctx context.Context) *message.Response {
	x.action, x.identity = authenticateName, &identity{}
	nonce, _ := x.cookie(idp.NonceCookie)
	l, back, f := idp.ReadReturn(x.listener.logins, x.request.Query, nonce)
	if f != nil {
		return x.refuse(f)
	}
	session, f := l.Finish(ctx, back)
	if f == nil {
		f = x.keep(l, session)
	}
	if f != nil {
		return x.refuse(f)
	}
	return x.found(back.URL())
}

// found answers 302. The location is not logged: it has a secret of the client's.
func (x *exchange) found(location string) *message.Response {
	r := page(http.StatusFound)
	r.Header.Add("Location", location)
	return r
}

// keep has the client keep a session; or forget the one that it has, if it is
// nil.
func (x *exchange) keep(l *idp.Login, s *idp.Session) *idp.Failure {
	cookies, f := l.Cookies(s, func(name string) bool { _, ok := x.cookie(name); return ok })
	for _, c := range cookies {
		life := time.Duration(-1)
		if c.Value != "" {
			life = time.Unix(s.Ends, 0).Sub(x.start)
		}
		x.setCookie(c.Name, c.Value, life)
	}
	return f
}

func (x *exchange) cookie(name string) (string, bool) { return cookieOf(x.request.Header, name) }

// setCookie has the client keep a cookie for a time; one below zero has it
// forget it.
func (x *exchange) setCookie(name, value string, life time.Duration) {
	ends := time.Unix(0, 0)
	if life > 0 {
		ends = x.start.Add(life)
	}
	x.identity.cookies = append(x.identity.cookies, name+"="+value+"; Expires="+ends.UTC().Format(http.TimeFormat)+"; Path=/; Secure; HttpOnly; SameSite=None")
}

// The fields that tell of users.
const (
	accessTokenField = "x-amzn-oidc-accesstoken"
	identityField    = "x-amzn-oidc-identity"
	dataField        = "x-amzn-oidc-data"
)

// identify tells a target who has logged in.
func (x *exchange) identify(h *message.Header) {
	if x.identity == nil || x.identity.user.Data == "" {
		return
	}
	user := &x.identity.user
	h.Set(accessTokenField, user.AccessToken)
	h.Set(identityField, user.Identity)
	h.Set(dataField, user.Data)
}
