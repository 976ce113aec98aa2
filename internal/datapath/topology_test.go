package datapath

import (
	"net/netip"

	"github.com/isthmus-net/isthmus/internal/tables"
)

// The topology of the packet tests. Networks 1 and 2 have the same CIDR, and
// client and target the same address. All rules are open unless a test says
// otherwise.
const (
	client   = 1 // network 1, 10.0.0.10
	server   = 2 // network 1, 10.0.0.20
	endpoint = 3 // network 1, 10.0.0.50, leads to node
	target   = 4 // network 2, 10.0.0.10
	node     = 5 // network 2, 10.0.0.100, listens on 80 (tcp, udp), 81 (preserving)
	carrier  = 6 // network 3, 100.64.0.5
	shadow   = 7 // network 3, 100.64.0.9, on carrier's device, sends as nat
	nat      = 8 // network 1, 10.0.0.90
	caller   = 9 // network 2, 10.0.0.30
)

const (
	targetSet = 0xaaaa
	group     = 0xbbbb
	denyAll   = 0xdddd // a rule set that allows nothing
	onlyPort  = 0xeeee // one that allows tcp/80, tcp/8080 and icmp echo requests
	allOpen   = 0xffff // one that allows everything, to and from everybody
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func topology() *tables.Tables {
	vpc := netip.MustParsePrefix("10.0.0.0/16")
	service := netip.MustParsePrefix("100.64.0.0/16")
	everywhere := netip.MustParsePrefix("0.0.0.0/0")
	host := func(number, network uint32, a string) tables.ENI {
		return tables.ENI{
			Number: number, Kind: tables.Host, Network: network, RouteTable: network,
			Addresses: []netip.Addr{addr(a)}, MAC: mac(number), Device: &tables.Device{},
		}
	}
	bare := func(number, network uint32, kind tables.Kind, a string) tables.ENI {
		e := host(number, network, a)
		e.Kind, e.Device = kind, nil
		return e
	}
	t := &tables.Tables{
		ENIs: []tables.ENI{
			host(client, 1, "10.0.0.10"),
			host(server, 1, "10.0.0.20"),
			bare(endpoint, 1, tables.Endpoint, "10.0.0.50"),
			host(target, 2, "10.0.0.10"),
			bare(node, 2, tables.LoadBalancer, "10.0.0.100"),
			host(carrier, 3, "100.64.0.5"),
			bare(shadow, 3, tables.NATSource, "100.64.0.9"),
			bare(nat, 1, tables.NAT, "10.0.0.90"),
			host(caller, 2, "10.0.0.30"),
		},
		RouteTables: []tables.RouteTable{
			{Number: 1, Routes: []tables.Route{
				{Prefix: vpc, Kind: tables.Local},
				{Prefix: netip.MustParsePrefix("10.0.66.0/24"), Kind: tables.Blackhole},
				{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Kind: tables.Internet},
			}},
			{Number: 2, Routes: []tables.Route{{Prefix: vpc, Kind: tables.Local}}},
			{Number: 3, Routes: []tables.Route{{Prefix: service, Kind: tables.Local}}},
		},
		RuleSets: []tables.RuleSet{
			{ID: denyAll},
			{ID: onlyPort, Prefixes: []tables.RulePrefix{{Prefix: vpc, Ranges: []tables.Range{
				{Protocol: tables.ICMP, Low: 8 << 8, High: 8<<8 | 255},
				{Protocol: tables.TCP, Low: 80, High: 80},
				{Protocol: tables.TCP, Low: 8080, High: 8080},
			}}}},
			{ID: allOpen, Prefixes: []tables.RulePrefix{{Prefix: everywhere, Ranges: []tables.Range{
				{Protocol: tables.ICMP, High: 65535, Open: true},
				{Protocol: tables.TCP, High: 65535, Open: true},
				{Protocol: tables.UDP, High: 65535, Open: true},
			}}}},
		},
		TargetSets: []tables.TargetSet{{
			ID: targetSet, Targets: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.10:8080")}, Slots: make([]uint16, 7),
		}},
		Members: []tables.Member{{Group: group, Target: netip.MustParseAddrPort("10.0.0.10:8080")}},
	}
	for _, l := range []tables.Listener{
		{Protocol: tables.TCP, Port: 80, Idle: 300},
		{Protocol: tables.UDP, Port: 80, Idle: 120},
		{Protocol: tables.TCP, Port: 81, Idle: 300, PreserveClient: true},
	} {
		l.ENI, l.Targets, l.Group = node, targetSet, group
		t.Listeners = append(t.Listeners, l)
	}
	t.ENIs[endpoint-1].Peer = node
	t.ENIs[endpoint-1].Available = true
	t.ENIs[shadow-1].Carrier = carrier
	t.ENIs[shadow-1].Peer = nat
	return t
}

func mac(eni uint32) [6]byte { return [6]byte{0x0a, 0, 0, 0, 0, byte(eni)} }
