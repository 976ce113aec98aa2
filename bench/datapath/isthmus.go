package main

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/vishvananda/netlink"

	"github.com/isthmus-net/isthmus/bench/internal/namespace"
	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/datapath"
	"github.com/isthmus-net/isthmus/internal/maglev"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// ENIs of the topology, which is a PrivateLink link between two networks with
// the same CIDR.
const (
	clientENI = iota + 1
	endpointENI
	nodeENI
	targetENI
)

const (
	vpcCIDR     = "10.0.0.0/16"
	eniClient   = "10.0.0.10"
	eniEndpoint = "10.0.0.50"
	eniNode     = "10.0.0.100"
	eniTarget   = "10.0.0.20"
)

// privateLink is the tables as the compiler makes them of such a link, with
// security groups on every ENI.
func privateLink() *tables.Tables {
	vpc := netip.MustParsePrefix(vpcCIDR)
	eni := func(number, network uint32, kind tables.Kind, addr string) tables.ENI {
		return tables.ENI{
			Number: number, ID: fmt.Sprintf("eni-%d", number), Kind: kind, Network: network, RouteTable: network,
			Addresses: []netip.Addr{netip.MustParseAddr(addr)}, MAC: eniMAC(number),
			Ingress: ingressRules, Egress: egressRules, EgressOpen: true, Enforce: true, Available: true,
		}
	}
	all := []tables.Range{
		{Protocol: tables.ICMP, High: 65535, Open: true},
		{Protocol: tables.TCP, High: 65535, Open: true},
		{Protocol: tables.UDP, High: 65535, Open: true},
	}
	some := []tables.Range{
		{Protocol: tables.TCP, Low: 22, High: 22},
		{Protocol: tables.TCP, Low: 80, High: 80},
		{Protocol: tables.TCP, Low: 443, High: 443},
		{Protocol: tables.TCP, Low: 8000, High: 8999},
		{Protocol: tables.UDP, Low: 53, High: 53},
		{Protocol: tables.UDP, Low: 80, High: 80},
		{Protocol: tables.UDP, Low: 8000, High: 8999},
	}
	targets := []netip.AddrPort{at(eniTarget, serverPort)}
	t := &tables.Tables{
		ENIs: []tables.ENI{
			eni(clientENI, 1, tables.Host, eniClient), eni(endpointENI, 1, tables.Endpoint, eniEndpoint),
			eni(nodeENI, 2, tables.LoadBalancer, eniNode), eni(targetENI, 2, tables.Host, eniTarget),
		},
		RuleSets: []tables.RuleSet{
			{ID: ingressRules, Prefixes: []tables.RulePrefix{{Prefix: vpc, Ranges: some}}},
			{ID: egressRules, Prefixes: []tables.RulePrefix{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Ranges: all}}},
		},
		TargetSets: []tables.TargetSet{{ID: 1, Targets: targets, Slots: maglev.Table(targets, maglev.Size(1))}},
		Members:    []tables.Member{{Group: 1, Target: targets[0]}},
	}
	for network := uint32(1); network <= 2; network++ {
		t.RouteTables = append(t.RouteTables, tables.RouteTable{
			Number: network, Routes: []tables.Route{{Prefix: vpc, Kind: tables.Local}},
		})
	}
	for _, protocol := range []uint8{tables.TCP, tables.UDP} {
		t.Listeners = append(t.Listeners, tables.Listener{
			ENI: nodeENI, Protocol: protocol, Port: frontPort, Targets: 1, Group: 1, Idle: 350,
		})
	}
	t.ENIs[endpointENI-1].Peer = nodeENI
	return t
}

// Names of the rule sets.
const (
	ingressRules = iota + 1
	egressRules
)

func eniMAC(number uint32) [6]byte { return [6]byte{0x0a, 0, 0, 0, 0, byte(number)} }

// link is our own subject, with the data plane behind it.
type link struct {
	*subject
	*datapath.Datapath
	fabric  *namespace.NS
	devices map[uint32]int
}

// isthmus brings the data plane up, pinned on a bpffs, with namespaces for
// client and target.
func isthmus(bpffs string) (*link, error) {
	l := &link{
		subject: &subject{name: "isthmus", dial: at(eniEndpoint, frontPort), listen: at(eniTarget, serverPort), udp: true},
		devices: map[uint32]int{},
	}
	var err error
	for _, ns := range []**namespace.NS{&l.client, &l.server, &l.fabric} {
		if *ns, err = namespace.New(); err != nil {
			return nil, err
		}
	}
	if l.Datapath, err = datapath.Open(datapath.Options{PinDir: filepath.Join(bpffs, "isthmus")}); err != nil {
		return nil, err
	}
	if err := l.plug(clientENI, l.client, eniClient); err != nil {
		return nil, err
	}
	if err := l.plug(targetENI, l.server, eniTarget); err != nil {
		return nil, err
	}
	return l, l.Apply(privateLink(), l.devices)
}

func (l *link) plug(number uint32, ns *namespace.NS, addr string) error {
	err := l.fabric.Do(func() error {
		mac := eniMAC(number)
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("eni%d", number), HardwareAddr: bpf.RouterMAC},
			PeerName:  "eth0", PeerHardwareAddr: mac[:], PeerNamespace: ns.Peer(),
		}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		l.devices[number] = veth.Attrs().Index
		if err := netlink.LinkSetUp(veth); err != nil {
			return err
		}
		return l.Attach(veth.Attrs().Index)
	})
	if err != nil {
		return fmt.Errorf("plug ENI %d: %w", number, err)
	}
	return ns.Address("eth0", addr+"/16")
}
