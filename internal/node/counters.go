package node

import (
	"iter"
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/tables"
	"github.com/isthmus-net/isthmus/internal/topology"
)

// count attributes flows and drops to all ENIs that they concern: both ends,
// and the endpoint, load balancer's node or link in between.
func count(t *tables.Tables, flows iter.Seq2[datapath.Flow, error], drops []datapath.Drop) (map[string]topology.Counters, error) {
	byNumber := map[uint32]*tables.ENI{}
	byAddress := map[networkAddress]*tables.ENI{}
	for i := range t.ENIs {
		e := &t.ENIs[i]
		byNumber[e.Number] = e
		for _, a := range e.Addresses {
			byAddress[networkAddress{e.Network, a}] = e
		}
	}
	counters := map[string]topology.Counters{}
	for f, err := range flows {
		if err != nil {
			return nil, err
		}
		for _, e := range concerned(byNumber, byAddress, f) {
			c := counters[e.ID]
			c.Flows++
			c.Packets += f.Packets + f.ReplyPackets
			c.Bytes += f.Bytes + f.ReplyBytes
			counters[e.ID] = c
		}
	}
	for _, d := range drops {
		e := byNumber[d.ENI]
		if e == nil {
			continue
		}
		c := counters[e.ID]
		if c.Drops == nil {
			c.Drops = map[string]uint64{}
		}
		c.Drops[d.Reason.String()] += d.Packets
		counters[e.ID] = c
	}
	return counters, nil
}

func concerned(byNumber map[uint32]*tables.ENI, byAddress map[networkAddress]*tables.ENI, f datapath.Flow) (found []*tables.ENI) {
	seen := map[uint32]bool{}
	add := func(e *tables.ENI) {
		if e != nil && !seen[e.Number] {
			seen[e.Number] = true
			found = append(found, e)
		}
	}
	at := func(network uint32, a netip.Addr) *tables.ENI { return byAddress[networkAddress{network, a}] }
	client, receiver := byNumber[f.ENI], byNumber[f.Peer]
	add(client)
	add(receiver)
	if client != nil && client.Kind == tables.NATSource {
		client = byNumber[client.Peer]
		add(client)
	}
	if client != nil {
		add(at(client.Network, f.Dst.Addr()))
	}
	if receiver != nil {
		add(at(receiver.Network, f.SeenSrc.Addr()))
	}
	return found
}
