package control

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// How the nodes of load balancers are asked: so many at a time, and for so long
// is each waited.
const (
	metricsAtOnce  = 32
	metricsTimeout = time.Second
)

// balancerMetrics asks the nodes of Application Load Balancers what they have
// counted. Those that do not answer are left out.
func (c *controller) balancerMetrics(ctx context.Context, _ struct{}) ([]albconfig.NodeMetrics, error) {
	var mu sync.Mutex
	found := []albconfig.NodeMetrics{}
	var group errgroup.Group
	group.SetLimit(metricsAtOnce)
	view := c.db.View()
	for lb := range store.LoadBalancers.Scan(view) {
		if lb.Type != resource.ApplicationLoadBalancer {
			continue
		}
		for _, z := range lb.Zones {
			group.Go(func() error {
				ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
				defer cancel()
				m := albconfig.NodeMetrics{LoadBalancer: lb.ARN, Zone: z.Zone}
				if err := c.feed.Call(ctx, albRole(z.Interface), "metrics", struct{}{}, &m.Metrics); err != nil {
					c.log.Debug("metrics of a load balancer's node", "node", z.Interface, "error", err)
					return nil
				}
				// A node makes up no target groups.
				maps.DeleteFunc(m.Groups, func(arn string, _ albconfig.GroupMetrics) bool {
					g, ok := store.TargetGroups.Get(view, arn)
					return !ok || g.Account != lb.Account || g.Region != lb.Region
				})
				mu.Lock()
				defer mu.Unlock()
				found = append(found, m)
				return nil
			})
		}
	}
	group.Wait()
	slices.SortFunc(found, func(a, b albconfig.NodeMetrics) int {
		return cmp.Or(cmp.Compare(a.LoadBalancer, b.LoadBalancer), cmp.Compare(a.Zone, b.Zone))
	})
	return found, nil
}
