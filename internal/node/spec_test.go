package node

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-net/isthmus/internal/tables"
)

func TestWanted(t *testing.T) {
	a := host(2, "10.0.0.5")
	a.Addresses = append(a.Addresses, netip.MustParseAddr("10.0.0.99"))
	plain := host(3, "10.0.0.6")
	plain.Device = nil
	specs, problems := wanted(vpc(
		attached(9, "10.0.0.7", "/run/netns/x"), a, plain,
		natSource(4, "10.0.0.50", 2, 3), natSource(5, "10.0.0.40", 2, 3), natSource(6, "10.0.0.41", 3, 3),
	), "/run/i")
	if len(problems) > 0 || len(specs) != 2 {
		t.Fatalf("%v, %v", specs, problems)
	}
	first, second := specs[0], specs[1]
	if first.number != 2 || !first.own || first.netns != "/run/i/netns/eni-0002" || first.router() != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("%+v", first)
	}
	want := []netip.Addr{netip.MustParseAddr("10.0.0.40"), netip.MustParseAddr("10.0.0.50"), netip.MustParseAddr("10.0.0.99")}
	if !slices.Equal(first.extra, want) {
		t.Errorf("addresses %v, want %v", first.extra, want)
	}
	if second.number != 9 || second.own || second.netns != "/run/netns/x" || len(second.extra) != 0 {
		t.Errorf("%+v", second)
	}
	if len(first.locals) != 1 {
		t.Errorf("ranges %v", first.locals)
	}
}

// TestSource: programs send from a NAT source if the ENI says so, which must be
// one that it carries.
func TestSource(t *testing.T) {
	a, b := host(2, "10.0.0.5"), host(3, "10.0.0.6")
	a.Device.Source, b.Device.Source = netip.MustParseAddr("10.0.0.50"), netip.MustParseAddr("10.0.0.50")
	specs, problems := wanted(vpc(a, b, natSource(4, "10.0.0.50", 2, 3)), "/run/i")
	if len(specs) != 1 || specs[0].source != a.Device.Source || problems[3] == nil {
		t.Errorf("%+v, %v", specs, problems)
	}
}

func TestDifference(t *testing.T) {
	addrs := rapid.Custom(func(t *rapid.T) []netip.Addr {
		var list []netip.Addr
		for _, b := range rapid.SliceOfDistinct(rapid.Byte(), rapid.ID).Draw(t, "bytes") {
			list = append(list, netip.AddrFrom4([4]byte{10, 0, 0, b}))
		}
		slices.SortFunc(list, netip.Addr.Compare)
		return list
	})
	rapid.Check(t, func(t *rapid.T) {
		have, want := addrs.Draw(t, "have"), addrs.Draw(t, "want")
		add, remove := difference(have, want)
		got := slices.DeleteFunc(slices.Clone(have), func(a netip.Addr) bool { return slices.Contains(remove, a) })
		got = append(got, add...)
		slices.SortFunc(got, netip.Addr.Compare)
		if !slices.Equal(got, want) {
			t.Fatalf("%v + %v - %v = %v, want %v", have, add, remove, got, want)
		}
		for _, a := range remove {
			if !slices.Contains(have, a) || slices.Contains(want, a) {
				t.Fatalf("%v is removed", a)
			}
		}
	})
}

func TestNumberOf(t *testing.T) {
	for name, want := range map[string]uint32{"eni0": 0, "eni12": 12, "eni4294967295": 4294967295} {
		if n, ok := numberOf(name); !ok || n != want {
			t.Errorf("%s: %d, %v", name, n, ok)
		}
	}
	for _, name := range []string{"", "lo", "eth0", "eni", "eni-1", "eni+1", "eni01", "eni4294967296", "eni1x", "xeni1"} {
		if n, ok := numberOf(name); ok {
			t.Errorf("%s: %d", name, n)
		}
	}
}

func TestCheckDevice(t *testing.T) {
	for name, spoil := range map[string]func(*tables.ENI){
		"no number":   func(e *tables.ENI) { e.Number = 0 },
		"big number":  func(e *tables.ENI) { e.Number = 1<<31 + 1 },
		"no id":       func(e *tables.ENI) { e.ID = "" },
		"path":        func(e *tables.ENI) { e.ID = "eni-/../fabric" },
		"the fabric":  func(e *tables.ENI) { e.ID = "fabric" },
		"kind":        func(e *tables.ENI) { e.Kind = tables.NAT },
		"no subnet":   func(e *tables.ENI) { e.Subnet = netip.Prefix{} },
		"IPv6 subnet": func(e *tables.ENI) { e.Subnet = netip.MustParsePrefix("fd00::/64") },
		"no address":  func(e *tables.ENI) { e.Addresses = nil },
		"bad address": func(e *tables.ENI) { e.Addresses = []netip.Addr{{}} },
		"no MAC":      func(e *tables.ENI) { e.MAC = [6]byte{} },
	} {
		e := host(1, "10.0.0.5")
		if err := checkDevice(e); err != nil {
			t.Fatal(err)
		}
		if spoil(&e); checkDevice(e) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
