package alb

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
)

// PreviewParams name a request to a node of which is asked what would become
// of it.
type PreviewParams struct {
	Method string         `json:"method"`
	Host   string         `json:"host"`
	Path   string         `json:"path"` // escaped, beginning with "/"
	Query  string         `json:"query,omitempty"`
	Header message.Header `json:"header,omitempty"`
	Client netip.AddrPort `json:"client"`
	Port   uint16         `json:"port"` // of the listener
	// HTTP2 says that the client speaks HTTP/2 where the listener does.
	HTTP2 bool `json:"http2,omitempty"`
}

// Preview is what would become of a request, as far as it was come to.
type Preview struct {
	Listener string `json:"listener,omitempty"` // ARN
	// Rule is the one that the request meets; nil for the default one.
	Rule *PreviewRule `json:"rule,omitempty"`
	// Host and Path, with the query, are those of the request as the rule's
	// transforms leave it; empty if they leave it as it is.
	Host string `json:"host,omitempty"`
	Path string `json:"path,omitempty"`
	// Action is "forward", "redirect" or "fixed-response", after what lets the
	// request pass and a comma; that it would pass is taken for granted.
	Action   string         `json:"action,omitempty"`
	Groups   []PreviewGroup `json:"groups,omitempty"`
	Location string         `json:"location,omitempty"`
	// Status is that of an answer that the balancer gives by itself, and Cause
	// what its log says of it.
	Status int    `json:"status,omitempty"`
	Cause  string `json:"cause,omitempty"`
}

// PreviewRule is what tells of a rule; its action may have secrets.
type PreviewRule struct {
	ARN        string             `json:"arn"`
	Priority   int                `json:"priority"`
	Conditions []config.Condition `json:"conditions,omitempty"`
}

// PreviewGroup is a target group among those that a request may be given to.
type PreviewGroup struct {
	TargetGroup string           `json:"targetGroup"` // ARN
	Weight      int              `json:"weight"`
	Algorithm   config.Algorithm `json:"algorithm"`
	// Version is what the targets speak, and Incompatible why they are not given
	// the request, for which the answer is 464.
	Version      config.ProtocolVersion `json:"version,omitempty"`
	Incompatible string                 `json:"incompatible,omitempty"`
	// Bound says that a cookie of the client names the group, or its only
	// target here.
	Bound bool `json:"bound,omitempty"`
	// Targets are those of which one is given the request. If FailsOpen, too few
	// are healthy, so that they are all that are registered.
	Targets   []config.Target `json:"targets,omitempty"`
	FailsOpen bool            `json:"failsOpen,omitempty"`
}

// onPreview answers the control process.
func (b *Balancer) onPreview(_ context.Context, raw json.RawMessage) (any, error) {
	var p PreviewParams
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("read parameters: %w", err)
	}
	return b.Preview(p), nil
}

// Preview carries a request through the chain up to the targets, none of which
// is chosen or called.
func (b *Balancer) Preview(p PreviewParams) Preview {
	r := &message.Request{
		Method: p.Method, Host: p.Host, Path: p.Path, Query: p.Query, Header: p.Header, Proto: "HTTP/1.1",
		Client: p.Client, Server: netip.AddrPortFrom(netip.Addr{}, p.Port),
	}
	x := b.begin(r)
	x.routed = r
	if l := x.snapshot.listeners[p.Port]; l != nil {
		r.Secure = l.config.TLS != nil
		if p.HTTP2 && r.Secure && !x.snapshot.config.Attributes.HTTP1Only {
			r.Proto = "HTTP/2.0"
		}
	}
	var v Preview
	a, own := x.decide(p.Port)
	if x.listener != nil {
		v.Listener, v.Action = x.listener.config.ARN, x.action
		if a != nil {
			v.Action = a.before() + v.Action
		}
		for _, r := range x.listener.config.Rules {
			if r.Priority == x.priority {
				v.Rule = &PreviewRule{r.ARN, r.Priority, r.Conditions}
			}
		}
	}
	if to := x.routed; to != nil && (to.Host != r.Host || to.Path != r.Path || to.Query != r.Query) {
		if v.Host, v.Path = to.Host, to.Path; to.Query != "" {
			v.Path += "?" + to.Query
		}
	}
	switch {
	case own != nil:
	case a.fixed != nil:
		own = fixedResponse(a.fixed)
	case a.redirect != nil:
		own = x.redirect(a.redirect, p.Port)
	default:
		if v.Groups = x.candidates(a.forward); !anyTarget(v.Groups) {
			var first *group
			if len(v.Groups) > 0 {
				first = x.snapshot.groups[v.Groups[0].TargetGroup]
			}
			own = x.fail(503, noTarget(first))
			if first != nil && v.Groups[0].Incompatible != "" {
				own = x.failIncompatible(v.Groups[0].Incompatible)
			}
		}
	}
	if own != nil {
		v.Status, v.Cause, v.Location = own.Status, x.cause, x.location
	}
	return v
}

// candidates are the groups and targets of which one would be picked.
func (x *exchange) candidates(f *forward) (groups []PreviewGroup) {
	bound := x.boundGroup(f)
	for _, w := range f.groups {
		if w.weight == 0 || bound != nil && w.group != bound {
			continue
		}
		g := PreviewGroup{
			TargetGroup: w.ARN, Weight: w.weight, Algorithm: w.Algorithm, Version: w.Version,
			Incompatible: w.incompatible(x.request), Bound: bound != nil, FailsOpen: w.failsOpen(),
		}
		if g.Incompatible != "" {
			groups = append(groups, g)
			continue
		}
		targets := w.eligible()
		if t := w.boundTo(x.boundAddress(w.group)); t != nil {
			targets, g.Bound = []*target{t}, true
		}
		for _, t := range targets {
			g.Targets = append(g.Targets, *t.Target)
		}
		groups = append(groups, g)
	}
	return groups
}

func anyTarget(groups []PreviewGroup) bool {
	for _, g := range groups {
		if len(g.Targets) > 0 {
			return true
		}
	}
	return false
}
