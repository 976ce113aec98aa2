package node

import (
	"iter"
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// TestCount: a flow through a version 2 link and a load balancer is counted at
// all four interfaces that it concerns, once at each.
func TestCount(t *testing.T) {
	eni := func(number, network, peer uint32, id, address string, kind tables.Kind) tables.ENI {
		return tables.ENI{Number: number, Network: network, Peer: peer, ID: id, Kind: kind, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
	}
	tt := &tables.Tables{ENIs: []tables.ENI{
		eni(1, 1, 2, "provider", "100.64.0.9", tables.NATSource), eni(2, 2, 0, "customer", "10.0.1.5", tables.NAT),
		eni(3, 2, 0, "node", "10.0.1.4", tables.LoadBalancer), eni(4, 2, 0, "host", "10.0.1.10", tables.Host),
		eni(5, 3, 0, "elsewhere", "10.0.1.4", tables.Host),
	}}
	at := netip.MustParseAddrPort
	var flows iter.Seq2[datapath.Flow, error] = func(yield func(datapath.Flow, error) bool) {
		yield(datapath.Flow{
			ENI: 1, Peer: 4, Src: at("100.64.0.9:40000"), Dst: at("10.0.1.4:80"), SeenSrc: at("10.0.1.4:40000"), SeenDst: at("10.0.1.10:80"),
			Packets: 3, ReplyPackets: 2, Bytes: 300, ReplyBytes: 200,
		}, nil)
	}
	got, err := count(tt, flows, []datapath.Drop{{ENI: 4, Reason: bpf.DropSGEgress, Packets: 7}, {ENI: 99, Reason: bpf.DropSpoofed, Packets: 1}})
	if err != nil || len(got) != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, id := range []string{"provider", "customer", "node", "host"} {
		if c := got[id]; c.Flows != 1 || c.Packets != 5 || c.Bytes != 500 {
			t.Errorf("%s: %+v", id, c)
		}
	}
	if got["host"].Drops["sg-egress"] != 7 {
		t.Errorf("drops %v", got["host"].Drops)
	}
}
