package node

import (
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// flowTable has one flow.
type flowTable struct {
	device int
	flow   datapath.Flow
}

func (f flowTable) Origin(device int, _, _ netip.AddrPort) (datapath.Flow, error) {
	if device != f.device {
		return datapath.Flow{}, datapath.ErrNoFlow
	}
	return f.flow, nil
}

// TestCallers: two VPCs with the same addresses, an endpoint at the same
// address in each.
func TestCallers(t *testing.T) {
	at := netip.MustParseAddr
	eni := func(number, network uint32, kind tables.Kind, address, owner string) tables.ENI {
		return tables.ENI{Number: number, Network: network, Kind: kind, Addresses: []netip.Addr{at(address)}, Owner: owner}
	}
	source := eni(6, 3, tables.NATSource, "100.64.0.9", "link")
	source.Peer = 7
	tt := &tables.Tables{
		Networks: []tables.Network{{Number: 1, ID: "vpc-1"}, {Number: 2, ID: "vpc-2"}, {Number: 3, ID: "vpc-3"}},
		ENIs: []tables.ENI{
			eni(1, 1, tables.Host, "10.0.0.5", ""), eni(2, 2, tables.Host, "10.0.0.5", ""),
			eni(3, 1, tables.Endpoint, "10.0.0.9", "vpce-1"), eni(4, 2, tables.Endpoint, "10.0.0.9", "vpce-2"),
			source, eni(7, 2, tables.NAT, "10.0.0.7", "link"),
		},
	}
	c := newCallers(tt, &device{ifindex: 42})
	server := netip.MustParseAddrPort("10.0.0.9:443")
	for _, x := range []struct {
		client   uint32
		src, dst string
		want     Caller
		known    bool
	}{
		{1, "10.0.0.5:7", "10.0.0.9:443", Caller{netip.MustParseAddrPort("10.0.0.5:7"), server, "vpce-1", "vpc-1"}, true},
		{2, "10.0.0.5:7", "10.0.0.9:443", Caller{netip.MustParseAddrPort("10.0.0.5:7"), server, "vpce-2", "vpc-2"}, true},
		{6, "100.64.0.9:7", "10.0.0.9:443", Caller{netip.MustParseAddrPort("10.0.0.7:7"), server, "vpce-2", "vpc-2"}, true},
		{1, "10.0.0.5:7", "10.0.0.8:443", Caller{}, false},
		{9, "10.0.0.5:7", "10.0.0.9:443", Caller{}, false},
	} {
		flow := datapath.Flow{ENI: x.client, Src: netip.MustParseAddrPort(x.src), Dst: netip.MustParseAddrPort(x.dst)}
		got, err := c.find(flowTable{42, flow}, CallerParams{})
		if (err == nil) != x.known || got != x.want {
			t.Errorf("from %d to %s: %+v, %v", x.client, x.dst, got, err)
		}
	}
	if _, err := newCallers(tt, nil).find(flowTable{}, CallerParams{}); err == nil {
		t.Error("a gateway without a device has callers")
	}
	if _, err := (*callers)(nil).find(flowTable{}, CallerParams{}); err == nil {
		t.Error("a node without tables has callers")
	}
}
