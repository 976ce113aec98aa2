package compile

import (
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/way"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// chain is the tables of a version 2 link into network 2, where a balancer
// chooses an endpoint into network 3, whose balancer chooses one into network
// 4, whose balancer chooses a host, and an endpoint back into network 2. Each
// network has a host beside.
func chain() *tables.Tables {
	address := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	target := func(group uint64, s string) tables.Member {
		return tables.Member{Group: group, Target: netip.MustParseAddrPort(s)}
	}
	return &tables.Tables{
		ENIs: []tables.ENI{
			{Number: 1, ID: "eni-p1", Network: 1, Kind: tables.NATSource, Peer: 3, Addresses: address("100.64.0.2")},
			{Number: 2, ID: "eni-p2", Network: 1, Kind: tables.NATSource, Peer: 3, Addresses: address("100.64.0.3")},
			{Number: 3, ID: "eni-c1", Network: 2, Kind: tables.NAT, Addresses: address("10.0.0.9")},
			{Number: 4, ID: "node-2", Network: 2, Kind: tables.LoadBalancer, Addresses: address("10.0.0.5")},
			{Number: 5, ID: "endpoint-3", Network: 2, Kind: tables.Endpoint, Peer: 6, Available: true, Addresses: address("10.0.0.50")},
			{Number: 6, ID: "node-3", Network: 3, Kind: tables.LoadBalancer, Addresses: address("10.0.0.5")},
			{Number: 7, ID: "endpoint-4", Network: 3, Kind: tables.Endpoint, Peer: 8, Available: true, Addresses: address("10.0.0.50")},
			{Number: 8, ID: "node-4", Network: 4, Kind: tables.LoadBalancer, Addresses: address("10.0.0.5")},
			{Number: 9, ID: "host-4", Network: 4, Kind: tables.Host, Addresses: address("10.0.0.10")},
			{Number: 10, ID: "endpoint-2", Network: 4, Kind: tables.Endpoint, Peer: 4, Available: true, Addresses: address("10.0.0.50")},
			{Number: 11, ID: "beside-3", Network: 3, Kind: tables.Host, Addresses: address("10.0.0.11")},
			{Number: 12, ID: "beside-4", Network: 4, Kind: tables.Host, Addresses: address("10.0.0.11")},
			{Number: 13, ID: "unchosen", Network: 2, Kind: tables.Endpoint, Peer: 14, Addresses: address("10.0.0.51")},
			{Number: 14, ID: "node-5", Network: 5, Kind: tables.LoadBalancer, Addresses: address("10.0.0.5")},
		},
		Listeners: []tables.Listener{
			{ENI: 4, Protocol: tables.TCP, Port: 80, Group: 2}, {ENI: 6, Protocol: tables.TCP, Port: 80, Group: 3},
			{ENI: 8, Protocol: tables.TCP, Port: 80, Group: 4}, {ENI: 14, Protocol: tables.TCP, Port: 80, Group: 5},
		},
		Members: []tables.Member{
			target(2, "10.0.0.50:80"), target(3, "10.0.0.50:80"), target(4, "10.0.0.10:80"), target(4, "10.0.0.50:80"),
		},
	}
}

// TestChainFingerprint: what decides anywhere on a way through a chain of
// accounts changes the fingerprint, for the gateway and for an Application Load
// Balancer whose target is the endpoint; what is beside the way does not.
func TestChainFingerprint(t *testing.T) {
	prints := func(change func(*tables.Tables)) [2]string {
		tab := chain()
		change(tab)
		c := Gateway(world())
		Fingerprint(&c, tab)
		nodes := map[string]config.Config{"eni-c1": {TargetGroups: map[string]config.TargetGroup{
			"g": {Targets: []config.Target{{Address: netip.MustParseAddrPort("10.0.0.50:80")}}},
		}}}
		FingerprintALB(nodes, tab)
		return [2]string{c.Upstreams[way.Key("link2", nlb, 80)].Fingerprint, nodes["eni-c1"].TargetGroups["g"].Fingerprint}
	}
	before := prints(func(*tables.Tables) {})
	for name, c := range map[string]struct {
		change func(*tables.Tables)
		same   bool
	}{
		"rejected at the first":            {func(tab *tables.Tables) { tab.ENIs[4].Available = false }, false},
		"egress of the second balancer":    {func(tab *tables.Tables) { tab.ENIs[5].Egress++ }, false},
		"rejected at the second":           {func(tab *tables.Tables) { tab.ENIs[6].Available = false }, false},
		"listener of the third":            {func(tab *tables.Tables) { tab.Listeners[2].Targets++ }, false},
		"ingress of the host at the end":   {func(tab *tables.Tables) { tab.ENIs[8].Ingress++ }, false},
		"the host at the end is no target": {func(tab *tables.Tables) { tab.Members = tab.Members[:2] }, false},
		"a host beside the second":         {func(tab *tables.Tables) { tab.ENIs[10].Ingress++ }, true},
		"a host beside the third":          {func(tab *tables.Tables) { tab.ENIs[11].Ingress++ }, true},
		"behind what nobody chooses":       {func(tab *tables.Tables) { tab.ENIs[13].Ingress++ }, true},
	} {
		after := prints(c.change)
		for i, who := range []string{"gateway", "application load balancer"} {
			if (after[i] == before[i]) != c.same {
				t.Errorf("%s, %s: fingerprint %s, before %s", name, who, after[i], before[i])
			}
		}
	}
}
