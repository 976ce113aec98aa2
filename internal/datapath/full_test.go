package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/bpf"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// TestTableFull: what is known goes on, what is new is refused, and what ends
// makes room. The table holds eight flows.
func TestTableFull(t *testing.T) {
	w := newWorld(t)
	syn := func(i int) packet { return tcp(fmt.Sprintf("10.0.0.10:%d", 40000+i), "10.0.0.20:80", "S") }
	for i := range 8 {
		if verdict, _ := w.run(client, syn(i).from(client)); verdict != redirect {
			t.Fatalf("flow %d: verdict %d, want it forwarded", i, verdict)
		}
	}
	w.changed()
	w.expect(client, syn(8).from(client), nil, "1 table-full of 1")
	known := tcp("10.0.0.10:40003", "10.0.0.20:80", "A")
	w.expect(client, known.from(client), known.to(server),
		"now tcp eni1 10.0.0.10:40003 > 10.0.0.20:80 = eni2 10.0.0.10:40003 > 10.0.0.20:80 idle 432000 of 1 2p 108b")

	for k, f := range w.flowTable() {
		if f.Flags&bpf.FlowReverse == 0 && f.Sport == bpf.Port(40005) {
			if err := w.Map(bpf.MapFlows).Delete(k); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.changed()
	// There is room for one direction: neither stays.
	w.expect(client, syn(8).from(client), nil, "1 table-full of 1")
	if n, err := w.Expire(Now() + 432001e9); n != 8 || err != nil {
		t.Fatalf("Expire = %d, %v, want 8 flows ended", n, err)
	}
	if left := w.flowTable(); len(left) != 0 {
		t.Fatalf("%d entries are left, want none", len(left))
	}
	w.changed()
	w.expect(client, syn(8).from(client), syn(8).to(server),
		"new tcp eni1 10.0.0.10:40008 > 10.0.0.20:80 = eni2 10.0.0.10:40008 > 10.0.0.20:80 idle 432000 of 1 1p 54b",
		"new tcp eni2 10.0.0.20:80 > 10.0.0.10:40008 = eni1 10.0.0.20:80 > 10.0.0.10:40008 idle 432000 reverse of 2 0p 0b")
}

// TestPortExhausted takes every port that a flow may try.
func TestPortExhausted(t *testing.T) {
	w := newWorld(t)
	w.Close()
	if err := Remove(w.options.PinDir); err != nil {
		t.Fatal(err)
	}
	w.options.MaxFlows = 256
	w.open()
	w.apply()
	syn := tcp("10.0.0.10:40000", "10.0.0.50:80", "S")
	hash := tables.Hash(syn.src, syn.dst, tables.TCP, syn.seq)
	key := bpf.FlowKey{
		Src: bpf.AddrFrom(addr("10.0.0.10")), Dst: bpf.AddrFrom(addr("10.0.0.100")), Sport: bpf.Port(8080),
		Ifindex: uint32(w.devices[target]), Proto: tables.TCP,
	}
	take := func(i int) {
		port, ok := tables.CandidatePort(40000, hash, i)
		if !ok {
			t.Fatalf("there is no port to try at %d", i)
		}
		key.Dport = bpf.Port(port)
		if err := w.Map(bpf.MapFlows).Put(key, bpf.Flow{Flags: bpf.FlowReverse}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range tables.PortTries - 1 {
		take(i)
	}
	w.flows, w.drops = w.flowTable(), w.dropTable()
	port, _ := tables.CandidatePort(40000, hash, tables.PortTries-1)
	last := fmt.Sprintf("10.0.0.100:%d", port)
	w.expect(client, syn.from(client), tcp(last, "10.0.0.10:8080", "S").to(target),
		"new tcp eni1 10.0.0.10:40000 > 10.0.0.50:80 = eni4 "+last+" > 10.0.0.10:8080 idle 300 nat src dst of 1 1p 54b",
		"new tcp eni4 10.0.0.10:8080 > "+last+" = eni1 10.0.0.50:80 > 10.0.0.10:40000 idle 300 reverse nat src dst of 4 0p 0b")
	if err := w.Map(bpf.MapFlows).Delete(bpf.FlowKey{
		Src: key.Src, Dst: bpf.AddrFrom(addr("10.0.0.50")), Sport: bpf.Port(40000), Dport: bpf.Port(80),
		Ifindex: uint32(w.devices[client]), Proto: tables.TCP,
	}); err != nil {
		t.Fatal(err)
	}
	w.changed()
	w.expect(client, syn.from(client), nil, "1 port-exhausted of 1")
}

// TestPortTaken: where the client's own port must stay, there is no other.
func TestPortTaken(t *testing.T) {
	w := newWorld(t)
	// Through the preserving listener, and directly: the target would see the
	// two as one connection.
	w.run(caller, tcp("10.0.0.30:40000", "10.0.0.100:81", "S").from(caller))
	w.changed()
	w.expect(caller, tcp("10.0.0.30:40000", "10.0.0.10:8080", "S").from(caller), nil, "1 port-exhausted of 9")
	// Two NAT sources that ping with one identifier.
	second := *w.eni(shadow)
	second.Number, second.Addresses = 20, []netip.Addr{addr("100.64.0.10")}
	w.tables.ENIs = append(w.tables.ENIs, second)
	w.apply()
	w.run(carrier, icmp("100.64.0.9:7", "10.0.0.20:7", 8).from(carrier))
	w.changed()
	w.expect(carrier, icmp("100.64.0.10:7", "10.0.0.20:7", 8).from(carrier), nil, "1 port-exhausted of 20")
}
