package trace

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/proxyheader"
	"github.com/isthmus-net/isthmus/internal/tables"
)

const endpointIDLength = 22

// walk is the way of a flow's first packet from ENI to ENI: step 4 of the
// story.
type walk struct {
	reason  bpf.DropReason
	arrived *tables.ENI // the host at the end

	src            netip.Addr // as the destination sees it
	dst            netip.AddrPort
	rewritesSource bool
	listeners      []string         // ARNs, of the balancers on the way
	chosen         []netip.AddrPort // their targets
	header         []byte           // that the last one gets before the client's bytes
	idleBalanced   uint32           // seconds, the least of the listeners'

	openSrc, openDst bool // nothing needs tracking at that end
	steps            []Step
}

// evaluate walks p, sent by sender. known is the forward entry when a flow is
// looked at once more under new tables.
func (x *Index) evaluate(sender *tables.ENI, p Packet, known *Flow) *walk {
	w := &walk{src: p.Src.Addr(), dst: p.Dst}
	me := sender
	var choices []netip.AddrPort
	if known != nil {
		w.src, choices = known.Src.Addr(), known.choices(p.Dst)
	}
	if sender.Kind == tables.NATSource {
		me = x.enis[sender.Peer]
		if me == nil {
			return w.stop(bpf.DropNoAddress, sender.ID, "no-address: %s leads to no ENI", sender.ID)
		}
		if w.rewritesSource = true; known == nil {
			w.src = me.Addresses[0]
		}
		w.pass(me.ID, "nat: sent as %s in %s", w.src, x.networks[me.Network])
	}
	if known == nil || !known.TrackedSrc {
		var ok bool
		if ok, w.openSrc = x.allowed(me.Egress, p.Dst.Addr(), p.Protocol, p.rulePort()); !ok {
			return w.stop(bpf.DropSGEgress, me.ID, "sg-egress: %s of %s allows no %s to %s", groups(me), me.ID, port(p, p.rulePort()), p.Dst.Addr())
		}
	}
	w.openSrc = w.openSrc && (me.Ingress == 0 || me.IngressOpen)
	if me.ReversePath {
		if back := x.route(me.RouteTable, p.Src.Addr()); back == nil || back.Kind != tables.Interface || back.ENI != me.Number {
			return w.stop(bpf.DropNoRoute, me.ID, "no-route: no route leads back to %s by %s%s", p.Src.Addr(), me.ID, x.withdrawn(me, p.Src.Addr()))
		}
	}
	route := x.route(me.RouteTable, p.Dst.Addr())
	switch {
	case route == nil:
		return w.stop(bpf.DropNoRoute, x.tableID(me), "no-route: %s has no route to %s%s", x.tableID(me), p.Dst.Addr(), x.withdrawn(me, p.Dst.Addr()))
	case route.Kind == tables.Blackhole:
		return w.stop(bpf.DropBlackhole, x.tableID(me), "blackhole: %s leads %s nowhere%s", x.tableID(me), route.Prefix, x.withdrawn(me, p.Dst.Addr()))
	case route.Kind == tables.Internet:
		return w.stop(bpf.DropNoPublicAddress, x.tableID(me), "no-public-address: %s leads to an internet gateway, and %s has no public address", route.Prefix, me.ID)
	}
	at := x.mappings[address{me.Network, p.Dst.Addr()}]
	if route.Kind == tables.Interface && route.ENI != 0 {
		at = x.enis[route.ENI]
	}
	if at == nil || at.Kind == tables.NAT || at.Kind == tables.NATSource {
		return w.stop(bpf.DropNoAddress, x.networks[me.Network], "no-address: no ENI of %s accepts packets for %s", x.networks[me.Network], p.Dst.Addr())
	}
	if me.ReversePath {
		if back := x.route(at.RouteTable, p.Src.Addr()); back == nil || back.Kind != tables.Interface {
			return w.stop(bpf.DropNoRoute, x.tableID(at), "no-route: %s, of %s, has no route back to %s%s", x.tableID(at), at.ID, p.Src.Addr(), x.withdrawn(at, p.Src.Addr()))
		}
	}
	w.pass(me.ID, "sends %s to %s (%s)", port(p, p.rulePort()), p.Dst.Addr(), at.ID)

	for at.Kind == tables.Endpoint || at.Kind == tables.LoadBalancer {
		endpoint, throughEndpoint := at, at.Kind == tables.Endpoint
		if throughEndpoint {
			if at = x.throughEndpoint(w, at, p, known); at == nil {
				return w
			}
		}
		if at = x.throughBalancer(w, at, p, known, choices, endpoint); at == nil {
			return w
		}
	}
	if at.Kind != tables.Host || known != nil && len(w.chosen) != len(choices) {
		return w.stop(bpf.DropNoAddress, at.ID, "no-address: %s accepts no packets", at.ID)
	}
	if at == me && w.src == p.Src.Addr() {
		return w.stop(bpf.DropHairpin, at.ID, "hairpin: the way of %s leads back to its sender", w.dst)
	}
	arrivalPort := w.rulePort(p)
	if known == nil || !known.TrackedDst {
		var ok bool
		if ok, w.openDst = x.allowed(at.Ingress, w.src, p.Protocol, arrivalPort); !ok {
			return w.stop(bpf.DropSGIngress, at.ID, "sg-ingress: %s of %s allows no %s from %s", groups(at), at.ID, port(p, arrivalPort), w.src)
		}
	}
	w.openDst = w.openDst && (at.Egress == 0 || at.EgressOpen)
	if at.Device == nil {
		return w.stop(bpf.DropNoDevice, at.ID, "no-device: %s is attached to nothing", at.ID)
	}
	if w.rewritesSource && len(w.chosen) == 0 && p.Protocol == tables.TCP && known == nil && !p.syn() {
		return w.stop(bpf.DropIdle, me.ID, "idle: not the start of a connection, and no connection known")
	}
	w.arrived = at
	w.pass(at.ID, "arrives from %s at %s", w.src, w.dst)
	return w
}

// throughEndpoint goes on from an interface endpoint to the load balancer's
// node behind it; nil if the walk ends there.
func (x *Index) throughEndpoint(w *walk, at *tables.ENI, p Packet, known *Flow) *tables.ENI {
	if known == nil {
		if ok, _ := x.allowed(at.Ingress, w.src, p.Protocol, w.rulePort(p)); !ok {
			w.stop(bpf.DropSGIngress, at.ID, "sg-ingress: %s of %s allows no %s from %s", groups(at), at.ID, port(p, w.rulePort(p)), w.src)
			return nil
		}
	}
	if !at.Available {
		w.stop(bpf.DropNotAccepted, at.Owner, "not-accepted: the connection of endpoint %s is not available", at.Owner)
		return nil
	}
	node := x.enis[at.Peer]
	if node == nil || node.Kind != tables.LoadBalancer {
		w.stop(bpf.DropNoHealthyTarget, at.Owner, "no-healthy-target: the service of endpoint %s has no load balancer in this zone", at.Owner)
		return nil
	}
	w.pass(at.ID, "endpoint %s: leads to %s in %s", at.Owner, node.ID, x.networks[node.Network])
	return node
}

// throughBalancer chooses a target of a load balancer's node and goes on at
// its ENI; nil if the walk ends there. from is the endpoint that it came
// through, or the node itself.
func (x *Index) throughBalancer(w *walk, node *tables.ENI, p Packet, known *Flow, choices []netip.AddrPort, from *tables.ENI) *tables.ENI {
	throughEndpoint := from != node
	at := len(w.chosen)
	if at == tables.MaxCrossings {
		w.stop(bpf.DropTooManyHops, node.Owner, "too-many-hops: the way has crossed %d load balancers before %s", at, node.ID)
		return nil
	}
	if known == nil && (!throughEndpoint || node.Enforce) {
		if ok, _ := x.allowed(node.Ingress, w.src, p.Protocol, w.rulePort(p)); !ok {
			w.stop(bpf.DropSGIngress, node.ID, "sg-ingress: %s of %s allows no %s from %s", groups(node), node.ID, port(p, w.rulePort(p)), w.src)
			return nil
		}
	}
	listener := x.listeners[listenerKey{node.Number, p.Protocol, w.dst.Port()}]
	if listener == nil {
		w.stop(bpf.DropNoListener, node.Owner, "no-listener: %s has no listener on %s", node.Owner, port(p, w.rulePort(p)))
		return nil
	}
	w.listeners = append(w.listeners, listener.ID)
	if idle := uint32(listener.Idle); at == 0 || idle < w.idleBalanced {
		w.idleBalanced = idle
	}
	if known == nil && p.Protocol == tables.TCP && !p.syn() {
		w.stop(bpf.DropIdle, node.ID, "idle: not the start of a connection, and no connection known")
		return nil
	}
	if known != nil {
		if at >= len(choices) {
			w.stop(bpf.DropNoAddress, node.ID, "no-address: the connection's way had no such load balancer")
			return nil
		}
		w.dst = choices[at]
		if !x.members[tables.Member{Group: listener.Group, Target: w.dst}] {
			w.stop(bpf.DropNoHealthyTarget, node.Owner, "no-healthy-target: %s is no longer a target of %s", w.dst, listener.ID)
			return nil
		}
	} else {
		hash := tables.Hash(p.Src, p.Dst, p.Protocol, p.seqOfStart())
		if at > 0 {
			hash = tables.Rehash(hash, at)
		}
		set := x.targets[listener.Targets]
		if set == nil {
			w.stop(bpf.DropNoHealthyTarget, node.Owner, "no-healthy-target: %s has no target to choose in the zone of %s", listener.ID, node.ID)
			return nil
		}
		if listener.Proxy {
			endpoint := ""
			if throughEndpoint && len(from.Owner) == endpointIDLength {
				endpoint = from.Owner
			}
			seen := proxyheader.Proxy(netip.AddrPortFrom(w.src, p.Src.Port()), w.dst, endpoint)
			w.header = append(seen, w.header...)
		}
		slot := uint32(hash) % uint32(len(set.Slots))
		w.dst = set.Targets[set.Slots[slot]]
	}
	w.chosen = append(w.chosen, w.dst)
	to := x.mappings[address{node.Network, w.dst.Addr()}]
	if to == nil || to.Kind != tables.Host && to.Kind != tables.Endpoint {
		w.stop(bpf.DropNoAddress, x.networks[node.Network], "no-address: no ENI of %s accepts packets for target %s", x.networks[node.Network], w.dst.Addr())
		return nil
	}
	if known == nil && (!listener.PreserveClient || throughEndpoint) {
		w.src, w.rewritesSource = node.Addresses[0], true
	}
	if known == nil {
		if ok, _ := x.allowed(node.Egress, w.dst.Addr(), p.Protocol, w.dst.Port()); !ok {
			w.stop(bpf.DropSGEgress, node.ID, "sg-egress: %s of %s allows no %s to %s", groups(node), node.ID, port(p, w.dst.Port()), w.dst.Addr())
			return nil
		}
	}
	w.pass(node.ID, "load balancer %s: chose %s", node.Owner, w.dst)
	return to
}

// choices are the targets that were chosen for a known flow to dst.
func (f *Flow) choices(dst netip.AddrPort) []netip.AddrPort {
	switch {
	case len(f.Chosen) > 0:
		return f.Chosen
	case f.Dst != dst:
		return []netip.AddrPort{f.Dst}
	}
	return nil
}

// rulePort is what rules are asked for on the way: the port of the moment, or
// ICMP's type and code.
func (w *walk) rulePort(p Packet) uint16 {
	if p.Protocol == tables.ICMP {
		return p.rulePort()
	}
	return w.dst.Port()
}

// tracked says at which ends the flow outlives the rule that let it in.
func (w *walk) tracked(p Packet) (src, dst bool) {
	if w.rewritesSource || w.dst != p.Dst || p.Protocol == tables.ICMP {
		return true, true
	}
	return !w.openSrc, !w.openDst
}

// idle is how many seconds without a packet end the flow.
func (w *walk) idle(p Packet) uint32 {
	switch {
	case len(w.chosen) > 0:
		return w.idleBalanced
	case w.rewritesSource && p.Protocol == tables.TCP:
		return 350
	case p.Protocol == tables.TCP:
		return 432000
	case p.Protocol == tables.UDP:
		return 180
	}
	return 30
}

func (w *walk) stop(reason bpf.DropReason, at, format string, args ...any) *walk {
	w.reason = reason
	w.steps = append(w.steps, Step{At: at, Text: fmt.Sprintf(format, args...), Source: w.src, Destination: w.dst})
	return w
}

func (w *walk) pass(at, format string, args ...any) {
	w.steps = append(w.steps, Step{At: at, Text: fmt.Sprintf(format, args...), Source: w.src, Destination: w.dst})
}

func (x *Index) tableID(e *tables.ENI) string {
	if t := x.routes[e.RouteTable]; t != nil {
		return t.ID
	}
	return "no route table"
}

// withdrawn says, if it is so, that a route to an address existed and why it
// does no more.
func (x *Index) withdrawn(e *tables.ENI, addr netip.Addr) string {
	if t := x.routes[e.RouteTable]; t != nil {
		for _, gone := range t.Withdrawn {
			if gone.Prefix.Contains(addr) {
				return ": " + gone.Cause
			}
		}
	}
	return ""
}

func groups(e *tables.ENI) string {
	if len(e.Groups) == 0 {
		return "no security group"
	}
	return strings.Join(e.Groups, ", ")
}

// port names a protocol and port as in tcp/80; for ICMP its type.
func port(p Packet, number uint16) string {
	switch p.Protocol {
	case tables.TCP:
		return fmt.Sprintf("tcp/%d", number)
	case tables.UDP:
		return fmt.Sprintf("udp/%d", number)
	case tables.ICMP:
		return fmt.Sprintf("icmp/%d", number>>8)
	}
	return fmt.Sprintf("protocol %d", p.Protocol)
}
