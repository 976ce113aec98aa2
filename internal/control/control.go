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
	"time"

	"github.com/isthmus-net/isthmus/internal/compile"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/store"
)

// The roles that subscribe to compiled configuration.
const (
	roleNode    feed.Role = "node"
	roleGateway feed.Role = "gateway"
	roleHealth  feed.Role = "health"
)

// controller turns each snapshot of the store into configuration.
type controller struct {
	db     *store.DB
	feed   *feed.Server
	region string
	log    *slog.Logger
	tracer tracer

	published map[feed.Role]publication
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
			if err := c.publish(s); err != nil {
				return err
			}
		case <-applied:
		case <-retry.C:
		}
		if now == nil {
			continue
		}
		next, err := c.reconcile(ctx, now)
		if err != nil && ctx.Err() == nil {
			c.log.Error("reconcile", "error", err)
			next = time.Second
		}
		retry.Reset(next)
	}
}

// publish compiles a snapshot and gives each role what has changed for it.
func (c *controller) publish(s *store.Snapshot) error {
	in := dataPlane(s)
	t := compile.Tables(in)
	g := compile.Gateway(gateway(s, c.region))
	compile.Fingerprint(&g, t)
	c.tracer.set(t)
	for role, config := range map[feed.Role]any{roleNode: t, roleGateway: g, roleHealth: compile.Health(in)} {
		b, err := json.Marshal(config)
		if err != nil {
			return fmt.Errorf("encode configuration of %s: %w", role, err)
		}
		sum := maphash.Bytes(seed, b)
		if last, ok := c.published[role]; ok && last.sum == sum {
			continue
		}
		c.published[role] = publication{s.Revision(), sum}
		c.feed.Publish(role, s.Revision(), json.RawMessage(b))
	}
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
	if u := findUnsettled(s); !u.empty() && c.inForce() {
		if _, err := c.db.Update(ctx, func(tx *store.Tx) error { return settle(tx, u) }); err != nil {
			return 0, err
		}
	}
	next := nextDrained(s)
	if next.IsZero() {
		return idle, nil
	}
	if wait := time.Until(next); wait > 0 {
		return wait, nil
	}
	_, err := c.db.Update(ctx, drained(time.Now()))
	return idle, err
}

// inForce says whether the node has applied the tables of the newest snapshot.
func (c *controller) inForce() bool {
	return c.feed.Applied(roleNode) >= c.published[roleNode].revision
}
