package control

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// BalancerView is a load balancer on a packet's way, with its targets.
type BalancerView struct {
	LoadBalancer string       `json:"loadBalancer"` // name
	Listener     string       `json:"listener"`     // "TCP:80"
	TargetGroup  string       `json:"targetGroup"`  // name
	Targets      []TargetView `json:"targets"`
}

// TargetView is a target and what is known of its health.
type TargetView struct {
	ID          string         `json:"id"` // address or i-…
	Address     netip.AddrPort `json:"address"`
	Zone        string         `json:"zone"`
	State       string         `json:"state"` // "healthy", "unhealthy", "initial", "draining"
	Description string         `json:"description,omitempty"`
	Chosen      bool           `json:"chosen,omitempty"` // for this packet
}

// balancers are those that a packet met, and the one that it arrived at.
func (t *tracing) balancers(p Packet) (views []BalancerView) {
	for i, arn := range p.listeners {
		l, ok := store.Listeners.Get(t.rows, arn)
		if !ok {
			continue
		}
		for _, v := range t.groupViews(l, resource.TargetGroups(l.DefaultActions)) {
			for j := range v.Targets {
				v.Targets[j].Chosen = i < len(p.chosen) && p.chosen[i] == v.Targets[j].Address
			}
			views = append(views, v)
		}
	}
	return append(views, t.application(p)...)
}

// application is the Application Load Balancer at whose node a packet arrived:
// which of its groups a request takes is for its rules to say.
func (t *tracing) application(p Packet) (views []BalancerView) {
	node, ok := t.arrivedAt(p)
	if !ok || node.listener == nil {
		return nil
	}
	groups := resource.TargetGroups(node.listener.DefaultActions)
	for r := range store.ListenerRules.Scan(t.rows) {
		if r.Listener == node.listener.ARN {
			groups = append(groups, resource.TargetGroups(r.Actions)...)
		}
	}
	slices.Sort(groups)
	return t.groupViews(node.listener, slices.Compact(groups))
}

// groupViews are target groups as a listener's.
func (t *tracing) groupViews(l *resource.Listener, groups []string) (views []BalancerView) {
	for _, arn := range groups {
		if g, ok := store.TargetGroups.Get(t.rows, arn); ok {
			views = append(views, BalancerView{
				LoadBalancer: balancerName(l.LoadBalancer), Listener: listenerName(l), TargetGroup: g.Name, Targets: targetViews(t.rows, g),
			})
		}
	}
	return views
}

// targetViews tells the health of a group's targets, as it was found last.
func targetViews(r store.Reader, g *resource.TargetGroup) (views []TargetView) {
	for _, t := range resolved(r, g).Targets {
		v := TargetView{ID: t.ID, Address: netip.AddrPortFrom(t.Address, uint16(t.Port)), Zone: t.Zone, State: "initial"}
		if h, ok := store.TargetHealth.Get(r, resource.TargetHealthKey(g.ARN, t.ID, t.Port)); ok {
			v.State, v.Description = h.State, cmp.Or(h.Description, h.Reason)
		}
		if t.DrainingUntil != 0 {
			v.State, v.Description = "draining", ""
		}
		views = append(views, v)
	}
	return views
}

// balancerName is the name in a load balancer's ARN, or the ARN.
func balancerName(arn string) string {
	_, rest, ok := strings.Cut(arn, ":loadbalancer/")
	if parts := strings.Split(rest, "/"); ok && len(parts) == 3 {
		return parts[1]
	}
	return arn
}

func listenerName(l *resource.Listener) string {
	return l.Protocol + ":" + strconv.Itoa(l.Port)
}
