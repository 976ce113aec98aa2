package datapath

import (
	"encoding/binary"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/isthmus-net/isthmus/bpf"
)

func TestARP(t *testing.T) {
	w := newWorld(t)
	router, all, none := [6]byte(bpf.RouterMAC), [6]byte{255, 255, 255, 255, 255, 255}, [6]byte{}
	me := mac(client)
	request := arpFrame(layers.ARPRequest, all, me, me, "10.0.0.10", none, "10.0.0.1")
	reply := arpFrame(layers.ARPReply, me, router, router, "10.0.0.1", me, "10.0.0.10")
	w.expect(client, request, reply)
	w.expect(client, arpFrame(layers.ARPRequest, router, me, me, "10.0.0.10", router, "10.0.0.20"),
		arpFrame(layers.ARPReply, me, router, router, "10.0.0.20", me, "10.0.0.10"))
	for name, frame := range map[string][]byte{
		"announcement": arpFrame(layers.ARPRequest, all, me, me, "10.0.0.10", none, "10.0.0.10"),
		"probe":        arpFrame(layers.ARPRequest, all, me, me, "0.0.0.0", none, "10.0.0.10"),
		"reply":        arpFrame(layers.ARPReply, router, me, me, "10.0.0.10", router, "10.0.0.1"),
		"other link":   edit(request, 14+1, 6),
	} {
		t.Log(name)
		w.expect(client, frame, nil)
	}
}

func TestRelated(t *testing.T) {
	w := newWorld(t)
	plain := udp("10.0.0.10:5000", "10.0.0.20:53")
	through := udp("10.0.0.10:5000", "10.0.0.50:80")
	ping := icmp("10.0.0.10:9", "10.0.0.20:9", 8)
	for _, p := range []packet{plain, through, ping} {
		w.run(client, p.from(client))
	}
	w.changed()

	unreachable := func(src, dst string, quoted packet) packet {
		return icmp(src, dst, layers.ICMPv4TypeDestinationUnreachable).with(string(quoted.to(server)[14 : 14+28]))
	}
	about := unreachable("10.0.0.20:0", "10.0.0.10:0", plain)
	w.expect(server, about.from(server), about.to(client))
	aboutPing := unreachable("10.0.0.20:0", "10.0.0.10:0", ping)
	w.expect(server, aboutPing.from(server), aboutPing.to(client))

	// None of these is about a flow that it may be about.
	other := udp("10.0.0.10:5001", "10.0.0.20:53")
	w.expect(server, unreachable("10.0.0.20:0", "10.0.0.10:0", other).from(server), nil, "1 unrelated of 0")
	w.expect(server, unreachable("10.0.0.21:0", "10.0.0.10:0", plain).from(server), nil, "1 unrelated of 2")
	w.expect(server, unreachable("10.0.0.20:0", "10.0.0.11:0", plain).from(server), nil, "1 unrelated of 2")
	w.expect(server, about.with("too short").from(server), nil, "1 unrelated of 0")
	w.expect(server, about.from(client), nil, "1 spoofed of 2")
	seen := udp("10.0.0.100:5000", "10.0.0.10:8080")
	w.expect(target, unreachable("10.0.0.10:0", "10.0.0.100:0", seen).from(target), nil, "1 unrelated of 4")
	fragment := []byte(about.payload)
	binary.BigEndian.PutUint16(fragment[6:], 100)
	w.expect(server, about.with(string(fragment)).from(server), nil, "1 unrelated of 0")
	aboutError := unreachable("10.0.0.20:0", "10.0.0.10:0", about)
	w.expect(server, aboutError.from(server), nil, "1 unrelated of 0")

	w.eni(server).Ingress = allOpen // the epoch moves
	w.apply()
	w.changed()
	w.expect(server, about.from(server), nil, "1 unrelated of 2")
}
