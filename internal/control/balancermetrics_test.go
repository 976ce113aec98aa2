package control

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// TestBalancerMetrics: the gateway learns what each node that answers has
// counted, of target groups that there are.
func TestBalancerMetrics(t *testing.T) {
	p := newPlant(t)
	if _, err := p.db.Update(t.Context(), func(tx *store.Tx) error {
		meta := resource.Meta{Account: "111111111111", Region: region}
		store.LoadBalancers.Put(tx, &resource.LoadBalancer{Meta: meta, ARN: "lb", Type: resource.ApplicationLoadBalancer, Zones: []resource.LoadBalancerZone{
			{Zone: "b", Interface: "eni-b"}, {Zone: "a", Interface: "eni-a"}, {Zone: "c", Interface: "eni-away"},
		}})
		store.LoadBalancers.Put(tx, &resource.LoadBalancer{Meta: meta, ARN: "nlb", Type: "network", Zones: []resource.LoadBalancerZone{{Zone: "a", Interface: "eni-n"}}})
		store.TargetGroups.Put(tx, &resource.TargetGroup{Meta: meta, ARN: "g"})
		store.TargetGroups.Put(tx, &resource.TargetGroup{Meta: resource.Meta{Account: "222222222222", Region: region}, ARN: "other"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	connect := func(role feed.Role, handlers map[string]func(context.Context, json.RawMessage) (any, error)) *feed.Client {
		client := feed.Dial(feed.ClientOptions{Path: p.socket, Role: role, Handlers: handlers, OnConfig: func(context.Context, int64, json.RawMessage) error { return nil }})
		go client.Run(t.Context())
		return client
	}
	for eni, requests := range map[string]uint64{"eni-a": 1, "eni-b": 2, "eni-n": 3} {
		connect(albRole(eni), map[string]func(context.Context, json.RawMessage) (any, error){
			"metrics": func(context.Context, json.RawMessage) (any, error) {
				g := albconfig.GroupMetrics{Requests: requests}
				return albconfig.Metrics{NewConnections: requests, Groups: map[string]albconfig.GroupMetrics{"g": g, "other": g, "invented": g}}, nil
			},
		})
	}
	gateway := connect(roleGateway, nil)
	var found []albconfig.NodeMetrics
	for deadline := time.Now().Add(20 * time.Second); len(found) < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("found %+v", found)
		}
		if err := gateway.Call(t.Context(), "balancer-metrics", struct{}{}, &found); err != nil {
			t.Fatal(err)
		}
	}
	for i, zone := range []string{"a", "b"} {
		m := found[i]
		if n := uint64(i + 1); m.LoadBalancer != "lb" || m.Zone != zone || m.NewConnections != n || len(m.Groups) != 1 || m.Groups["g"].Requests != n {
			t.Errorf("found %+v", m)
		}
	}
	if err := connect(roleHealth, nil).Call(t.Context(), "balancer-metrics", struct{}{}, &found); err == nil {
		t.Error("another process than the gateway was told")
	}
}
