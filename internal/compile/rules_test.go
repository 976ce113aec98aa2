package compile

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/tables"
)

// TestRuleSetAllowsWhatRulesAllow compares the longest prefix of the compiled
// set with asking every rule.
func TestRuleSetAllowsWhatRulesAllow(t *testing.T) {
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{10, 0, rapid.SampledFrom([]byte{0, 1, 128}).Draw(t, "b"), rapid.Byte().Draw(t, "c")})
	})
	rapid.Check(t, func(t *rapid.T) {
		var grants []grant
		for range rapid.IntRange(0, 6).Draw(t, "rules") {
			p, err := address.Draw(t, "address").Prefix(rapid.SampledFrom([]int{0, 8, 16, 24, 30, 32}).Draw(t, "bits"))
			if err != nil {
				t.Fatal(err)
			}
			low := rapid.Uint16().Draw(t, "low")
			grants = append(grants, grant{
				prefixes: []netip.Prefix{p},
				ranges: []tables.Range{{
					Protocol: rapid.SampledFrom([]uint8{tables.ICMP, tables.TCP, tables.UDP}).Draw(t, "protocol"),
					Low:      low, High: rapid.Uint16Range(low, 65535).Draw(t, "high"),
				}},
			})
		}
		set, open := ruleSet(grants)
		for _, p := range set.Prefixes {
			for i := 1; i < len(p.Ranges); i++ {
				a, b := p.Ranges[i-1], p.Ranges[i]
				if a.Protocol > b.Protocol || a.Protocol == b.Protocol && a.High >= b.Low {
					t.Fatalf("%v: %v does not come before %v", p.Prefix, a, b)
				}
			}
		}
		ports := []uint16{0, 80, 65535}
		for _, g := range grants {
			ports = append(ports, g.ranges[0].Low, g.ranges[0].High, g.ranges[0].Low-1, g.ranges[0].High+1)
		}
		for range 10 {
			a := address.Draw(t, "peer")
			for _, protocol := range []uint8{tables.ICMP, tables.TCP, tables.UDP} {
				for _, port := range ports {
					var want, wantOpen bool
					for _, g := range grants {
						if r := g.ranges[0]; g.prefixes[0].Contains(a) && r.Protocol == protocol && r.Low <= port && port <= r.High {
							want, wantOpen = true, wantOpen || g.prefixes[0].Bits() == 0
						}
					}
					got, gotOpen := ask(set, a, protocol, port)
					if got != want || gotOpen != wantOpen {
						t.Fatalf("%v proto %d port %d: %v open %v, want %v open %v", a, protocol, port, got, gotOpen, want, wantOpen)
					}
				}
			}
		}
		if open && len(grants) < 3 {
			t.Fatalf("%d single-protocol rules allow everything", len(grants))
		}
	})
}

// ask looks up as the data plane does.
func ask(set tables.RuleSet, a netip.Addr, protocol uint8, port uint16) (allowed, open bool) {
	var best tables.RulePrefix
	best.Prefix = netip.PrefixFrom(a, 0)
	for _, p := range set.Prefixes {
		if p.Prefix.Contains(a) && p.Prefix.Bits() >= best.Prefix.Bits() {
			best = p
		}
	}
	i := slices.IndexFunc(best.Ranges, func(r tables.Range) bool {
		return r.Protocol == protocol && r.Low <= port && port <= r.High
	})
	return i >= 0, i >= 0 && best.Ranges[i].Open
}

func TestRuleRanges(t *testing.T) {
	all := func(p uint8) tables.Range { return tables.Range{Protocol: p, High: 65535} }
	for _, c := range []struct {
		name string
		rule resource.SecurityGroupRule
		want []tables.Range
	}{
		{"everything", resource.SecurityGroupRule{Protocol: "-1", From: -1, To: -1}, []tables.Range{all(1), all(6), all(17)}},
		{"tcp port", resource.SecurityGroupRule{Protocol: "tcp", From: 80, To: 80}, []tables.Range{{Protocol: 6, Low: 80, High: 80}}},
		{"by number", resource.SecurityGroupRule{Protocol: "17", From: 53, To: 54}, []tables.Range{{Protocol: 17, Low: 53, High: 54}}},
		{"icmp all", resource.SecurityGroupRule{Protocol: "icmp", From: -1, To: -1}, []tables.Range{all(1)}},
		{"icmp type", resource.SecurityGroupRule{Protocol: "icmp", From: 8, To: -1}, []tables.Range{{Protocol: 1, Low: 8 << 8, High: 8<<8 | 255}}},
		{"icmp type and code", resource.SecurityGroupRule{Protocol: "icmp", From: 3, To: 4}, []tables.Range{{Protocol: 1, Low: 3<<8 | 4, High: 3<<8 | 4}}},
		{"not carried", resource.SecurityGroupRule{Protocol: "50", From: -1, To: -1}, nil},
	} {
		if got := ruleRanges(&c.rule); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestEverybody: an allow-all rule makes a set open; no rule at all makes a
// set that allows nothing and is not the set of no groups.
func TestEverybody(t *testing.T) {
	set, open := ruleSet([]grant{{[]netip.Prefix{everywhere}, ruleRanges(&resource.SecurityGroupRule{Protocol: "-1"})}})
	if !open || set.ID == 0 {
		t.Errorf("allow all: open %v, id %d", open, set.ID)
	}
	none, open := ruleSet(nil)
	if open || none.ID == 0 || none.ID == set.ID {
		t.Errorf("no rules: open %v, id %d", open, none.ID)
	}
}
