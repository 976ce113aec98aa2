package alb

import (
	"context"
	"log/slog"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/alb/idp"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

// providers are the identity providers that a configuration names.
type providers struct {
	options idp.Options
	client  *idp.Client            // nil as long as there are none
	keys    map[string]*idp.KeySet // by URL
}

// providersOf makes the providers of a configuration, which has none yet.
func providersOf(c *config.Config, d upstream.Dialing, log *slog.Logger) *providers {
	return &providers{
		options: idp.Options{Dial: upstream.NewDialer(d).Dial, Resolver: c.Resolver, Authorities: c.Authorities, Log: log},
		keys:    map[string]*idp.KeySet{},
	}
}

// connect returns the client with which providers are asked.
func (p *providers) connect(before *providers) *idp.Client {
	switch {
	case p.client != nil:
	case before != nil && before.options.Resolver == p.options.Resolver && before.options.Authorities == p.options.Authorities:
		p.client = before.connect(nil)
	default:
		p.client = idp.NewClient(p.options)
	}
	return p.client
}

// keysAt are the keys that are published at a URL, with what is known of them
// from before.
func (p *providers) keysAt(url string, before *providers) *idp.KeySet {
	client := p.connect(before)
	if p.keys[url] == nil && before != nil && before.client == client {
		p.keys[url] = before.keys[url]
	}
	if p.keys[url] == nil {
		p.keys[url] = idp.NewKeySet(url, client)
	}
	return p.keys[url]
}

// What logs call that which lets requests pass.
const (
	authenticateName = "authenticate"
	validateName     = "jwt-validation"
)

// identity is what became known of who sends a request.
type identity struct {
	user    idp.Fields // zero if nobody has logged in
	cookies []string   // Set-Cookie fields of the session
	reason  string     // AWS's code of why it was not believed
}

func (i *identity) why() string {
	if i == nil {
		return ""
	}
	return i.reason
}

// before names what comes before an action, with a comma; it is empty if there is
// nothing.
func (a *action) before() string {
	switch {
	case a.login != nil:
		return authenticateName + ","
	case a.validate != nil:
		return validateName + ","
	}
	return ""
}

// validate lets a request pass that has the token it needs.
func (x *exchange) validate(ctx context.Context, v *idp.Validator) *message.Response {
	x.identity = &identity{}
	if f := v.Validate(ctx, x.request.Header.Values("Authorization")); f != nil {
		x.action = validateName
		return x.refuse(f)
	}
	x.action = validateName + "," + x.action
	return nil
}

// refuse answers a request that does not pass.
func (x *exchange) refuse(f *idp.Failure) *message.Response {
	x.identity.reason = f.Reason
	return x.fail(f.Status, f.Cause)
}
