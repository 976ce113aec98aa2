package compile

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"

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
		sum := fmt.Sprintf("%016x", p.network(t.ENIs[i].Network))
		for arn, g := range node.TargetGroups {
			g.Fingerprint = sum
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
}

func newPrints(t *tables.Tables) *prints {
	p := &prints{t: t, enis: map[uint32]*tables.ENI{}, endpoints: map[string]*tables.ENI{}, sources: map[string]*tables.ENI{}, networks: map[uint32]uint64{}}
	for i := range t.ENIs {
		e := &t.ENIs[i]
		p.enis[e.Number] = e
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

// network is the hash of what is in a network.
func (p *prints) network(number uint32) uint64 {
	if sum, ok := p.networks[number]; ok {
		return sum
	}
	h := fnv.New64a()
	nodes := map[uint32]bool{}
	for i := range p.t.ENIs {
		if e := &p.t.ENIs[i]; e.Network == number {
			write(h, e)
			nodes[e.Number] = true
			for _, r := range p.t.RouteTables {
				if r.Number == e.RouteTable {
					write(h, r)
				}
			}
		}
	}
	for _, l := range p.t.Listeners {
		if nodes[l.ENI] {
			write(h, l)
		}
	}
	p.networks[number] = h.Sum64()
	return p.networks[number]
}

// write hashes a value by its JSON, which is deterministic. Rule sets and
// target sets are named by their content, so their names will do.
func write(h io.Writer, v any) {
	b, _ := json.Marshal(v)
	h.Write(b)
}
