package gateway

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/histogram"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// TestBalancerMetrics: what load balancers' nodes have counted is told beside the
// gateway's, and only that is missing when they can't be asked.
func TestBalancerMetrics(t *testing.T) {
	var took histogram.Histogram
	took.Observe(time.Millisecond)
	nodes := []albconfig.NodeMetrics{{
		LoadBalancer: "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/app/shop/50dc6c495c0c9188", Zone: "us-east-1a",
		Metrics: albconfig.Metrics{
			ELBResponses: albconfig.Statuses{2: 9, 4: 2, 5: 1}, NewConnections: 7, RejectedConnections: 2, ActiveConnections: 3,
			Groups: map[string]albconfig.GroupMetrics{"arn:aws:elasticloadbalancing:us-east-1:111111111111:targetgroup/tg/73e2d6bc24d8a067": {
				Requests: 6, Responses: albconfig.Statuses{2: 4, 5: 1}, ResponseTime: took.Counts(), ConnectionErrors: 1, Healthy: 2, Unhealthy: 1,
			}},
		},
	}}
	var failure error
	g := start(t, Options{Balancers: func(context.Context) ([]albconfig.NodeMetrics, error) { return nodes, failure }}, server.Options{}, configured(upstreamTo(1)))
	const node, group = " us-east-1a app/shop/50dc6c495c0c9188", " us-east-1a app/shop/50dc6c495c0c9188 targetgroup/tg/73e2d6bc24d8a067"
	want := map[string]float64{
		"elb_responses_total us-east-1a 3xx app/shop/50dc6c495c0c9188": 0, "elb_responses_total us-east-1a 4xx app/shop/50dc6c495c0c9188": 2,
		"elb_responses_total us-east-1a 5xx app/shop/50dc6c495c0c9188": 1, "new_connections_total" + node: 7, "rejected_connections_total" + node: 2, "active_connections" + node: 3,
		"requests_total" + group: 6, "target_response_time_seconds" + group: 1, "target_connection_errors_total" + group: 1,
		"healthy_hosts" + group: 2, "unhealthy_hosts" + group: 1,
	}
	for class, n := range map[string]float64{"2xx": 4, "3xx": 0, "4xx": 0, "5xx": 1} {
		want["target_responses_total us-east-1a "+class+" app/shop/50dc6c495c0c9188 targetgroup/tg/73e2d6bc24d8a067"] = n
	}
	balancers := func() map[string]float64 {
		found := map[string]float64{}
		for key, n := range scrape(t, g.Gateway) {
			if name, ok := strings.CutPrefix(key, "isthmus_alb_"); ok {
				found[name] = n
			}
		}
		return found
	}
	if got := balancers(); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	failure = errors.New("the control process is away")
	if got := balancers(); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}
