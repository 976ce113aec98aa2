// Package control is the control process: the AWS API, the store, and the
// controllers that compile desired state for the other processes and move
// resources on once it is in force. It has no privileges.
package control

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"time"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/compile"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// The roles that subscribe to compiled configuration.
const (
	roleNode    feed.Role = "node"
	roleGateway feed.Role = "gateway"
	roleHealth  feed.Role = "health"
	roleDNS     feed.Role = "dns"
	roleBGP     feed.Role = "bgp"
)

// controller turns each snapshot of the store into configuration.
type controller struct {
	db                  *store.DB
	feed                *feed.Server
	region              string
	log                 *slog.Logger
	tracer              tracer
	gatewayCertificates *gatewayCertificates
	// certificates is the authority behind Certificate Manager.
	certificates *authority.Authority

	published map[feed.Role]publication
	revision  int64             // of the snapshot that was compiled last
	held      map[feed.Role]any // configuration of it that is yet to be published
	// balancing are the nodes of Application Load Balancers that it gives a
	// target group, by the group's ARN.
	balancing map[string][]feed.Role

	bgpGone time.Time // since when no BGP process is connected; zero: one is
}

// publication is the configuration that a role was given last.
type publication struct {
	revision int64
	sum      uint64
}

// run follows the store until ctx ends.
func (c *controller) run(ctx context.Context) error {
	snapshots := c.db.Watch(ctx)
	applied := c.feed.Changes()
	retry := time.NewTimer(0)
	defer retry.Stop()
	var now *store.Snapshot
	for {
		select {
		case <-ctx.Done():
			return nil
		case s, ok := <-snapshots:
			if !ok {
				return ctx.Err()
			}
			now = s
			if err := c.compile(s); err != nil {
				return err
			}
		case <-applied:
		case <-retry.C:
			// Time alone calls for a new certificate of the gateway's.
			if now != nil {
				if err := c.compile(now); err != nil {
					return err
				}
			}
		}
		if now == nil {
			continue
		}
		if err := c.release(); err != nil {
			return err
		}
		next, err := c.reconcile(ctx, now)
		if err != nil && ctx.Err() == nil {
			c.log.Error("reconcile", "error", err)
			next = time.Second
		}
		retry.Reset(next)
	}
}

// compile makes configuration of a snapshot. The node is given its tables at
// once; the others wait for release.
func (c *controller) compile(s *store.Snapshot) error {
	in := dataPlane(s)
	t := compile.Tables(in)
	g := compile.Gateway(gateway(s, c.region))
	compile.Fingerprint(&g, t)
	var err error
	if g.Certificates, err = c.gatewayCertificates.issue(time.Now()); err != nil {
		return err
	}
	g.Authority = c.certificates.PEM
	c.tracer.set(t, s)
	c.held = map[feed.Role]any{roleGateway: g, roleHealth: compile.Health(in), roleDNS: compile.Names(names(s, c.region)), roleBGP: compile.BGP(in, c.region)}
	nodes := compile.ALB(in)
	compile.FingerprintALB(nodes, t)
	c.balancing = map[string][]feed.Role{}
	for eni, config := range nodes {
		config.Authorities = c.certificates.PEM
		c.held[albRole(eni)] = config
		for arn := range config.TargetGroups {
			c.balancing[arn] = append(c.balancing[arn], albRole(eni))
		}
	}
	c.revision = s.Revision()
	return c.publish(roleNode, t)
}

// release gives the other processes their configuration once the node has
// applied the tables that belong to it. Were the gateway told of a rule's end
// before it is in force, it could open a connection under the old rule and
// keep it as one of the new.
func (c *controller) release() error {
	if !c.inForce() {
		return nil
	}
	for role, config := range c.held {
		if err := c.publish(role, config); err != nil {
			return err
		}
	}
	for role := range c.published {
		if _, ok := c.held[role]; !ok && c.held != nil && role != roleNode {
			// The node of a load balancer that is no more.
			c.feed.Withdraw(role)
			delete(c.published, role)
		}
	}
	c.held = nil
	return nil
}

// albRole is the role of the process of an Application Load Balancer's node.
func albRole(eni string) feed.Role { return feed.Role(albconfig.Role(eni)) }

// publish gives a role its configuration, unless it is the one it has.
func (c *controller) publish(role feed.Role, config any) error {
	b, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("encode configuration of %s: %w", role, err)
	}
	sum := maphash.Bytes(seed, b)
	if last, ok := c.published[role]; ok && last.sum == sum {
		return nil
	}
	c.published[role] = publication{c.revision, sum}
	c.feed.Publish(role, c.revision, json.RawMessage(b))
	return nil
}

var seed = maphash.MakeSeed()

const idle = time.Hour

// reconcile does what the snapshot calls for, and says when to look again if
// nothing changes. What it writes comes back as the next snapshot.
func (c *controller) reconcile(ctx context.Context, s *store.Snapshot) (time.Duration, error) {
	if linkNeedsBuilding(s) {
		_, err := c.db.Update(ctx, buildLinks)
		return idle, err
	}
	u := findUnsettled(s, c.balancerServes, c.heardOf)
	if !c.applied(roleDNS) {
		u.named = nil
	}
	if !u.empty() && c.inForce() {
		if _, err := c.db.Update(ctx, func(tx *store.Tx) error { return settle(tx, u, time.Now()) }); err != nil {
			return 0, err
		}
	}
	if keys := submitted(s); len(keys) > 0 && c.served() {
		if _, err := c.db.Update(ctx, succeed(keys, time.Now().UTC().Truncate(time.Millisecond))); err != nil {
			return 0, err
		}
	}
	if err := c.renewCertificates(ctx, s, time.Now()); err != nil {
		return 0, err
	}
	if err := c.renewIdentityKeys(ctx, s, time.Now()); err != nil {
		return 0, err
	}
	again, err := c.bgpAway(ctx, s, time.Now())
	if err != nil {
		return 0, err
	}
	next := nextDrained(s)
	if next.IsZero() {
		return again, nil
	}
	if wait := time.Until(next); wait > 0 {
		return min(wait, again), nil
	}
	_, err = c.db.Update(ctx, drained(time.Now()))
	return again, err
}

// served says whether the gateway and the resolver, too, have applied what
// belongs to the newest snapshot.
func (c *controller) served() bool {
	return c.held == nil && c.applied(roleGateway) && c.applied(roleDNS)
}

// balancerServes says whether all nodes of an Application Load Balancer have
// applied what belongs to the newest snapshot. The data plane itself is the
// nodes of other balancers.
func (c *controller) balancerServes(lb *resource.LoadBalancer) bool {
	return lb.Type != resource.ApplicationLoadBalancer || c.held == nil && !slices.ContainsFunc(lb.Zones, func(z resource.LoadBalancerZone) bool {
		return !c.applied(albRole(z.Interface))
	})
}

// heardOf says whether all nodes that choose targets of a group know them as
// they are in the newest snapshot. The data plane itself is the nodes of other
// balancers.
func (c *controller) heardOf(g *resource.TargetGroup) bool {
	return c.held == nil && !slices.ContainsFunc(c.balancing[g.ARN], func(r feed.Role) bool { return !c.applied(r) })
}

// applied says whether a role has applied what it was given last.
func (c *controller) applied(role feed.Role) bool {
	p, ok := c.published[role]
	return ok && c.feed.Applied(role) >= p.revision
}

// inForce says whether the node has applied the tables of the newest snapshot.
func (c *controller) inForce() bool {
	return c.feed.Applied(roleNode) >= c.published[roleNode].revision
}
