package e2e

import (
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/test/calls"
)

// TestPrivateAPIAtRate: a private API is called from three VPCs with the same
// addresses, through three endpoints; each answer names the right ones.
func TestPrivateAPIAtRate(t *testing.T) {
	m := start(t)
	s, err := calls.New(t.Context(), m, accountA, accountA, accountB, accountC)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, load := range map[string]calls.Load{
		"kept connections":                {Rate: 500, Duration: 3 * time.Second},
		"a new connection for every call": {Rate: 100, Duration: 3 * time.Second, NewConnections: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.Run(t.Context(), load)
			if r.Failed > 0 {
				t.Errorf("%d of %d calls failed: %q", r.Failed, r.Calls, r.Failures)
			}
			if len(r.Latencies) != load.Rate*int(load.Duration/time.Second) {
				t.Errorf("%d calls were made", len(r.Latencies))
			}
		})
	}
}
