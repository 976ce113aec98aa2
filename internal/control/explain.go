package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/isthmus-net/isthmus/bpf"
	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/trace"
)

// tracer traces packets over the tables that were published last.
type tracer struct{ current atomic.Pointer[tracedTables] }

type tracedTables struct {
	tables *tables.Tables
	index  *trace.Index
}

func (t *tracer) set(tables *tables.Tables) {
	t.current.Store(&tracedTables{tables, trace.NewIndex(tables, 1)})
}

// ExplainParams ask what becomes of a new connection of API Gateway's, or of a
// load balancer's node.
type ExplainParams struct {
	Source      netip.Addr     `json:"source"` // zero: the asker's own address
	Destination netip.AddrPort `json:"destination"`
}

// TraceParams ask what becomes of a packet.
type TraceParams struct {
	From     string         `json:"from"`               // eni-… or "gateway"
	Source   netip.Addr     `json:"source,omitzero"`    // zero: the ENI's primary address
	To       netip.AddrPort `json:"to"`                 // port 0 for ICMP
	Protocol string         `json:"protocol"`           // "tcp" (default), "udp", "icmp"
	Port     uint16         `json:"port,omitempty"`     // source port
	Sequence uint32         `json:"sequence,omitempty"` // of a TCP SYN: two may reach different targets
}

// TraceResult is the way of a packet.
type TraceResult struct {
	// Verdict is "forwarded" or the reason of the drop.
	Verdict string       `json:"verdict"`
	Cause   string       `json:"cause,omitempty"`
	Steps   []trace.Step `json:"steps"`
	// What a forwarded packet became.
	Source      netip.AddrPort `json:"source,omitzero"`
	Destination netip.AddrPort `json:"destination,omitzero"`
}

func (t *tracer) trace(p TraceParams) (TraceResult, error) {
	now := t.current.Load()
	if now == nil {
		return TraceResult{}, fmt.Errorf("trace: no tables have been compiled yet")
	}
	var sender *tables.ENI
	for i := range now.tables.ENIs {
		e := &now.tables.ENIs[i]
		gateway := p.From == "gateway" && e.Owner == "gateway" && e.Device != nil
		if e.ID == p.From || gateway {
			sender = e
			if gateway {
				break
			}
		}
	}
	if sender == nil {
		return TraceResult{}, fmt.Errorf("trace: there is no network interface %q", p.From)
	}
	protocol, ok := map[string]uint8{"": tables.TCP, "tcp": tables.TCP, "udp": tables.UDP, "icmp": tables.ICMP}[p.Protocol]
	if !ok {
		return TraceResult{}, fmt.Errorf("trace: unknown protocol %q: tcp, udp or icmp", p.Protocol)
	}
	if !p.To.Addr().Is4() {
		return TraceResult{}, fmt.Errorf("trace: destination %s is not an IPv4 address", p.To.Addr())
	}
	if protocol == tables.ICMP {
		p.Port, p.To = 1, netip.AddrPortFrom(p.To.Addr(), 1)
	}
	return now.packet(sender, p, protocol), nil
}

// packet traces the first packet of a flow from an ENI. An ENI without a
// device sends as if it had one.
func (t *tracedTables) packet(sender *tables.ENI, p TraceParams, protocol uint8) TraceResult {
	source := p.Source
	if !source.IsValid() && sender.Device != nil {
		source = sender.Device.Source
	}
	if !source.IsValid() {
		source = sender.Addresses[0]
	}
	if nat := t.carried(sender, source); nat != nil {
		sender = nat
	}
	if p.Port == 0 {
		p.Port = 40000
	}
	v := t.index.From(sender, trace.Packet{
		Src: netip.AddrPortFrom(source, p.Port), Dst: p.To, Protocol: protocol,
		Flags: trace.SYN, Seq: p.Sequence, Type: trace.EchoRequest,
	})
	r := TraceResult{Verdict: v.Reason.String(), Steps: v.Steps}
	if v.Reason == bpf.DropNone {
		r.Source, r.Destination = v.Src, v.Dst
	} else if n := len(v.Steps); n > 0 {
		r.Cause = v.Steps[n-1].Text
	}
	return r
}

// carried is the NAT source with an address on an ENI's device; nil if there is
// none.
func (t *tracedTables) carried(on *tables.ENI, source netip.Addr) *tables.ENI {
	for i := range t.tables.ENIs {
		e := &t.tables.ENIs[i]
		if e.Kind == tables.NATSource && e.Carrier == on.Number && e.Addresses[0] == source {
			return e
		}
	}
	return nil
}

// explain answers the gateway: the sender is the ENI on its device that has
// the source address.
func (t *tracer) explain(p ExplainParams) (TraceResult, error) {
	now := t.current.Load()
	if now == nil {
		return TraceResult{}, fmt.Errorf("explain: no tables have been compiled yet")
	}
	var gateway *tables.ENI
	for i := range now.tables.ENIs {
		if e := &now.tables.ENIs[i]; e.Owner == "gateway" && e.Device != nil {
			gateway = e
		}
	}
	if gateway == nil {
		return TraceResult{}, fmt.Errorf("explain: the gateway has no network interface yet")
	}
	return now.packet(gateway, TraceParams{Source: p.Source, To: p.Destination}, tables.TCP), nil
}

// balancer is the ENI of a load balancer's node, in whose role a process asks;
// nil if the role is not of a node, or there is no such node.
func (t *tracer) balancer(role feed.Role) *tables.ENI {
	now := t.current.Load()
	id, ok := strings.CutPrefix(string(role), albconfig.Owner)
	if now == nil || !ok {
		return nil
	}
	for i := range now.tables.ENIs {
		if e := &now.tables.ENIs[i]; e.ID == id && e.Device != nil && strings.HasPrefix(e.Owner, albconfig.Owner) {
			return e
		}
	}
	return nil
}

// allowBalancer tells whether a user may subscribe in the role of a load
// balancer's node: the one that runs it.
func (t *tracer) allowBalancer(role feed.Role, uid int) bool {
	e := t.balancer(role)
	if e == nil {
		return false
	}
	own, err := albconfig.UID(e.Number)
	return err == nil && int(own) == uid
}

// explainTo answers the gateway, and a load balancer's node, which may ask of
// what it sends from its own ENI only.
func (t *tracer) explainTo(_ context.Context, role feed.Role, raw json.RawMessage) (any, error) {
	var p ExplainParams
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("read parameters: %w", err)
	}
	if role == roleGateway {
		return t.explain(p)
	}
	e := t.balancer(role)
	if e == nil {
		return nil, fmt.Errorf("role %s may not ask this", role)
	}
	return t.current.Load().packet(e, TraceParams{To: p.Destination}, tables.TCP), nil
}

// callers passes a question of the gateway's on to the node, which has the flow
// table: who opened these connections.
func (c *controller) callers(ctx context.Context, p json.RawMessage) (json.RawMessage, error) {
	var answer json.RawMessage
	err := c.feed.Call(ctx, roleNode, "callers", p, &answer)
	return answer, err
}

// only makes a typed function a handler of requests from one role.
func only[P, R any](allowed feed.Role, fn func(context.Context, P) (R, error)) feed.Handler {
	return func(ctx context.Context, role feed.Role, raw json.RawMessage) (any, error) {
		if role != allowed {
			return nil, fmt.Errorf("role %s may not ask this", role)
		}
		var p P
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, fmt.Errorf("read parameters: %w", err)
		}
		return fn(ctx, p)
	}
}
