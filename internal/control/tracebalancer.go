package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/alb"
	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/message"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/trace"
)

// maxTargets bounds how many targets of a balancer are traced.
const maxTargets = 16

// parseRequest reads "GET /pets?x=y".
func parseRequest(s string) (method, path, query string, err error) {
	method, path, ok := strings.Cut(s, " ")
	if !ok || !strings.HasPrefix(path, "/") {
		return "", "", "", fmt.Errorf("the request is %q, and not of the form \"GET /pets\"", s)
	}
	path, query, _ = strings.Cut(path, "?")
	return method, path, query, nil
}

// parseHeader takes the request's header fields.
func (t *tracing) parseHeader(lines []string) error {
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return fmt.Errorf("header field %q is not of the form \"Name: value\"", line)
		}
		t.header.Add(name, strings.TrimSpace(value))
	}
	return nil
}

// isPlace tells hosts of URLs that packets are sent to as they are from names
// of APIs: addresses, and load balancers' names.
func (t *tracing) isPlace(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	ends, err := t.balancer(host, 80, tables.TCP)
	return err != nil || len(ends) > 0
}

// host is what a client writes into the Host field that calls a destination.
func (t *tracing) host(to string) string {
	base, _, err := splitPort(to)
	if err != nil {
		return to
	}
	if l, ok := store.Listeners.Get(t.rows, base); ok {
		base = l.LoadBalancer
	}
	for lb := range store.LoadBalancers.Scan(t.rows) {
		if base == lb.ARN || base == lb.Name {
			return lb.DNSName
		}
	}
	return to
}

// balancerNode is a node of an Application Load Balancer, and the listener at
// the port of what arrived there; nil if there is none.
type balancerNode struct {
	balancer *resource.LoadBalancer
	eni      string
	listener *resource.Listener
}

// arrivedAt is the node that a packet has arrived at.
func (t *tracing) arrivedAt(p Packet) (n balancerNode, ok bool) {
	if p.Verdict != forwarded || len(p.Steps) == 0 {
		return n, false
	}
	n.eni = p.Steps[len(p.Steps)-1].At
	for lb := range store.LoadBalancers.Scan(t.rows) {
		if lb.Type == resource.ApplicationLoadBalancer && slices.ContainsFunc(lb.Zones, func(z resource.LoadBalancerZone) bool { return z.Interface == n.eni }) {
			n.balancer = lb
		}
	}
	if n.balancer == nil {
		return n, false
	}
	for l := range store.Listeners.Scan(t.rows) {
		if l.LoadBalancer == n.balancer.ARN && l.Port == int(p.Destination.Port()) {
			n.listener = l
		}
	}
	return n, true
}

// atBalancer goes on with a request whose packets have arrived at a node of an
// Application Load Balancer, if they have: by the rule that it meets, and from
// the node to the targets. Its sender may speak HTTP/2, or HTTP/1.1 only.
func (t *tracing) atBalancer(ctx context.Context, w *Way, request, host string, h message.Header, http2 bool) error {
	node, ok := t.arrivedAt(w.Packet)
	if !ok {
		return nil
	}
	leg := Leg{From: node.eni + " (" + node.balancer.Name + ")"}
	if node.listener == nil {
		t.result.Legs = append(t.result.Legs, leg)
		t.stop(fmt.Sprintf("no-listener: %s has no listener at port %d", node.balancer.Name, w.Destination.Port()))
		return nil
	}
	q := alb.PreviewParams{Host: host, Client: w.Source, Port: w.Destination.Port(), HTTP2: http2}
	var err error
	if q.Method, q.Path, q.Query, err = parseRequest(request); err != nil {
		return err
	}
	for _, f := range h {
		if strings.EqualFold(f.Name, "Host") {
			q.Host = f.Value
		} else {
			q.Header = append(q.Header, f)
		}
	}
	v, err := t.balance(ctx, node.eni, q)
	if err != nil {
		return fmt.Errorf("ask the node %s of load balancer %s: %w", node.eni, node.balancer.Name, err)
	}
	leg.Balancer, leg.Steps = &v, t.balancerSteps(node, q, v)
	if v.Status != 0 {
		t.result.Legs = append(t.result.Legs, leg)
		if v.Cause != "" {
			t.stop(v.Cause)
		}
		return nil
	}
	return t.toTargets(leg, node, v)
}

// toTargets traces the connections from a balancer's node to the targets that
// take turns.
func (t *tracing) toTargets(leg Leg, node balancerNode, v alb.Preview) error {
	sender := t.eni(node.eni)
	if sender == nil {
		return errors.New("there is no network interface " + node.eni)
	}
	all, lost := 0, 0
	for _, g := range v.Groups {
		for _, target := range g.Targets {
			if all++; all > maxTargets {
				continue
			}
			name := fmt.Sprintf("%s of %s, %s", target.Address, t.groupName(g.TargetGroup), target.Health)
			p := t.packet(sender, probe{to: target.Address, protocol: tables.TCP})
			leg.Ways = append(leg.Ways, t.way(destination{name: name, zone: target.Zone}, p))
			if p.Verdict != forwarded {
				lost++
			}
		}
	}
	say := func(format string, args ...any) {
		leg.Steps = append(leg.Steps, trace.Step{At: node.eni, Text: fmt.Sprintf(format, args...)})
	}
	if all > maxTargets {
		say("the ways to the first %d of %d targets:", maxTargets, all)
	}
	if lost > 0 && lost < len(leg.Ways) {
		say("%d of %d targets can't be reached: a request whose turn it is there fails", lost, len(leg.Ways))
	}
	t.add(leg)
	return nil
}

// balancerSteps tell what a node does with a request.
func (t *tracing) balancerSteps(node balancerNode, q alb.PreviewParams, v alb.Preview) (steps []trace.Step) {
	say := func(format string, args ...any) {
		steps = append(steps, trace.Step{At: node.eni, Text: fmt.Sprintf(format, args...)})
	}
	path := q.Path
	if q.Query != "" {
		path += "?" + q.Query
	}
	say("listener %s of %s gets %s %s, Host: %s", listenerName(node.listener), node.balancer.Name, q.Method, path, q.Host)
	switch {
	case v.Rule != nil:
		say("rule of priority %d (%s): %s", v.Rule.Priority, conditionsText(v.Rule.Conditions), v.Action)
	case v.Action != "":
		say("the default rule: %s", v.Action)
	}
	if v.Path != "" {
		say("rewritten to %s, Host: %s", v.Path, v.Host)
	}
	total := 0
	for _, g := range v.Groups {
		total += g.Weight
	}
	for _, g := range v.Groups {
		say("target group %s, weight %d of %d: %s", t.groupName(g.TargetGroup), g.Weight, total, t.targetsText(g))
	}
	switch {
	case v.Location != "":
		say("answers %d, Location: %s", v.Status, v.Location)
	case v.Status != 0:
		say("answers %d by itself", v.Status)
	}
	if v.Cause != "" {
		say("%s", v.Cause)
	}
	return steps
}

// targetsText tells who of a group is given a request.
func (t *tracing) targetsText(g alb.PreviewGroup) string {
	healthy := 0
	for _, target := range g.Targets {
		if target.Health == config.Healthy {
			healthy++
		}
	}
	switch n := len(g.Targets); {
	case g.Incompatible != "":
		return "it is not given the request, which is answered with 464"
	case n == 0:
		return "no target is registered"
	case g.Bound && n == 1:
		return "a cookie binds the client to " + g.Targets[0].Address.String()
	case g.FailsOpen:
		return fmt.Sprintf("%d of %d targets are healthy, so that all are given requests", healthy, n)
	case n == 1:
		return "one target is healthy"
	default:
		return fmt.Sprintf("%d targets are healthy, chosen by %s", n, g.Algorithm)
	}
}

func (t *tracing) groupName(arn string) string {
	if g, ok := store.TargetGroups.Get(t.rows, arn); ok {
		return g.Name
	}
	return arn
}

// conditionsText are conditions for people.
func conditionsText(all []config.Condition) string {
	var texts []string
	for _, c := range all {
		text := string(c.Field)
		if c.HeaderName != "" {
			text += " " + c.HeaderName
		}
		values := slices.Concat(c.Values, c.Regex)
		for _, q := range c.Query {
			if q.Key == "" {
				values = append(values, q.Value)
			} else {
				values = append(values, q.Key+"="+q.Value)
			}
		}
		for _, s := range c.Sources {
			values = append(values, s.String())
		}
		texts = append(texts, text+" "+strings.Join(values, " or "))
	}
	return strings.Join(texts, " and ")
}
