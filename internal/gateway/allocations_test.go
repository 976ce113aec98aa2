//go:build !race

package gateway

import "testing"

// A request that is passed on allocates nothing. The race detector would make
// pools forgetful.
func TestAllocations(t *testing.T) {
	for name, exchange := range passedOn(t) {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(1000, exchange); n > 0 {
				t.Errorf("%v allocations for a request", n)
			}
		})
	}
}
