package datapath

import (
	"testing"
	"time"
)

func TestExpire(t *testing.T) {
	w := newWorld(t)
	expire := func(after time.Duration, want int) {
		t.Helper()
		if n, err := w.Expire(Now() + after); n != want || err != nil {
			t.Errorf("Expire after %v = %d, %v, want %d flows ended", after, n, err, want)
		}
	}
	w.run(client, icmp("10.0.0.10:9", "10.0.0.20:9", 8).from(client))
	w.run(client, udp("10.0.0.10:5000", "10.0.0.50:80").from(client))
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.50:80", "S").from(client))
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client))
	expire(29*time.Second, 0)
	expire(31*time.Second, 1)
	expire(119*time.Second, 0)
	expire(121*time.Second, 1)
	expire(299*time.Second, 0)
	expire(301*time.Second, 1)
	expire(5*24*time.Hour-time.Minute, 0)

	// One side has sent FIN: the connection is half open.
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "FA").from(client))
	expire(11*time.Second, 0)
	w.run(server, tcp("10.0.0.20:80", "10.0.0.10:40000", "FA").from(server))
	expire(9*time.Second, 0)
	expire(11*time.Second, 1)

	w.run(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client))
	w.run(server, tcp("10.0.0.20:80", "10.0.0.10:40000", "RA").from(server))
	expire(9*time.Second, 0)
	expire(11*time.Second, 1)

	// Nothing will ever come from a device that is gone.
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client))
	expire(0, 0)
	delete(w.devices, client)
	w.apply()
	expire(0, 1)
	if left := w.flowTable(); len(left) != 0 {
		t.Errorf("%d entries are left, want none", len(left))
	}
}

// TestLastSeen: a flow in use stays, whichever side uses it.
func TestLastSeen(t *testing.T) {
	w := newWorld(t)
	w.run(client, udp("10.0.0.10:5000", "10.0.0.20:53").from(client))
	before := Now()
	time.Sleep(20 * time.Millisecond) // the coarse clock moves every few
	w.run(server, udp("10.0.0.20:53", "10.0.0.10:5000").from(server))
	for f, err := range w.Flows() {
		if err != nil {
			t.Fatal(err)
		}
		if last := Now() - f.Quiet; last < before {
			t.Errorf("last seen at %v, want it not before %v", last, before)
		}
	}
}

func TestFlows(t *testing.T) {
	w := newWorld(t)
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.50:80", "S").from(client))
	w.run(target, tcp("10.0.0.10:8080", "10.0.0.100:40000", "RA").from(target))
	w.eni(client).Egress = allOpen
	w.apply()
	var flows []Flow
	for f, err := range w.Flows() {
		if err != nil {
			t.Fatal(err)
		}
		if f.Quiet > time.Minute {
			t.Errorf("a new flow is quiet for %v", f.Quiet)
		}
		f.Quiet = 0
		flows = append(flows, f)
	}
	want := Flow{
		Protocol: 6, ENI: client, Peer: target,
		Src: ap("10.0.0.10:40000"), Dst: ap("10.0.0.50:80"),
		SeenSrc: ap("10.0.0.100:40000"), SeenDst: ap("10.0.0.10:8080"),
		Device: w.devices[client], PeerDevice: w.devices[target],
		Packets: 1, Bytes: 54, ReplyPackets: 1, ReplyBytes: 54,
		Idle: 300 * time.Second, Closing: true, Stale: true,
	}
	if len(flows) != 1 || flows[0] != want {
		t.Errorf("Flows = %+v, want %+v", flows, want)
	}
}
