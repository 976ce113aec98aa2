package control

import (
	"context"
	"fmt"

	"github.com/isthmus-net/isthmus/internal/compile"
	"github.com/isthmus-net/isthmus/internal/store"
	"github.com/isthmus-net/isthmus/internal/topology"
	"github.com/isthmus-net/isthmus/internal/vpc"
)

// topology answers the node: what exists, as a graph.
func (c *controller) topology(context.Context, struct{}) (topology.Graph, error) {
	now, err := c.tracer.now()
	if err != nil {
		return topology.Graph{}, fmt.Errorf("show: %w", err)
	}
	r := now.rows
	return topology.Build(topology.Input{
		ServiceAccount:    vpc.ServiceAccount(c.region),
		VPCs:              store.VPCs.List(r),
		Subnets:           store.Subnets.List(r),
		Interfaces:        store.NetworkInterfaces.List(r),
		Instances:         store.Instances.List(r),
		Services:          store.EndpointServices.List(r),
		Endpoints:         store.VPCEndpoints.List(r),
		LoadBalancers:     store.LoadBalancers.List(r),
		Listeners:         store.Listeners.List(r),
		Rules:             store.ListenerRules.List(r),
		TargetGroups:      targetGroups(r),
		TargetHealth:      store.TargetHealth.List(r),
		LinksV1:           store.VPCLinksV1.List(r),
		LinksV2:           store.VPCLinksV2.List(r),
		Namespaces:        store.CloudMapNamespaces.List(r),
		CloudMapServices:  store.CloudMapServices.List(r),
		CloudMapInstances: store.CloudMapInstances.List(r),
		VPNGateways:       store.VPNGateways.List(r),
		DXConnections:     store.DXConnections.List(r),
		VirtualInterfaces: store.VirtualInterfaces.List(r),
		BGPSessions:       store.BGPSessions.List(r),
		Gateway:           compile.Gateway(gateway(r, c.region)),
	}), nil
}
