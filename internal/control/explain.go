package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/isthmus-net/isthmus/bpf"
	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/trace"
)

// tracer traces packets over the tables that were published last.
type tracer struct{ current atomic.Pointer[tracedTables] }

// tracedTables are tables and the rows that they were made of.
type tracedTables struct {
	tables *tables.Tables
	index  *trace.Index
	rows   store.Reader
}

func (t *tracer) set(tables *tables.Tables, rows store.Reader) {
	t.current.Store(&tracedTables{tables, trace.NewIndex(tables, 1), rows})
}

func (t *tracer) now() (*tracedTables, error) {
	if now := t.current.Load(); now != nil {
		return now, nil
	}
	return nil, errors.New("no tables have been compiled yet")
}

// ExplainParams ask what becomes of a new connection of API Gateway's, or of a
// load balancer's node.
type ExplainParams struct {
	Source      netip.Addr     `json:"source"` // zero: the asker's own address
	Destination netip.AddrPort `json:"destination"`
}

// probe is the first packet of a flow.
type probe struct {
	source   netip.Addr // zero: the ENI's primary address
	port     uint16     // zero: any
	to       netip.AddrPort
	protocol uint8
	sequence uint32 // of a TCP SYN: two may reach different targets
}

// anyPort is the source port of a probe that names none.
const anyPort = 40000

// Packet is the way of a packet.
type Packet struct {
	// Verdict is "forwarded" or the reason of the drop, Cause the drop in the
	// words of the gateway's log.
	Verdict string       `json:"verdict"`
	Cause   string       `json:"cause,omitempty"`
	Steps   []trace.Step `json:"steps"`
	// What a forwarded packet became.
	Source      netip.AddrPort `json:"source,omitzero"`
	Destination netip.AddrPort `json:"destination,omitzero"`

	listeners []string         // ARNs of the listeners that it met, and
	chosen    []netip.AddrPort // the targets that they chose, which may be one fewer
}

// packet traces the first packet of a flow from an ENI. An ENI without a
// device sends as if it had one.
func (t *tracedTables) packet(sender *tables.ENI, p probe) Packet {
	source := p.source
	if !source.IsValid() && sender.Device != nil {
		source = sender.Device.Source
	}
	if !source.IsValid() {
		source = sender.Addresses[0]
	}
	if nat := t.carried(sender, source); nat != nil {
		sender = nat
	}
	v := t.index.From(sender, trace.Packet{
		Src: netip.AddrPortFrom(source, cmp.Or(p.port, anyPort)), Dst: p.to, Protocol: p.protocol,
		Flags: trace.SYN, Seq: p.sequence, Type: trace.EchoRequest,
	})
	r := Packet{Verdict: v.Reason.String(), Steps: v.Steps, listeners: v.Listeners, chosen: v.Chosen}
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

// eni finds an ENI by its id; nil if there is none.
func (t *tracedTables) eni(id string) *tables.ENI {
	for i := range t.tables.ENIs {
		if t.tables.ENIs[i].ID == id {
			return &t.tables.ENIs[i]
		}
	}
	return nil
}

// process finds the ENI of one of Isthmus's own processes; nil if it has none.
func (t *tracedTables) process(owner string) *tables.ENI {
	for i := range t.tables.ENIs {
		if e := &t.tables.ENIs[i]; e.Owner == owner && e.Device != nil {
			return e
		}
	}
	return nil
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
	return t.current.Load().packet(e, probe{to: p.Destination, protocol: tables.TCP}), nil
}

// explain answers the gateway.
func (t *tracer) explain(p ExplainParams) (Packet, error) {
	now, err := t.now()
	if err != nil {
		return Packet{}, fmt.Errorf("explain: %w", err)
	}
	return now.fromGateway(p.Source, p.Destination)
}

// fromGateway traces a new connection of the gateway's: the sender is the ENI
// on its device that has the source address.
func (t *tracedTables) fromGateway(source netip.Addr, to netip.AddrPort) (Packet, error) {
	gateway := t.process(gatewayOwner)
	if gateway == nil {
		return Packet{}, errors.New("the gateway has no network interface yet")
	}
	return t.packet(gateway, probe{source: source, to: to, protocol: tables.TCP}), nil
}

// Owners of the ENIs of Isthmus's own processes.
const (
	gatewayOwner = "gateway"
	healthOwner  = "health"
)

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
