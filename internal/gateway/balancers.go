package gateway

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
)

// balancersTimeout is how long who collects metrics waits for those of load
// balancers.
const balancersTimeout = 3 * time.Second

// balancers tells of Application Load Balancers, whose nodes are processes of
// their own: what each has counted is asked when somebody collects.
type balancers struct {
	ask func(context.Context) ([]albconfig.NodeMetrics, error)
	log *slog.Logger
}

var (
	nodeLabels  = []string{"load_balancer", "availability_zone"}
	groupLabels = append(nodeLabels[:2:2], "target_group")

	ownDesc       = balancerDesc("elb_responses_total", "Responses that no target gave, by the first digit of the status.", append(nodeLabels[:2:2], "class"))
	newDesc       = balancerDesc("new_connections_total", "Connections opened by clients and to targets.", nodeLabels)
	rejectedDesc  = balancerDesc("rejected_connections_total", "Connections that were closed in favour of new ones, because there were too many.", nodeLabels)
	activeDesc    = balancerDesc("active_connections", "Connections of clients and to targets.", nodeLabels)
	chosenDesc    = balancerDesc("requests_total", "Requests for which a target was chosen.", groupLabels)
	targetDesc    = balancerDesc("target_responses_total", "Responses of targets, by the first digit of the status.", append(groupLabels[:3:3], "class"))
	timeDesc      = balancerDesc("target_response_time_seconds", "Time that a target took to the header of its response.", groupLabels)
	failedDesc    = balancerDesc("target_connection_errors_total", "Connections to targets that did not come about.", groupLabels)
	healthyDesc   = balancerDesc("healthy_hosts", "Targets that are healthy.", groupLabels)
	unhealthyDesc = balancerDesc("unhealthy_hosts", "Targets that are not healthy.", groupLabels)
)

func balancerDesc(name, help string, labels []string) *prometheus.Desc {
	return prometheus.NewDesc("isthmus_alb_"+name, help, labels, nil)
}

// Describe is a method of prometheus.Collector.
func (b *balancers) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ownDesc, newDesc, rejectedDesc, activeDesc, chosenDesc, targetDesc, timeDesc, failedDesc, healthyDesc, unhealthyDesc} {
		to <- d
	}
}

// Collect tells of the nodes that answer.
func (b *balancers) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), balancersTimeout)
	defer cancel()
	nodes, err := b.ask(ctx)
	if err != nil {
		b.log.Warn("metrics of load balancers", "error", err)
		return
	}
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	for _, n := range nodes {
		node := []string{nameOf(n.LoadBalancer), n.Zone}
		for class := 3; class < len(classNames); class++ { // as CloudWatch has
			counter(ownDesc, n.ELBResponses[class], append(node[:2:2], classNames[class])...)
		}
		counter(newDesc, n.NewConnections, node...)
		counter(rejectedDesc, n.RejectedConnections, node...)
		gauge(activeDesc, n.ActiveConnections, node...)
		for arn, g := range n.Groups {
			labels := append(node[:2:2], nameOf(arn))
			counter(chosenDesc, g.Requests, labels...)
			for class := 2; class < len(classNames); class++ {
				counter(targetDesc, g.Responses[class], append(labels[:3:3], classNames[class])...)
			}
			to <- histogramOf(timeDesc, g.ResponseTime, labels)
			counter(failedDesc, g.ConnectionErrors, labels...)
			gauge(healthyDesc, g.Healthy, labels...)
			gauge(unhealthyDesc, g.Unhealthy, labels...)
		}
	}
}

// nameOf is what CloudWatch calls the resource with an ARN.
func nameOf(arn string) string {
	name := arn[strings.LastIndex(arn, ":")+1:]
	return strings.TrimPrefix(name, "loadbalancer/")
}
