package bpf

import (
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestDropReasons holds the words to the enum that the program was compiled with.
func TestDropReasons(t *testing.T) {
	spec, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	var enum *btf.Enum
	if err := spec.Types.TypeByName("drop_reason", &enum); err != nil {
		t.Fatal(err)
	}
	if got, want := len(enum.Values), int(DropReasons)+1; got != want {
		t.Fatalf("enum drop_reason has %d values, want %d", got, want)
	}
	for _, v := range enum.Values[:DropReasons] {
		name, ok := strings.CutPrefix(v.Name, "DROP_")
		if !ok {
			t.Fatalf("value %s is not named DROP_…", v.Name)
		}
		want := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if v.Name == "DROP_NONE" {
			want = "forwarded"
		}
		if got := DropReason(v.Value).String(); got != want {
			t.Errorf("DropReason(%d) is %q, want %q", v.Value, got, want)
		}
	}
	if got, want := DropReasons.String(), "drop-reason-22"; got != want {
		t.Errorf("a reason beyond the enum is %q, want %q", got, want)
	}
}

func TestAddrFrom(t *testing.T) {
	for _, s := range []string{"10.0.0.1", "255.255.255.255", "::", "2001:db8::1"} {
		if got := AddrFrom(netip.MustParseAddr(s)).Netip().String(); got != s {
			t.Errorf("AddrFrom(%s).Netip() = %s", s, got)
		}
	}
	if got := AddrFrom(netip.Addr{}); got != (Addr{}) {
		t.Errorf("AddrFrom of no address = %v, want zero", got)
	}
}

func TestRouterMAC(t *testing.T) {
	header, err := os.ReadFile("types.h")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`#define ROUTER_MAC \{(.*)\}`).FindSubmatch(header)
	if m == nil {
		t.Fatal("types.h defines no ROUTER_MAC")
	}
	got := strings.NewReplacer("0x", "", ", ", ":").Replace(string(m[1]))
	if got != RouterMAC.String() {
		t.Errorf("ROUTER_MAC is %s, RouterMAC is %s", got, RouterMAC)
	}
}
