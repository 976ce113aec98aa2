package bgp

import (
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/bgp/config"
)

// TestNext: what is reported of a session, as time goes on.
func TestNext(t *testing.T) {
	begin := time.Unix(1000, 0)
	up, down := observation{established: true}, observation{}
	over := observation{tooMany: true}
	for name, steps := range map[string][]struct {
		after    time.Duration
		seen     observation
		complete bool   // the end of the first routes was told
		want     string // up, down or unknown
		cause    string
	}{
		"routes are complete": {
			{0, down, false, "unknown", ""}, {time.Second, up, true, "up", ""}, {2 * time.Second, down, false, "down", "the session ended"},
		},
		"a router that does not tell the end of its routes": {
			{0, up, false, "unknown", ""}, {settleTime - 1, up, false, "unknown", ""}, {settleTime, up, false, "up", ""},
		},
		"nobody connects": {
			{config.HoldTime - 1, down, false, "unknown", ""}, {config.HoldTime, down, false, "down", "no router has connected"},
		},
		"too many routes": {
			{0, up, true, "up", ""}, {1, observation{established: true, routes: make([]config.Route, config.MaxRoutes+1)}, true, "unknown", ""}, {1, over, false, "down", "more than 100 routes"}, {2, down, false, "down", "more than 100 routes"}, {3, up, true, "up", ""},
		},
		"why it ended": {
			{0, up, true, "up", ""}, {1, observation{cause: cause{text: "nothing came"}}, false, "down", "the session ended: nothing came"},
		},
		"why it did not begin": {
			{0, down, false, "unknown", ""}, {1, observation{cause: cause{text: "lost"}}, false, "unknown", ""},
			{config.HoldTime, observation{cause: cause{text: "lost"}}, false, "down", "no session came about: lost"},
		},
		"a router of another AS": {
			{0, down, false, "unknown", ""}, {1, observation{cause: cause{"of another AS", true}}, false, "down", "of another AS"}, {2, up, true, "up", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &session{since: begin}
			for i, step := range steps {
				s.complete = s.complete || step.complete
				r, known, _ := s.next(step.seen, begin.Add(step.after))
				got := "unknown"
				if known {
					got = map[bool]string{true: "up", false: "down"}[r.Up]
				}
				if got != step.want || !strings.Contains(r.Cause, step.cause) {
					t.Errorf("step %d: %s %+v, want %s %q", i, got, r, step.want, step.cause)
				}
			}
		})
	}
}

func TestPardon(t *testing.T) {
	begin, over := time.Unix(1000, 0), observation{tooMany: true}
	s := &session{since: begin}
	if _, _, again := s.next(over, begin); again != begin.Add(limitPause) {
		t.Errorf("looks again at %s", again)
	}
	if s.pardoned(over, begin.Add(limitPause-1)) || !s.pardoned(over, begin.Add(limitPause)) {
		t.Error("the pause is not kept")
	}
}
