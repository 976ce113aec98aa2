package control

import (
	"github.com/isthmus-net/isthmus/internal/compile"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// dataPlane reads what the data plane and the health checks are made of.
func dataPlane(r store.Reader) compile.Input {
	return compile.Input{
		VPCs:              store.VPCs.List(r),
		Subnets:           store.Subnets.List(r),
		RouteTables:       store.RouteTables.List(r),
		SecurityGroups:    store.SecurityGroups.List(r),
		Rules:             store.SecurityGroupRules.List(r),
		NetworkInterfaces: store.NetworkInterfaces.List(r),
		EndpointServices:  store.EndpointServices.List(r),
		VPCEndpoints:      store.VPCEndpoints.List(r),
		LoadBalancers:     store.LoadBalancers.List(r),
		Listeners:         store.Listeners.List(r),
		ListenerRules:     store.ListenerRules.List(r),
		Certificates:      store.Certificates.List(r),
		TrustStores:       store.TrustStores.List(r),
		TargetGroups:      targetGroups(r),
		TargetHealth:      store.TargetHealth.List(r),
		VPNGateways:       store.VPNGateways.List(r),
		VirtualInterfaces: store.VirtualInterfaces.List(r),
		BGPSessions:       store.BGPSessions.List(r),
	}
}

// targetGroups are all, with nodes in the place of load balancers that are
// targets.
func targetGroups(r store.Reader) []*resource.TargetGroup {
	groups := store.TargetGroups.List(r)
	for i, g := range groups {
		groups[i] = resolved(r, g)
	}
	return groups
}

func resolved(r store.Reader, g *resource.TargetGroup) *resource.TargetGroup {
	return g.Resolved(func(arn string) (*resource.LoadBalancer, bool) { return store.LoadBalancers.Get(r, arn) })
}

// gateway reads what the gateway's configuration is made of.
func gateway(r store.Reader, region string) compile.GatewayInput {
	return compile.GatewayInput{
		Region:            region,
		RestAPIs:          store.RestAPIs.List(r),
		RestStages:        store.RestStages.List(r),
		RestDeployments:   store.RestDeployments.List(r),
		HTTPAPIs:          store.HTTPAPIs.List(r),
		HTTPStages:        store.HTTPStages.List(r),
		HTTPDeployments:   store.HTTPDeployments.List(r),
		LinksV1:           store.VPCLinksV1.List(r),
		LinksV2:           store.VPCLinksV2.List(r),
		Endpoints:         store.VPCEndpoints.List(r),
		Interfaces:        store.NetworkInterfaces.List(r),
		Subnets:           store.Subnets.List(r),
		LoadBalancers:     store.LoadBalancers.List(r),
		Listeners:         store.Listeners.List(r),
		ListenerRules:     store.ListenerRules.List(r),
		TargetGroups:      targetGroups(r),
		TargetHealth:      store.TargetHealth.List(r),
		CloudMapServices:  store.CloudMapServices.List(r),
		CloudMapInstances: store.CloudMapInstances.List(r),
	}
}

// names reads what the resolver's configuration is made of.
func names(r store.Reader, region string) compile.NamesInput {
	return compile.NamesInput{
		Region:            region,
		VPCs:              store.VPCs.List(r),
		Subnets:           store.Subnets.List(r),
		Interfaces:        store.NetworkInterfaces.List(r),
		Endpoints:         store.VPCEndpoints.List(r),
		RestAPIs:          store.RestAPIs.List(r),
		LoadBalancers:     store.LoadBalancers.List(r),
		Listeners:         store.Listeners.List(r),
		ListenerRules:     store.ListenerRules.List(r),
		TargetGroups:      targetGroups(r),
		TargetHealth:      store.TargetHealth.List(r),
		Namespaces:        store.CloudMapNamespaces.List(r),
		CloudMapServices:  store.CloudMapServices.List(r),
		CloudMapInstances: store.CloudMapInstances.List(r),
	}
}
