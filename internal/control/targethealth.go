package control

import (
	"context"

	"github.com/isthmus-net/isthmus/internal/health"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// reportHealth stores what the health checker found. Reports about targets
// that are gone, or were registered anew since, are ignored.
func (c *controller) reportHealth(ctx context.Context, reports []health.Report) (struct{}, error) {
	_, err := c.db.Update(ctx, func(tx *store.Tx) error {
		for _, r := range reports {
			g, ok := store.TargetGroups.Get(tx, r.TargetGroup)
			if !ok || !current(g, r) {
				continue
			}
			key := resource.TargetHealthKey(r.TargetGroup, r.Target, r.Port)
			if _, known := store.TargetHealth.Get(tx, key); known && r.State == health.Initial {
				continue // a checker that has just started knows less than the row
			}
			row := &resource.TargetHealth{
				TargetGroup: r.TargetGroup, Target: r.Target, Port: r.Port,
				State: r.State, Reason: r.Reason, Description: r.Description,
			}
			store.TargetHealth.Put(tx, row)
		}
		return nil
	})
	return struct{}{}, err
}

func current(g *resource.TargetGroup, r health.Report) bool {
	for _, t := range g.Targets {
		if t.ID == r.Target && t.Port == r.Port && t.Registered == r.Registered && t.DrainingUntil == 0 {
			return true
		}
	}
	return false
}
