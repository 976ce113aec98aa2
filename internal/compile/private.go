package compile

import (
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// privateEndpoints are the endpoints of private APIs by the address of each of
// their nodes, which is the source of every connection through them.
func privateEndpoints(in GatewayInput) map[netip.Addr]config.Endpoint {
	nodes := index(in.Interfaces)
	var out map[netip.Addr]config.Endpoint
	for _, e := range in.Endpoints {
		for _, id := range e.Nodes {
			if node := nodes[id]; node != nil && e.Region == in.Region && len(node.Addresses) > 0 {
				if out == nil {
					out = map[netip.Addr]config.Endpoint{}
				}
				out[node.Addresses[0]] = config.Endpoint{ID: e.ID, VPC: e.VPC, Account: e.Account, Policy: e.Policy}
			}
		}
	}
	return out
}

// privatePorts are the ports of an endpoint of private APIs, and where the
// gateway listens for each.
var privatePorts = []struct{ endpoint, gateway uint16 }{
	{80, config.PrivateHTTPPort},
	{443, config.PrivateHTTPSPort},
}

// invoke adds the listeners of the nodes behind the endpoints of private APIs.
// Each node is a load balancer whose only target is the gateway: so that its
// address, which is all that the gateway sees of the caller, names the
// endpoint.
func (c *compiler) invoke(t *tables.Tables) {
	for _, e := range c.in.VPCEndpoints {
		gateway := c.processes[processKey{"gateway", e.Region}]
		if gateway == nil {
			continue
		}
		for _, id := range e.Nodes {
			node := c.interfaces[id]
			if node == nil {
				continue
			}
			for _, p := range privatePorts {
				set := targetSet([]resource.Target{{Address: gateway.Addresses[0], Port: int(p.gateway)}})
				group := hashText("execute-api " + set.Targets[0].String())
				t.TargetSets = append(t.TargetSets, set)
				t.Members = append(t.Members, tables.Member{Group: group, Target: set.Targets[0]})
				t.Listeners = append(t.Listeners, tables.Listener{
					ENI: node.Number, Protocol: tables.TCP, Port: p.endpoint, Targets: set.ID, Group: group,
					Idle: defaultTCPIdle, ID: "com.amazonaws." + e.Region + ".execute-api",
				})
			}
		}
	}
}

// endpointNode is the node that an endpoint's interface leads to, if the
// endpoint is one of private APIs.
func (c *compiler) endpointNode(e *resource.VPCEndpoint, eni string) *resource.NetworkInterface {
	for i, id := range e.Interfaces {
		if id == eni && i < len(e.Nodes) {
			return c.interfaces[e.Nodes[i]]
		}
	}
	return nil
}
