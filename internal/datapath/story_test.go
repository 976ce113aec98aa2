package datapath

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/isthmus-net/isthmus/internal/tables"
)

func TestPlain(t *testing.T) {
	w := newWorld(t)
	const (
		there = "tcp eni1 10.0.0.10:40000 > 10.0.0.20:80 = eni2 10.0.0.10:40000 > 10.0.0.20:80 idle 432000"
		back  = "tcp eni2 10.0.0.20:80 > 10.0.0.10:40000 = eni1 10.0.0.20:80 > 10.0.0.10:40000 idle 432000 reverse"
	)
	syn := tcp("10.0.0.10:40000", "10.0.0.20:80", "S")
	w.expect(client, syn.from(client), syn.to(server),
		"new "+there+" of 1 1p 54b", "new "+back+" of 2 0p 0b")
	synack := tcp("10.0.0.20:80", "10.0.0.10:40000", "SA")
	w.expect(server, synack.from(server), synack.to(client), "now "+back+" replied of 2 1p 54b")
	data := tcp("10.0.0.10:40000", "10.0.0.20:80", "PA").with("hello")
	w.expect(client, data.from(client), data.to(server), "now "+there+" of 1 2p 113b")
	fin := tcp("10.0.0.10:40000", "10.0.0.20:80", "FA")
	w.expect(client, fin.from(client), fin.to(server), "now "+there+" fin of 1 3p 167b")
	rst := tcp("10.0.0.20:80", "10.0.0.10:40000", "R")
	w.expect(server, rst.from(server), rst.to(client), "now "+back+" rst replied of 2 2p 108b")
	w.expect(client, syn.from(client), syn.to(server),
		"now "+there+" of 1 1p 54b", "now "+back+" of 2 0p 0b")
}

func TestProtocols(t *testing.T) {
	w := newWorld(t)
	u := udp("10.0.0.10:5000", "10.0.0.20:53")
	w.expect(client, u.from(client), u.to(server),
		"new udp eni1 10.0.0.10:5000 > 10.0.0.20:53 = eni2 10.0.0.10:5000 > 10.0.0.20:53 idle 180 of 1 1p 47b",
		"new udp eni2 10.0.0.20:53 > 10.0.0.10:5000 = eni1 10.0.0.20:53 > 10.0.0.10:5000 idle 180 reverse of 2 0p 0b")
	ping := icmp("10.0.0.10:77", "10.0.0.20:77", 8)
	w.expect(client, ping.from(client), ping.to(server),
		"new icmp eni1 10.0.0.10:77 > 10.0.0.20:77 = eni2 10.0.0.10:77 > 10.0.0.20:77 idle 30 src dst of 1 1p 46b",
		"new icmp eni2 10.0.0.20:77 > 10.0.0.10:77 = eni1 10.0.0.20:77 > 10.0.0.10:77 idle 30 reverse src dst of 2 0p 0b")
	pong := icmp("10.0.0.20:77", "10.0.0.10:77", 0)
	w.expect(server, pong.from(server), pong.to(client),
		"now icmp eni2 10.0.0.20:77 > 10.0.0.10:77 = eni1 10.0.0.20:77 > 10.0.0.10:77 idle 30 reverse src dst replied of 2 1p 46b")
}

func TestPrivateLink(t *testing.T) {
	w := newWorld(t)
	const (
		there = "tcp eni1 10.0.0.10:40000 > 10.0.0.50:80 = eni4 10.0.0.100:40000 > 10.0.0.10:8080 idle 300 nat src dst"
		back  = "tcp eni4 10.0.0.10:8080 > 10.0.0.100:40000 = eni1 10.0.0.50:80 > 10.0.0.10:40000 idle 300 reverse nat src dst"
	)
	w.expect(client, tcp("10.0.0.10:40000", "10.0.0.50:80", "S").from(client),
		tcp("10.0.0.100:40000", "10.0.0.10:8080", "S").to(target),
		"new "+there+" of 1 1p 54b", "new "+back+" of 4 0p 0b")
	w.expect(target, tcp("10.0.0.10:8080", "10.0.0.100:40000", "SA").from(target),
		tcp("10.0.0.50:80", "10.0.0.10:40000", "SA").to(client),
		"now "+back+" replied of 4 1p 54b")
	w.expect(client, tcp("10.0.0.10:40000", "10.0.0.50:80", "PA").with("odd").from(client),
		tcp("10.0.0.100:40000", "10.0.0.10:8080", "PA").with("odd").to(target),
		"now "+there+" of 1 2p 111b")
}

// TestSourcePort has a client with a privileged port: the flow gets another.
func TestSourcePort(t *testing.T) {
	w := newWorld(t)
	hash := tables.Hash(ap("10.0.0.10:900"), ap("10.0.0.50:80"), tables.UDP, 0)
	number, _ := tables.CandidatePort(900, hash, 1)
	port := strconv.Itoa(int(number))
	w.expect(client, udp("10.0.0.10:900", "10.0.0.50:80").from(client), udp("10.0.0.100:"+port, "10.0.0.10:8080").to(target),
		"new udp eni1 10.0.0.10:900 > 10.0.0.50:80 = eni4 10.0.0.100:"+port+" > 10.0.0.10:8080 idle 120 nat src dst of 1 1p 47b",
		"new udp eni4 10.0.0.10:8080 > 10.0.0.100:"+port+" = eni1 10.0.0.50:80 > 10.0.0.10:900 idle 120 reverse nat src dst of 4 0p 0b")
	w.expect(target, udp("10.0.0.10:8080", "10.0.0.100:"+port).from(target), udp("10.0.0.50:80", "10.0.0.10:900").to(client),
		"now udp eni4 10.0.0.10:8080 > 10.0.0.100:"+port+" = eni1 10.0.0.50:80 > 10.0.0.10:900 idle 120 reverse nat src dst replied of 4 1p 47b")
}

// TestUDPWithoutChecksum: none stays none.
func TestUDPWithoutChecksum(t *testing.T) {
	w := newWorld(t)
	in := udp("10.0.0.10:5000", "10.0.0.50:80").from(client)
	out := udp("10.0.0.100:5000", "10.0.0.10:8080").to(target)
	for _, frame := range [][]byte{in, out} {
		frame[14+20+6], frame[14+20+7] = 0, 0
	}
	w.expect(client, in, out,
		"new udp eni1 10.0.0.10:5000 > 10.0.0.50:80 = eni4 10.0.0.100:5000 > 10.0.0.10:8080 idle 120 nat src dst of 1 1p 47b",
		"new udp eni4 10.0.0.10:8080 > 10.0.0.100:5000 = eni1 10.0.0.50:80 > 10.0.0.10:5000 idle 120 reverse nat src dst of 4 0p 0b")
}

func TestLoadBalancer(t *testing.T) {
	w := newWorld(t)
	w.expect(caller, tcp("10.0.0.30:40000", "10.0.0.100:80", "S").from(caller), tcp("10.0.0.100:40000", "10.0.0.10:8080", "S").to(target),
		"new tcp eni9 10.0.0.30:40000 > 10.0.0.100:80 = eni4 10.0.0.100:40000 > 10.0.0.10:8080 idle 300 nat src dst of 9 1p 54b",
		"new tcp eni4 10.0.0.10:8080 > 10.0.0.100:40000 = eni9 10.0.0.100:80 > 10.0.0.30:40000 idle 300 reverse nat src dst of 4 0p 0b")
	w.expect(caller, tcp("10.0.0.30:900", "10.0.0.100:81", "S").from(caller), tcp("10.0.0.30:900", "10.0.0.10:8080", "S").to(target),
		"new tcp eni9 10.0.0.30:900 > 10.0.0.100:81 = eni4 10.0.0.30:900 > 10.0.0.10:8080 idle 300 nat src dst of 9 1p 54b",
		"new tcp eni4 10.0.0.10:8080 > 10.0.0.30:900 = eni9 10.0.0.100:81 > 10.0.0.30:900 idle 300 reverse nat src dst of 4 0p 0b")
	// The target reaches itself through its balancer, but not as itself.
	w.expect(target, tcp("10.0.0.10:41000", "10.0.0.100:80", "S").from(target), tcp("10.0.0.100:41000", "10.0.0.10:8080", "S").to(target),
		"new tcp eni4 10.0.0.10:41000 > 10.0.0.100:80 = eni4 10.0.0.100:41000 > 10.0.0.10:8080 idle 300 nat src dst of 4 1p 54b",
		"new tcp eni4 10.0.0.10:8080 > 10.0.0.100:41000 = eni4 10.0.0.100:80 > 10.0.0.10:41000 idle 300 reverse nat src dst of 4 0p 0b")
	w.expect(target, tcp("10.0.0.10:41000", "10.0.0.100:81", "S").from(target), nil, "1 hairpin of 4")
	// With the one port at which both keys would be the same, the next is taken.
	w.tables.Listeners[0].Port = 8080
	w.apply()
	w.changed()
	same := tcp("10.0.0.10:8080", "10.0.0.100:8080", "S")
	number, _ := tables.CandidatePort(8080, tables.Hash(same.src, same.dst, tables.TCP, same.seq), 1)
	port := strconv.Itoa(int(number))
	w.expect(target, same.from(target), tcp("10.0.0.100:"+port, "10.0.0.10:8080", "S").to(target),
		"new tcp eni4 10.0.0.10:8080 > 10.0.0.100:8080 = eni4 10.0.0.100:"+port+" > 10.0.0.10:8080 idle 300 nat src dst of 4 1p 54b",
		"new tcp eni4 10.0.0.10:8080 > 10.0.0.100:"+port+" = eni4 10.0.0.100:8080 > 10.0.0.10:8080 idle 300 reverse nat src dst of 4 0p 0b")
}

// TestProxiedInPlace has a receiver of a PROXY header at the address and port
// that the client called, and a node at the client's address: nothing is to be
// translated, but numbers are to be moved.
func TestProxiedInPlace(t *testing.T) {
	w := newWorld(t)
	w.eni(client).Addresses[0], w.eni(target).Addresses[0] = addr("10.0.0.100"), addr("10.0.0.50")
	w.leadTo("10.0.0.50:80")
	w.tables.Listeners[0].Proxy = true
	w.apply()
	at := func(flags string, seq uint32) packet {
		p := tcp("10.0.0.100:40000", "10.0.0.50:80", flags)
		p.seq = seq
		return p
	}
	w.run(client, at("S", 1000).from(client))
	w.run(client, at("A", 1001).from(client)) // becomes the preamble
	w.changed()
	w.expect(client, at("PA", 1001).with("hello").from(client), at("PA", 1001+100).with("hello").to(target),
		"now tcp eni1 10.0.0.100:40000 > 10.0.0.50:80 = eni4 10.0.0.100:40000 > 10.0.0.50:80 idle 300 src dst of 1 3p 267b")
}

func TestNAT(t *testing.T) {
	w := newWorld(t)
	const (
		there = "tcp eni6 100.64.0.9:40000 > 10.0.0.20:80 = eni2 10.0.0.90:40000 > 10.0.0.20:80 idle 350 nat src dst"
		back  = "tcp eni2 10.0.0.20:80 > 10.0.0.90:40000 = eni6 10.0.0.20:80 > 100.64.0.9:40000 idle 350 reverse nat src dst"
	)
	w.expect(carrier, tcp("100.64.0.9:40000", "10.0.0.20:80", "S").from(carrier), tcp("10.0.0.90:40000", "10.0.0.20:80", "S").to(server),
		"new "+there+" of 7 1p 54b", "new "+back+" of 2 0p 0b")
	w.expect(server, tcp("10.0.0.20:80", "10.0.0.90:40000", "SA").from(server), tcp("10.0.0.20:80", "100.64.0.9:40000", "SA").to(carrier),
		"now "+back+" replied of 2 1p 54b")
	w.expect(carrier, icmp("100.64.0.9:7", "10.0.0.20:7", 8).from(carrier), icmp("10.0.0.90:7", "10.0.0.20:7", 8).to(server),
		"new icmp eni6 100.64.0.9:7 > 10.0.0.20:7 = eni2 10.0.0.90:7 > 10.0.0.20:7 idle 30 nat src dst of 7 1p 46b",
		"new icmp eni2 10.0.0.20:7 > 10.0.0.90:7 = eni6 10.0.0.20:7 > 100.64.0.9:7 idle 30 reverse nat src dst of 2 0p 0b")
	// A NAT's packets go on through an endpoint of its network.
	w.expect(carrier, tcp("100.64.0.9:40000", "10.0.0.50:80", "S").from(carrier), tcp("10.0.0.100:40000", "10.0.0.10:8080", "S").to(target),
		"new tcp eni6 100.64.0.9:40000 > 10.0.0.50:80 = eni4 10.0.0.100:40000 > 10.0.0.10:8080 idle 300 nat src dst of 7 1p 54b",
		"new tcp eni4 10.0.0.10:8080 > 10.0.0.100:40000 = eni6 10.0.0.50:80 > 100.64.0.9:40000 idle 300 reverse nat src dst of 4 0p 0b")
}

// TestTracked: what outlives its rule is marked, at each end for itself.
func TestTracked(t *testing.T) {
	for _, c := range []struct {
		name                                               string
		clientEgress, clientIngress, srvIngress, srvEgress uint64
		words                                              string
	}{
		{"no groups", 0, 0, 0, 0, ""},
		{"open groups", allOpen, allOpen, allOpen, allOpen, ""},
		{"narrow egress", onlyPort, allOpen, allOpen, allOpen, " src"},
		{"open egress, closed to replies", allOpen, denyAll, allOpen, allOpen, " src"},
		{"narrow ingress", allOpen, allOpen, onlyPort, allOpen, " dst"},
		{"open ingress, narrow replies", allOpen, allOpen, allOpen, onlyPort, " dst"},
		{"both narrow", onlyPort, denyAll, onlyPort, denyAll, " src dst"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.eni(client), w.eni(server)
			a.Egress, a.Ingress, a.IngressOpen = c.clientEgress, c.clientIngress, c.clientIngress == allOpen
			b.Ingress, b.Egress, b.EgressOpen = c.srvIngress, c.srvEgress, c.srvEgress == allOpen
			w.apply()
			syn := tcp("10.0.0.10:40000", "10.0.0.20:80", "S")
			w.expect(client, syn.from(client), syn.to(server),
				"new tcp eni1 10.0.0.10:40000 > 10.0.0.20:80 = eni2 10.0.0.10:40000 > 10.0.0.20:80 idle 432000"+c.words+" of 1 1p 54b",
				"new tcp eni2 10.0.0.20:80 > 10.0.0.10:40000 = eni1 10.0.0.20:80 > 10.0.0.10:40000 idle 432000 reverse"+c.words+" of 2 0p 0b")
		})
	}
}

// TestRefused has a case for each reason to drop a packet that starts a flow.
func TestRefused(t *testing.T) {
	toServer := tcp("10.0.0.10:40000", "10.0.0.20:80", "S")
	toEndpoint := tcp("10.0.0.10:40000", "10.0.0.50:80", "S")
	toNode := tcp("10.0.0.30:40000", "10.0.0.100:80", "S")
	fromNAT := tcp("100.64.0.9:40000", "10.0.0.20:80", "S")
	reset := packet{proto: layers.IPProtocolTCP, src: toEndpoint.dst, dst: toEndpoint.src, flags: "RA", ack: toEndpoint.seq + 1}
	edited := func(p packet, edit func(*layers.IPv4)) packet { p.edit = edit; return p }
	for _, c := range []struct {
		name   string
		tables func(*world)
		from   uint32
		packet packet
		answer *packet
		drop   string
	}{
		{"options", nil, client, edited(toServer, func(ip *layers.IPv4) {
			ip.Options = []layers.IPv4Option{{OptionType: 1}}
		}), nil, "unsupported-protocol of 0"},
		{"protocol", nil, client, edited(toServer, func(ip *layers.IPv4) { ip.Protocol = layers.IPProtocolSCTP }), nil, "unsupported-protocol of 0"},
		{"first fragment", nil, client, edited(toServer, func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }), nil, "fragment of 0"},
		{"last fragment", nil, client, edited(toServer, func(ip *layers.IPv4) { ip.FragOffset = 100 }), nil, "fragment of 0"},
		{"ICMP type", nil, client, icmp("10.0.0.10:1", "10.0.0.20:1", 13), nil, "unsupported-protocol of 0"},
		{"another's address", nil, client, tcp("10.0.0.20:1", "10.0.0.10:80", "S"), nil, "spoofed of 0"},
		{"another's MAC", func(w *world) { w.eni(client).MAC = mac(99) }, client, toServer, nil, "spoofed of 1"},
		{"egress rule", func(w *world) { w.eni(client).Egress = denyAll }, client, toServer, nil, "sg-egress of 1"},
		{"egress rule of another port", func(w *world) { w.eni(client).Egress = onlyPort }, client, tcp("10.0.0.10:1", "10.0.0.20:81", "S"), nil, "sg-egress of 1"},
		{"egress rule of another type", func(w *world) { w.eni(client).Egress = onlyPort }, client, icmp("10.0.0.10:1", "10.0.0.20:1", 0), nil, "sg-egress of 1"},
		{"NAT's egress rule", func(w *world) { w.eni(nat).Egress = denyAll }, carrier, fromNAT, nil, "sg-egress of 7"},
		{"no route", nil, client, tcp("10.0.0.10:1", "172.16.0.1:80", "S"), nil, "no-route of 1"},
		{"blackhole", nil, client, tcp("10.0.0.10:1", "10.0.66.1:80", "S"), nil, "blackhole of 1"},
		{"internet", nil, client, tcp("10.0.0.10:1", "192.0.2.1:80", "S"), nil, "no-public-address of 1"},
		{"nobody's address", nil, client, tcp("10.0.0.10:1", "10.0.9.9:80", "S"), nil, "no-address of 1"},
		{"to a NAT", nil, client, tcp("10.0.0.10:1", "10.0.0.90:80", "S"), nil, "no-address of 1"},
		{"to a NAT source", nil, carrier, tcp("100.64.0.5:1", "100.64.0.9:80", "S"), nil, "no-address of 6"},
		{"a NAT without its other side", func(w *world) { w.eni(shadow).Peer = 77 }, carrier, fromNAT, nil, "no-address of 7"},
		{"endpoint's ingress rule", func(w *world) { w.eni(endpoint).Ingress = denyAll }, client, toEndpoint, nil, "sg-ingress of 1"},
		{"not accepted", func(w *world) { w.eni(endpoint).Available = false }, client, toEndpoint, nil, "not-accepted of 1"},
		{"no balancer in the zone", func(w *world) { w.eni(endpoint).Peer = 0 }, client, toEndpoint, &reset, "no-healthy-target of 1"},
		{"balancer's ingress rule", func(w *world) { w.eni(node).Ingress = denyAll }, caller, toNode, nil, "sg-ingress of 9"},
		{"balancer's ingress rule, enforced", func(w *world) {
			w.eni(node).Ingress, w.eni(node).Enforce = denyAll, true
		}, client, toEndpoint, nil, "sg-ingress of 1"},
		{"no listener", nil, client, tcp("10.0.0.10:1", "10.0.0.50:82", "S"), nil, "no-listener of 1"},
		{"ping a balancer", nil, client, icmp("10.0.0.10:1", "10.0.0.50:1", 8), nil, "no-listener of 1"},
		{"no target", func(w *world) { w.tables.Listeners[0].Targets = 0 }, client, toEndpoint, &reset, "no-healthy-target of 1"},
		{"target without an ENI", func(w *world) { w.eni(target).Addresses[0] = addr("10.0.0.11") }, client, toEndpoint, nil, "no-address of 1"},
		{"a circle of balancers", func(w *world) {
			back := *w.eni(endpoint)
			back.Number, back.Network, back.Addresses = 10, 2, []netip.Addr{addr("10.0.0.60")}
			w.tables.ENIs = append(w.tables.ENIs, back)
			w.leadTo("10.0.0.60:80")
		}, client, toEndpoint, nil, "too-many-hops of 1"},
		{"balancer's egress rule", func(w *world) { w.eni(node).Egress = denyAll }, client, toEndpoint, nil, "sg-egress of 1"},
		{"target's ingress rule", func(w *world) { w.eni(target).Ingress = denyAll }, client, toEndpoint, nil, "sg-ingress of 1"},
		{"ingress rule", func(w *world) { w.eni(server).Ingress = denyAll }, client, toServer, nil, "sg-ingress of 1"},
		{"no device", func(w *world) { delete(w.devices, server) }, client, toServer, nil, "no-device of 1"},
		{"to itself", func(w *world) { w.eni(client).AnySource = true }, client, tcp("10.0.0.10:1", "10.0.0.10:2", "S"), nil, "hairpin of 1"},
		{"unknown connection of a NAT", nil, carrier, tcp("100.64.0.9:40000", "10.0.0.20:80", "SA"),
			&packet{proto: layers.IPProtocolTCP, src: fromNAT.dst, dst: fromNAT.src, flags: "R", seq: 2000}, "idle of 7"},
		{"unknown connection of a balancer", nil, client, tcp("10.0.0.10:40000", "10.0.0.50:80", "PA").with("hello"),
			&packet{proto: layers.IPProtocolTCP, src: toEndpoint.dst, dst: toEndpoint.src, flags: "R", seq: 2000}, "idle of 1"},
		{"unknown connection, no ACK", nil, client, tcp("10.0.0.10:40000", "10.0.0.50:80", "F").with("hello"),
			&packet{proto: layers.IPProtocolTCP, src: toEndpoint.dst, dst: toEndpoint.src, flags: "RA", ack: 1006}, "idle of 1"},
		{"RST of an unknown connection", nil, client, tcp("10.0.0.10:40000", "10.0.0.50:80", "RA"), nil, "idle of 1"},
		{"echo reply of nobody's request", nil, client, icmp("10.0.0.10:1", "10.0.0.20:1", 0), nil, "unrelated of 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.tables != nil {
				c.tables(w)
				w.apply()
			}
			var out []byte
			if c.answer != nil {
				out = resetFrame(*c.answer, c.from)
			}
			w.expect(c.from, c.packet.from(c.from), out, "1 "+c.drop)
		})
	}
}

// resetFrame is the frame of a RST that the data plane answers with.
func resetFrame(p packet, to uint32) []byte {
	p.edit = func(ip *layers.IPv4) { ip.TTL, ip.Id, ip.Flags = 64, 0, layers.IPv4DontFragment }
	p.noWindow = true
	return p.to(to)
}

func TestMalformed(t *testing.T) {
	w := newWorld(t)
	good := tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client)
	datagram := udp("10.0.0.10:40000", "10.0.0.20:80").from(client)
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"version", edit(good, 14, 0x65)},
		{"short IP header", edit(good, 14, 0x44)},
		{"length beyond the frame", edit(good, 14+3, 41)},
		{"length under the header's", edit(good, 14+3, 19)},
		{"length zero", edit(good, 14+3, 0)},
		{"no whole TCP header", edit(good, 14+3, 39)},
		{"frame ends in TCP header", good[:14+20+19]},
		{"short data offset", edit(good, 14+20+12, 0x40)},
		{"data offset beyond the packet", edit(good, 14+20+12, 0x60)},
		{"no whole UDP header", edit(datagram, 14+3, 27)},
		{"short datagram", edit(datagram, 14+20+5, 7)},
		{"datagram beyond the packet", edit(datagram, 14+20+5, 14)},
		{"ARP cut short", arpFrame(1, mac(0), mac(client), mac(client), "10.0.0.10", mac(0), "10.0.0.1")[:14+27]},
	} {
		if verdict, _ := w.run(client, c.frame); verdict != shot {
			t.Errorf("%s: verdict %d, want the packet dropped", c.name, verdict)
		}
		if got := strings.Join(w.changed(), "; "); got != "1 malformed of 0" {
			t.Errorf("%s: changes of state: %s", c.name, got)
		}
	}
	// Six bytes of padding, as short frames have on wires, are no error.
	syn := tcp("10.0.0.10:40000", "10.0.0.20:80", "S")
	pad := make([]byte, 6)
	w.expect(client, append(syn.from(client), pad...), append(syn.to(server), pad...),
		"new tcp eni1 10.0.0.10:40000 > 10.0.0.20:80 = eni2 10.0.0.10:40000 > 10.0.0.20:80 idle 432000 of 1 1p 60b",
		"new tcp eni2 10.0.0.20:80 > 10.0.0.10:40000 = eni1 10.0.0.20:80 > 10.0.0.10:40000 idle 432000 reverse of 2 0p 0b")
}

// edit returns the frame with one byte changed.
func edit(frame []byte, at int, to byte) []byte {
	frame = slices.Clone(frame)
	frame[at] = to
	return frame
}

func TestOtherProtocols(t *testing.T) {
	w := newWorld(t)
	ipv6 := edit(tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client), 12, 0x86)
	ipv6[13] = 0xdd
	w.expect(client, ipv6, nil, "1 unsupported-protocol of 0")
}

func TestAnySource(t *testing.T) {
	w := newWorld(t)
	w.eni(client).AnySource = true
	w.apply()
	syn := tcp("172.16.5.5:40000", "10.0.0.20:80", "S")
	w.expect(client, syn.from(client), syn.to(server),
		"new tcp eni1 172.16.5.5:40000 > 10.0.0.20:80 = eni2 172.16.5.5:40000 > 10.0.0.20:80 idle 432000 of 1 1p 54b",
		"new tcp eni2 10.0.0.20:80 > 172.16.5.5:40000 = eni1 10.0.0.20:80 > 172.16.5.5:40000 idle 432000 reverse of 2 0p 0b")
}

// TestSameChecksum: addresses that leave the checksum as it is, with one that
// is complete.
func TestSameChecksum(t *testing.T) {
	w := newWorld(t)
	w.eni(node).Addresses[0] = addr("10.0.0.50")
	w.apply()
	for i, flags := range []string{"S", "PA", "FA"} {
		p := tcp("10.0.0.10:40000", "10.0.0.50:80", flags).with(strings.Repeat("x", i))
		q := tcp("10.0.0.50:40000", "10.0.0.10:8080", flags).with(p.payload)
		if verdict, out := w.run(client, p.from(client)); verdict != redirect || string(out) != string(q.to(target)) {
			t.Errorf("verdict %d, frame\n%swant\n%s", verdict, hex.Dump(out), hex.Dump(q.to(target)))
		}
	}
}

// TestChecksums sends datagrams whose checksums come to every kind of value,
// zero before and after the rewriting among them.
func TestChecksums(t *testing.T) {
	w := newWorld(t)
	zero := 0
	for i := range 1 << 16 {
		payload := string([]byte{byte(i >> 8), byte(i)})
		in := udp("10.0.0.10:5000", "10.0.0.50:80").with(payload).from(client)
		want := udp("10.0.0.100:5000", "10.0.0.10:8080").with(payload).to(target)
		if want[40] == 0xff && want[41] == 0xff || in[40] == 0xff && in[41] == 0xff {
			zero++
		} else if i%101 != 0 {
			continue
		}
		if _, out := w.run(client, in); string(out) != string(want) {
			t.Fatalf("payload %x: checksum %x became %x, want %x", payload, in[40:42], out[40:42], want[40:42])
		}
	}
	if zero < 2 {
		t.Errorf("%d datagrams had a checksum that would be zero, want at least 2", zero)
	}
}
