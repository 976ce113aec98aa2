package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/alb"
	gw "github.com/isthmus-net/isthmus/internal/gateway"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/trace"
)

// TraceParams ask for the way from something to something.
type TraceParams struct {
	// From names the sender: eni-…, i-…, a version 2 VPC link, "gateway" or
	// "health"; what onPremises takes; api:ID/STAGE for a route of an API; empty for a client of the
	// public gateway.
	From   string     `json:"from,omitempty"`
	Source netip.Addr `json:"source,omitzero"` // zero: the sender's primary address
	// To names the destination: see destinations. Empty for a route.
	To string `json:"to,omitempty"`
	// Request is "METHOD PATH" for a route or a load balancer, and "METHOD" for
	// a URL.
	Request string `json:"request,omitempty"`
	// Header holds the request's header fields, each "Name: value".
	Header   []string `json:"header,omitempty"`
	Protocol string   `json:"protocol,omitempty"` // "tcp" (default), "udp", "icmp"
	Port     uint16   `json:"port,omitempty"`     // source port
	Sequence uint32   `json:"sequence,omitempty"`
}

// TraceResult is the whole way, leg by leg.
type TraceResult struct {
	// Verdict is "forwarded" if a way leads to the end, or what stops the
	// first that was tried; Cause says it in the words of the gateway's log.
	Verdict string `json:"verdict"`
	Cause   string `json:"cause,omitempty"`
	Legs    []Leg  `json:"legs"`
}

// Leg is the way of packets from one end of connections to the other, or what
// a gateway does with a request between two of these. A leg that begins at the
// node of an Application Load Balancer is both.
type Leg struct {
	From string `json:"from"`
	To   string `json:"to,omitempty"`
	// Ways of packets, in the order in which they are tried; from a balancer's
	// node, those of the targets, which take turns.
	Ways []Way `json:"ways,omitempty"`
	// Steps inside a gateway or a balancer's node, and what it would do.
	Steps    []trace.Step `json:"steps,omitempty"`
	Request  *gw.Preview  `json:"request,omitempty"`
	Balancer *alb.Preview `json:"balancer,omitempty"`
}

// Way is one of the ways that a connection may take.
type Way struct {
	Name string `json:"name,omitempty"` // what tells it from the others
	Zone string `json:"zone,omitempty"`
	// Chosen is the way that a new connection takes: the first that leads to
	// the end, or simply the first.
	Chosen bool `json:"chosen,omitempty"`
	Packet
	// Balancers are those on the way, with what they choose from.
	Balancers []BalancerView `json:"balancers,omitempty"`
}

// trace answers the node.
func (c *controller) trace(ctx context.Context, p TraceParams) (TraceResult, error) {
	now, err := c.tracer.now()
	if err != nil {
		return TraceResult{}, fmt.Errorf("trace: %w", err)
	}
	preview := func(ctx context.Context, q gw.PreviewParams) (v gw.Preview, err error) {
		err = c.feed.Call(ctx, roleGateway, "preview", q, &v)
		return v, err
	}
	ask := func(ctx context.Context, node string, q alb.PreviewParams) (v alb.Preview, err error) {
		err = c.feed.Call(ctx, albRole(node), "preview", q, &v)
		return v, err
	}
	t := &tracing{tracedTables: now, region: c.region, preview: preview, balance: ask}
	if err := t.run(ctx, p); err != nil {
		return TraceResult{}, fmt.Errorf("trace: %w", err)
	}
	return t.result, nil
}

// tracing is a trace under way.
type tracing struct {
	*tracedTables
	region string
	// preview asks the gateway what it would do with a request.
	preview func(context.Context, gw.PreviewParams) (gw.Preview, error)
	// balance asks a load balancer's node (eni-…) the same.
	balance func(ctx context.Context, node string, p alb.PreviewParams) (alb.Preview, error)
	header  message.Header // of the request
	result  TraceResult
}

var protocols = map[string]uint8{"": tables.TCP, "tcp": tables.TCP, "udp": tables.UDP, "icmp": tables.ICMP}

const forwarded = "forwarded"

func (t *tracing) run(ctx context.Context, p TraceParams) error {
	protocol, ok := protocols[p.Protocol]
	if !ok {
		return fmt.Errorf("unknown protocol %q: tcp, udp or icmp", p.Protocol)
	}
	if err := t.parseHeader(p.Header); err != nil {
		return err
	}
	if place, ok := strings.CutPrefix(p.From, "api:"); ok {
		return t.route(ctx, place, p)
	}
	to, isURL := parseURL(p.To)
	if p.From == "" {
		if !isURL {
			return errors.New("a sender is needed, unless the destination is the URL of an API")
		}
		return t.public(ctx, to, p)
	}
	sender, source, err := t.sender(p.From, p.Source)
	if err != nil {
		return err
	}
	from := probe{source: source, port: p.Port, protocol: protocol, sequence: p.Sequence}
	name, request := p.To, p.Request
	if isURL {
		if !t.isPlace(to.Hostname()) {
			return t.throughEndpoint(ctx, sender, from, to, p)
		}
		name = net.JoinHostPort(to.Hostname(), cmp.Or(to.Port(), map[string]string{"http": "80", "https": "443"}[to.Scheme]))
		request = cmp.Or(p.Request, "GET") + " " + to.RequestURI()
	}
	ends, err := t.destinations(name, protocol)
	if err != nil {
		return err
	}
	leg := Leg{From: t.name(sender), To: p.To}
	for _, end := range ends {
		q := from
		q.to = end.address
		if protocol == tables.ICMP {
			q.port, q.to = 1, netip.AddrPortFrom(end.address.Addr(), 1)
		}
		leg.Ways = append(leg.Ways, t.way(end, t.packet(sender, q)))
	}
	if way, ok := t.add(leg); ok && request != "" {
		host := t.host(name)
		if isURL {
			host = to.Host
		}
		return t.atBalancer(ctx, way, request, host, t.header, true)
	}
	return nil
}

// way completes what a packet met.
func (t *tracing) way(end destination, p Packet) Way {
	return Way{Name: end.name, Zone: end.zone, Packet: p, Balancers: t.balancers(p)}
}

// add appends a leg of packets, and says whether one of its ways leads on.
func (t *tracing) add(leg Leg) (chosen *Way, ok bool) {
	for i := range leg.Ways {
		if leg.Ways[i].Verdict == forwarded {
			chosen, ok = &leg.Ways[i], true
			break
		}
	}
	if chosen == nil && len(leg.Ways) > 0 {
		chosen = &leg.Ways[0]
	}
	if chosen != nil {
		chosen.Chosen = true
		t.result.Verdict, t.result.Cause = chosen.Verdict, chosen.Cause
	}
	t.result.Legs = append(t.result.Legs, leg)
	return chosen, ok
}

// stop ends the trace where no packet is dropped.
func (t *tracing) stop(cause string) {
	layer, _, _ := strings.Cut(cause, ":")
	t.result.Verdict, t.result.Cause = layer, cause
}

// parseURL tells URLs of APIs from other destinations.
func parseURL(s string) (*url.URL, bool) {
	u, err := url.Parse(s)
	return u, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// dropNoAddress is the word for a destination that nobody has.
var dropNoAddress = bpf.DropNoAddress.String()
