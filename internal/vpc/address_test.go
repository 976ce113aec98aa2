package vpc

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	"pgregory.net/rapid"
)

// TestAllocation runs random allocations and releases on a subnet and compares
// each outcome with a plain set of addresses.
func TestAllocation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(22, 28).Draw(t, "bits")
		base := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 255).Draw(t, "net")), 252, 0})
		s := &resource.Subnet{CIDR: netip.PrefixFrom(base, bits).Masked()}
		n := size(s.CIDR)
		taken := map[netip.Addr]bool{}
		check := func() {
			if got, want := FreeAddresses(s), n-5-len(taken); got != want {
				t.Fatalf("%d free addresses, want %d", got, want)
			}
			if k := len(s.Taken); k > 0 && s.Taken[k-1] == 0 {
				t.Fatal("the bitmap ends with a zero byte")
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"any": func(t *rapid.T) {
				a, err := takeAddress(s, netip.Addr{})
				if len(taken) == n-5 {
					if !errors.Is(err, ErrNoAddress) {
						t.Fatalf("full subnet: got %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for i := 4; i < n-1; i++ {
					if w := addressAt(s.CIDR, i); !taken[w] {
						if a != w {
							t.Fatalf("got %s, want the first free address %s", a, w)
						}
						break
					}
				}
				taken[a] = true
				check()
			},
			"fill": func(t *rapid.T) {
				for range rapid.IntRange(0, n).Draw(t, "count") {
					a, err := takeAddress(s, netip.Addr{})
					if err != nil {
						break
					}
					if taken[a] {
						t.Fatalf("%s was given out twice", a)
					}
					taken[a] = true
				}
				check()
			},
			"wanted": func(t *rapid.T) {
				i := rapid.IntRange(-2, n+1).Draw(t, "index")
				a := addressAt(s.CIDR, i)
				got, err := takeAddress(s, a)
				want := ""
				switch {
				case i < 4 || i >= n-1:
					want = "InvalidParameterValue"
				case taken[a]:
					want = "InvalidIPAddress.InUse"
				}
				if code(err) != want {
					t.Fatalf("take %s: got %v, want code %q", a, err, want)
				}
				if err == nil {
					if got != a {
						t.Fatalf("got %s, want %s", got, a)
					}
					taken[a] = true
				}
				check()
			},
			"release": func(t *rapid.T) {
				a := addressAt(s.CIDR, rapid.IntRange(-2, n+1).Draw(t, "index"))
				releaseAddress(s, a)
				delete(taken, a)
				check()
			},
		})
	})
}

// code is the code of an AWS error, empty for none.
func code(err error) string {
	if err == nil {
		return ""
	}
	var e *wire.Error
	if !errors.As(err, &e) {
		return "not an AWS error: " + err.Error()
	}
	return e.Code
}

func BenchmarkAllocation(b *testing.B) {
	for b.Loop() {
		s := &resource.Subnet{CIDR: netip.MustParsePrefix("10.0.0.0/16")}
		for range 5000 {
			if _, err := takeAddress(s, netip.Addr{}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
