package datapath

import (
	"fmt"
	"testing"

	"github.com/isthmus-net/isthmus/bpf"
)

const (
	plainThere = "tcp eni1 10.0.0.10:40000 > 10.0.0.20:80 = eni2 10.0.0.10:40000 > 10.0.0.20:80 idle 432000"
	plainBack  = "tcp eni2 10.0.0.20:80 > 10.0.0.10:40000 = eni1 10.0.0.20:80 > 10.0.0.10:40000 idle 432000 reverse"
)

// TestTrackedSurvives: a tracked flow outlives its rules, an untracked does not.
func TestTrackedSurvives(t *testing.T) {
	for _, tracked := range []bool{true, false} {
		t.Run(fmt.Sprintf("tracked %v", tracked), func(t *testing.T) {
			w := newWorld(t)
			words := ""
			if tracked {
				words = " src dst"
				w.eni(client).Egress = onlyPort
				w.eni(server).Ingress = onlyPort
				w.apply()
			}
			syn := tcp("10.0.0.10:40000", "10.0.0.20:80", "S")
			w.run(client, syn.from(client))
			w.changed()
			w.eni(server).Ingress = denyAll
			w.apply()
			data := tcp("10.0.0.10:40000", "10.0.0.20:80", "A")
			if tracked {
				w.expect(client, data.from(client), data.to(server),
					"now "+plainThere+words+" of 1 2p 108b", "now "+plainBack+words+" of 2 0p 0b")
				w.expect(client, data.from(client), data.to(server), "now "+plainThere+words+" of 1 3p 162b")
				return
			}
			w.expect(client, data.from(client), nil,
				"gone "+plainThere+" of 1 1p 54b stale", "gone "+plainBack+" of 2 0p 0b stale", "1 sg-ingress of 1")
		})
	}
}

// TestRenewedFromBehind: a packet of the reverse direction has the flow
// evaluated as the forward one would.
func TestRenewedFromBehind(t *testing.T) {
	w := newWorld(t)
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client))
	w.changed()
	w.eni(client).Egress = denyAll
	w.apply()
	answer := tcp("10.0.0.20:80", "10.0.0.10:40000", "SA")
	w.expect(server, answer.from(server), nil,
		"gone "+plainThere+" of 1 1p 54b stale", "gone "+plainBack+" of 2 0p 0b stale", "1 sg-egress of 2")
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client))
	w.changed()
	w.eni(client).Egress = allOpen
	w.apply()
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client))
	w.changed()
	w.eni(client).IngressOpen = true // of no matter to the flow
	w.apply()
	w.expect(server, answer.from(server), answer.to(client),
		"now "+plainThere+" of 1 1p 54b", "now "+plainBack+" replied of 2 1p 54b")
}

// TestBalancedKeepsTarget: with another target chosen for new flows, a known
// one stays at its own, as long as that is a member.
func TestBalancedKeepsTarget(t *testing.T) {
	w := newWorld(t)
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.50:80", "S").from(client))
	w.changed()
	set := &w.tables.TargetSets[0]
	set.ID, set.Targets[0] = 0x1234, ap("10.0.0.30:9090")
	for i := range w.tables.Listeners {
		w.tables.Listeners[i].Targets = set.ID
	}
	w.eni(node).Egress, w.eni(target).Ingress = denyAll, denyAll
	w.apply()
	w.expect(client, tcp("10.0.0.10:40000", "10.0.0.50:80", "A").from(client),
		tcp("10.0.0.100:40000", "10.0.0.10:8080", "A").to(target),
		"now tcp eni1 10.0.0.10:40000 > 10.0.0.50:80 = eni4 10.0.0.100:40000 > 10.0.0.10:8080 idle 300 nat src dst of 1 2p 108b",
		"now tcp eni4 10.0.0.10:8080 > 10.0.0.100:40000 = eni1 10.0.0.50:80 > 10.0.0.10:40000 idle 300 reverse nat src dst of 4 0p 0b")
	w.eni(node).Egress = 0
	w.apply()
	w.changed()
	w.expect(client, tcp("10.0.0.10:40001", "10.0.0.50:80", "S").from(client),
		tcp("10.0.0.100:40001", "10.0.0.30:9090", "S").to(caller),
		"new tcp eni1 10.0.0.10:40001 > 10.0.0.50:80 = eni9 10.0.0.100:40001 > 10.0.0.30:9090 idle 300 nat src dst of 1 1p 54b",
		"new tcp eni9 10.0.0.30:9090 > 10.0.0.100:40001 = eni1 10.0.0.50:80 > 10.0.0.10:40001 idle 300 reverse nat src dst of 9 0p 0b")
}

// TestReceiverMoves: the receiver is attached to another device.
func TestReceiverMoves(t *testing.T) {
	w := newWorld(t)
	syn := tcp("10.0.0.10:40000", "10.0.0.20:80", "S")
	w.run(client, syn.from(client))
	w.changed()
	old := w.devices[server]
	w.devices[server] = addDevice(t, "other")
	w.apply()
	data := tcp("10.0.0.10:40000", "10.0.0.20:80", "A")
	w.devices[0] = old // gives the old device a name
	w.expect(client, data.from(client), data.to(server),
		"now "+plainThere+" of 1 2p 108b", "new "+plainBack+" of 2 0p 0b",
		"gone tcp eni0 10.0.0.20:80 > 10.0.0.10:40000 = eni1 10.0.0.20:80 > 10.0.0.10:40000 idle 432000 reverse of 2 0p 0b stale")
	answer := tcp("10.0.0.20:80", "10.0.0.10:40000", "SA")
	w.expect(server, answer.from(server), answer.to(client), "now "+plainBack+" replied of 2 1p 54b")
	w.expect(0, answer.from(server), nil, "1 spoofed of 0")
}

// TestSenderGone: nothing answers for an ENI that is no more.
func TestSenderGone(t *testing.T) {
	w := newWorld(t)
	w.run(client, tcp("10.0.0.10:40000", "10.0.0.20:80", "S").from(client))
	w.changed()
	w.tables.ENIs = w.tables.ENIs[1:]
	w.apply()
	answer := tcp("10.0.0.20:80", "10.0.0.10:40000", "SA")
	w.expect(server, answer.from(server), nil,
		"gone "+plainThere+" of 1 1p 54b stale", "gone "+plainBack+" of 2 0p 0b stale", "1 spoofed of 2")
}

func TestKnownSpoofed(t *testing.T) {
	w := newWorld(t)
	syn := tcp("10.0.0.10:40000", "10.0.0.20:80", "S")
	w.run(client, syn.from(client))
	w.changed()
	w.expect(client, syn.from(server), nil, "1 spoofed of 1")
}

// TestHalfFlow: an entry without its opposite is none.
func TestHalfFlow(t *testing.T) {
	w := newWorld(t)
	syn := tcp("10.0.0.10:40000", "10.0.0.20:80", "S")
	w.run(client, syn.from(client))
	for k, f := range w.flowTable() {
		if f.Flags&bpf.FlowReverse == 0 {
			if err := w.Map(bpf.MapFlows).Delete(k); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.changed()
	w.eni(client).EgressOpen = true
	w.apply()
	answer := tcp("10.0.0.20:80", "10.0.0.10:40000", "A")
	w.expect(server, answer.from(server), answer.to(client),
		"now tcp eni2 10.0.0.20:80 > 10.0.0.10:40000 = eni1 10.0.0.20:80 > 10.0.0.10:40000 idle 432000 of 2 1p 54b",
		"new tcp eni1 10.0.0.10:40000 > 10.0.0.20:80 = eni2 10.0.0.10:40000 > 10.0.0.20:80 idle 432000 reverse of 1 0p 0b")
}
