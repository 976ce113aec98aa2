package alb

import (
	"sync/atomic"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/histogram"
)

// metrics are what a node counts over all its configurations. Requests only add
// to them.
type metrics struct {
	own     statuses      // of answers that no target gave
	dialled atomic.Uint64 // connections to targets
}

// groupMetrics are what it counts of a target group, for as long as
// configurations have that.
type groupMetrics struct {
	requests  atomic.Uint64 // for which a target was chosen
	responses statuses
	time      histogram.Histogram // to the header of the target's response
	failed    atomic.Uint64       // connections that did not come about
}

// statuses counts by the first digit.
type statuses [len(config.Statuses{})]atomic.Uint64

func (s *statuses) add(status int) {
	if class := status / 100; 0 < class && class < len(s) {
		s[class].Add(1)
	}
}

func (s *statuses) read() (out config.Statuses) {
	for i := range s {
		out[i] = s[i].Load()
	}
	return out
}

// count takes an exchange in that has ended with a status.
func (x *exchange) count(status int) {
	if x.target != nil {
		x.group.metrics.requests.Add(1)
	}
	if x.targetStatus == 0 {
		x.balancer.metrics.own.add(status)
		return
	}
	x.group.metrics.responses.add(x.targetStatus)
	x.group.metrics.time.Observe(x.targetTime)
}

// Metrics are what the node has counted, but for its clients' connections.
func (b *Balancer) Metrics() config.Metrics {
	b.applying.Lock()
	defer b.applying.Unlock()
	s := b.current.Load()
	m := config.Metrics{
		ELBResponses: b.metrics.own.read(), NewConnections: b.metrics.dialled.Load(), Groups: map[string]config.GroupMetrics{},
	}
	for _, t := range s.targets {
		for _, p := range *t.pools {
			m.ActiveConnections += p.Connections()
		}
	}
	for arn, g := range s.groups {
		out := config.GroupMetrics{
			Requests: g.metrics.requests.Load(), Responses: g.metrics.responses.read(), ResponseTime: g.metrics.time.Counts(),
			ConnectionErrors: g.metrics.failed.Load(), Healthy: len(g.healthy),
		}
		for _, t := range g.registered {
			if t.Health == config.Unhealthy {
				out.Unhealthy++
			}
		}
		m.Groups[arn] = out
	}
	return m
}

// count adds clients' connections.
func (d *doors) count(m *config.Metrics) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.NewConnections += d.accepted.Load()
	m.RejectedConnections += d.gaveWay.Load()
	for _, o := range d.open {
		m.ActiveConnections += o.server.Connections()
	}
	for s := range d.old {
		m.ActiveConnections += s.Connections()
	}
}
