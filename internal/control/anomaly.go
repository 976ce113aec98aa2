package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// reportAnomalies stores what a node of an Application Load Balancer found of
// its targets, in the place of what it found before.
func (c *controller) reportAnomalies(ctx context.Context, role feed.Role, raw json.RawMessage) (any, error) {
	eni, ok := strings.CutPrefix(string(role), albconfig.Owner)
	if !ok {
		return nil, fmt.Errorf("role %s may not ask this", role)
	}
	var found []albconfig.Anomaly
	if err := json.Unmarshal(raw, &found); err != nil {
		return nil, fmt.Errorf("read parameters: %w", err)
	}
	if len(found) > albconfig.MaxAnomalies {
		return nil, fmt.Errorf("report of %s: more than %d anomalies", eni, albconfig.MaxAnomalies)
	}
	_, err := c.db.Update(ctx, func(tx *store.Tx) error {
		row := &resource.NodeAnomalies{Interface: eni}
		node, there := store.NetworkInterfaces.Get(tx, eni)
		for _, a := range found {
			// A node knows what it was told, which may be out of date; of
			// another account's groups it knows nothing.
			g, ok := store.TargetGroups.Get(tx, a.TargetGroup)
			if ok && there && g.Account == node.Account && slices.ContainsFunc(g.Targets, func(t resource.Target) bool { return t.ID == a.Target && t.Port == int(a.Port) }) {
				row.Targets = append(row.Targets, resource.TargetAnomaly{
					Target: resource.TargetHealthKey(a.TargetGroup, a.Target, int(a.Port)), Anomalous: a.Anomalous, Mitigated: a.Mitigated,
				})
			}
		}
		_, stored := store.NodeAnomalies.Get(tx, eni)
		switch {
		case len(row.Targets) > 0:
			store.NodeAnomalies.Put(tx, row)
		case stored:
			store.NodeAnomalies.Delete(tx, eni)
		}
		return nil
	})
	return struct{}{}, err
}
