package compile

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"

	albconfig "github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// Fingerprint sets the fingerprints of c's upstreams: a hash of everything in
// t that decides about a flow through the upstream. Connections opened before
// a change are then not used for requests after it, so that a rule that was
// taken away shows at the next request, not when a connection ends.
func Fingerprint(c *config.Config, t *tables.Tables) {
	p := newPrints(t)
	for key, u := range c.Upstreams {
		h := fnv.New64a()
		if u.Version == 1 {
			for _, d := range u.Destinations {
				if e := p.endpoints[d.Address.Addr().String()]; e != nil {
					write(h, e)
					if node := p.enis[e.Peer]; node != nil {
						write(h, p.network(node.Network))
					}
				}
			}
		}
		for _, s := range u.Sources {
			if e := p.sources[s.Address.String()]; e != nil {
				if peer := p.enis[e.Peer]; peer != nil {
					write(h, p.network(peer.Network))
					for _, d := range u.Destinations {
						p.beyond(h, peer.Network, d.Address.Addr(), map[uint32]bool{})
					}
				}
			}
		}
		u.Fingerprint = fmt.Sprintf("%016x", h.Sum64())
		c.Upstreams[key] = u
	}
}

// FingerprintALB does the same for the target groups of load balancers' nodes.
func FingerprintALB(nodes map[string]albconfig.Config, t *tables.Tables) {
	p := newPrints(t)
	for i := range t.ENIs {
		node, ok := nodes[t.ENIs[i].ID]
		if !ok {
			continue
		}
		network := t.ENIs[i].Network
		for arn, g := range node.TargetGroups {
			h := fnv.New64a()
			write(h, p.network(network))
			for _, target := range g.Targets {
				p.beyond(h, network, target.Address.Addr(), map[uint32]bool{})
			}
			g.Fingerprint = fmt.Sprintf("%016x", h.Sum64())
			node.TargetGroups[arn] = g
		}
	}
}

// prints hashes the networks of the tables, each once.
type prints struct {
	t         *tables.Tables
	enis      map[uint32]*tables.ENI
	endpoints map[string]*tables.ENI // by address: all are in API Gateway's VPC
	sources   map[string]*tables.ENI // by address, likewise
	service   uint32                 // API Gateway's network
	networks  map[uint32]uint64
	addresses map[place]*tables.ENI
	listeners map[uint32][]tables.Listener // by ENI
	members   map[uint64][]netip.Addr      // by group
}

// place is an address of a network.
type place struct {
	network uint32
	addr    netip.Addr
}

func newPrints(t *tables.Tables) *prints {
	p := &prints{
		t: t, enis: map[uint32]*tables.ENI{}, endpoints: map[string]*tables.ENI{}, sources: map[string]*tables.ENI{}, networks: map[uint32]uint64{},
		addresses: map[place]*tables.ENI{}, listeners: map[uint32][]tables.Listener{}, members: map[uint64][]netip.Addr{},
	}
	for _, l := range t.Listeners {
		p.listeners[l.ENI] = append(p.listeners[l.ENI], l)
	}
	for _, m := range t.Members {
		p.members[m.Group] = append(p.members[m.Group], m.Target.Addr())
	}
	for i := range t.ENIs {
		e := &t.ENIs[i]
		p.enis[e.Number] = e
		for _, a := range e.Addresses {
			p.addresses[place{e.Network, a}] = e
		}
		if e.Kind == tables.NATSource {
			p.sources[e.Addresses[0].String()] = e
			p.service = e.Network
		}
	}
	for i := range t.ENIs {
		if e := &t.ENIs[i]; e.Kind == tables.Endpoint && (e.Network == p.service || p.service == 0) {
			p.endpoints[e.Addresses[0].String()] = e
		}
	}
	return p
}

// network is the hash of what is in a network, and of what the endpoints that
// its load balancers choose lead to.
func (p *prints) network(number uint32) uint64 {
	if sum, ok := p.networks[number]; ok {
		return sum
	}
	h := fnv.New64a()
	crossed := map[uint32]bool{}
	for i := range p.t.ENIs {
		if e := &p.t.ENIs[i]; e.Network == number {
			write(h, e)
			for _, r := range p.t.RouteTables {
				if r.Number == e.RouteTable {
					write(h, r)
				}
			}
		}
	}
	for i := range p.t.ENIs {
		if e := &p.t.ENIs[i]; e.Network == number {
			for _, l := range p.listeners[e.Number] {
				write(h, l)
				for _, addr := range p.members[l.Group] {
					p.beyond(h, number, addr, crossed)
				}
			}
		}
	}
	p.networks[number] = h.Sum64()
	return p.networks[number]
}

// beyond hashes what decides beyond an endpoint, if a network has one at an
// address: the endpoint, the load balancer behind it, and its targets, which
// may be endpoints in their turn. crossed are those that have been hashed;
// balancers beyond which no packet comes any more are hashed too, and do no harm.
func (p *prints) beyond(h io.Writer, network uint32, addr netip.Addr, crossed map[uint32]bool) {
	e := p.addresses[place{network, addr}]
	if e == nil || e.Kind != tables.Endpoint || crossed[e.Number] {
		return
	}
	crossed[e.Number] = true
	write(h, e)
	node := p.enis[e.Peer]
	if node == nil {
		return
	}
	write(h, node)
	for _, l := range p.listeners[node.Number] {
		write(h, l)
		for _, target := range p.members[l.Group] {
			write(h, p.addresses[place{node.Network, target}])
			p.beyond(h, node.Network, target, crossed)
		}
	}
}

// write hashes a value by its JSON, which is deterministic. Rule sets and
// target sets are named by their content, so their names will do.
func write(h io.Writer, v any) {
	b, _ := json.Marshal(v)
	h.Write(b)
}
