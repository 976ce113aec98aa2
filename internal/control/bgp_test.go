package control

import (
	"slices"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/bgp/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// TestExpiringSessions: each session outlives the BGP process by its own hold
// time.
func TestExpiringSessions(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		for _, s := range []resource.BGPSession{
			{Interface: "dxvif-1", Up: true, HoldSeconds: 30}, {Interface: "dxvif-2", Up: true}, {Interface: "dxvif-3", HoldSeconds: 3},
		} {
			store.BGPSessions.Put(tx, &s)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		away, next time.Duration
		over       []string
	}{
		{0, 30 * time.Second, nil},
		{29 * time.Second, time.Second, nil},
		{30 * time.Second, config.HoldTime - 30*time.Second, []string{"dxvif-1"}},
		{config.HoldTime, idle, []string{"dxvif-1", "dxvif-2"}},
	} {
		if next, over := expiring(db.View(), c.away); next != c.next || !slices.Equal(over, c.over) {
			t.Errorf("away for %s: next in %s, over are %v; want %s, %v", c.away, next, over, c.next, c.over)
		}
	}
}
