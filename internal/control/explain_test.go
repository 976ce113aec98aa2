package control

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/feed"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// A load balancer's node is its user's, and may ask about its own ENI only.
func TestBalancersAskAboutThemselves(t *testing.T) {
	eni := func(number uint32, id, owner, address string, device *tables.Device) tables.ENI {
		return tables.ENI{
			Number: number, ID: id, Kind: tables.Host, Network: 1, Owner: owner, Device: device,
			Addresses: []netip.Addr{netip.MustParseAddr(address)}, Subnet: netip.MustParsePrefix("10.0.0.0/24"),
		}
	}
	t1 := tracer{}
	if t1.allowBalancer("alb/eni-1", config.FirstUID+1) {
		t.Error("allowed before there are tables")
	}
	t1.set(&tables.Tables{
		Networks: []tables.Network{{Number: 1, ID: "vpc-1"}},
		ENIs: []tables.ENI{
			eni(1, "eni-1", config.Role("eni-1"), "10.0.0.1", &tables.Device{}),
			eni(2, "eni-2", config.Role("eni-2"), "10.0.0.2", &tables.Device{}),
			eni(3, "eni-3", "i-1", "10.0.0.3", &tables.Device{}),
			eni(4, "eni-4", config.Role("eni-4"), "10.0.0.4", nil),
		},
	}, nil)
	for _, c := range []struct {
		role feed.Role
		uid  int
		want bool
	}{
		{"alb/eni-1", config.FirstUID + 1, true},
		{"alb/eni-1", config.FirstUID + 2, false},
		{"alb/eni-2", config.FirstUID + 2, true},
		{"alb/eni-1", 0, false},
		{"alb/eni-3", config.FirstUID + 3, false}, // not a balancer's
		{"alb/eni-4", config.FirstUID + 4, false}, // nothing runs there
		{"alb/", config.FirstUID, false},
		{"eni-1", config.FirstUID + 1, false},
		{"gateway", config.FirstUID + 1, false},
	} {
		if got := t1.allowBalancer(c.role, c.uid); got != c.want {
			t.Errorf("user %#x as %s: %v", c.uid, c.role, got)
		}
	}
	ask := json.RawMessage(`{"source":"10.0.0.2","destination":"10.0.0.9:80"}`)
	for role, want := range map[feed.Role]string{"alb/eni-1": "10.0.0.1", "alb/eni-2": "10.0.0.2"} {
		got, err := t1.explainTo(t.Context(), role, ask)
		if err != nil {
			t.Fatal(err)
		}
		r := got.(Packet)
		if len(r.Steps) == 0 || r.Verdict == "" {
			t.Fatalf("%s was told %+v", role, r)
		}
		// Whatever source it names, the packet is its own.
		now := t1.current.Load()
		direct := now.packet(now.eni(string(role[4:])), probe{source: netip.MustParseAddr(want), to: netip.MustParseAddrPort("10.0.0.9:80"), protocol: tables.TCP})
		if direct.Cause != r.Cause || direct.Verdict != r.Verdict {
			t.Errorf("%s was told %+v, want %+v", role, r, direct)
		}
	}
	for _, role := range []feed.Role{"alb/eni-3", "alb/eni-4", "health", "node"} {
		if got, err := t1.explainTo(t.Context(), role, ask); err == nil {
			t.Errorf("%s was told %+v", role, got)
		}
	}
}
