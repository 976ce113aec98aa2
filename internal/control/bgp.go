package control

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/isthmus-net/isthmus/internal/bgp/config"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// reportBGP stores what the BGP process says of its sessions. Reports about
// virtual interfaces that are gone, or lead nowhere any more, are ignored.
func (c *controller) reportBGP(ctx context.Context, reports []config.Report) (struct{}, error) {
	for _, r := range reports {
		if len(r.Routes) > config.MaxRoutes {
			return struct{}{}, fmt.Errorf("report of %s: more than %d routes", r.Interface, config.MaxRoutes)
		}
		for _, x := range r.Routes {
			if !x.Prefix.Addr().Is4() || x.Prefix != x.Prefix.Masked() {
				return struct{}{}, fmt.Errorf("report of %s: %s is not an IPv4 range", r.Interface, x.Prefix)
			}
		}
	}
	_, err := c.db.Update(ctx, func(tx *store.Tx) error {
		for _, r := range reports {
			v, ok := store.VirtualInterfaces.Get(tx, r.Interface)
			if !ok {
				continue
			}
			if g, ok := store.VPNGateways.Get(tx, v.Gateway); ok && g.VPC != "" {
				storeSession(tx, r, time.Now())
			}
		}
		return nil
	})
	return struct{}{}, err
}

// storeSession makes the row of a session what a report says, and keeps what
// was announced before the session went down, for people to see.
func storeSession(tx *store.Tx, r config.Report, now time.Time) {
	s, ok := store.BGPSessions.Get(tx, r.Interface)
	if !ok {
		s = &resource.BGPSession{Interface: r.Interface}
	}
	if !ok || s.Up != r.Up {
		s.Since = now.UTC().Truncate(time.Millisecond)
	}
	if s.Up && !r.Up {
		s.Withdrawn = prefixes(s.Routes)
	} else if r.Up {
		s.Withdrawn = nil
	}
	s.Up, s.Cause, s.HoldSeconds, s.Routes = r.Up, r.Cause, r.HoldSeconds, nil
	for _, x := range r.Routes {
		s.Routes = append(s.Routes, resource.BGPRoute{Prefix: x.Prefix, Length: x.Length})
	}
	store.BGPSessions.Put(tx, s)
}

func prefixes(routes []resource.BGPRoute) (list []netip.Prefix) {
	for _, r := range routes {
		list = append(list, r.Prefix)
	}
	return list
}

// bgpAway says when to look again for the BGP process, which is not connected.
// Its sessions may go on, or be found again by the next one; but the routes of
// a session are no more if it stays away for longer than the router would wait.
func (c *controller) bgpAway(ctx context.Context, s *store.Snapshot, now time.Time) (time.Duration, error) {
	for _, sub := range c.feed.Subscribers() {
		if sub.Role == roleBGP {
			c.bgpGone = time.Time{}
			return idle, nil
		}
	}
	if c.bgpGone.IsZero() {
		c.bgpGone = now
	}
	again, over := expiring(s, now.Sub(c.bgpGone))
	if len(over) == 0 {
		return again, nil
	}
	_, err := c.db.Update(ctx, func(tx *store.Tx) error {
		for _, id := range over {
			if x, ok := store.BGPSessions.Get(tx, id); ok && x.Up {
				storeSession(tx, config.Report{Interface: id, Cause: "the BGP process is away"}, now)
			}
		}
		return nil
	})
	return again, err
}

// expiring are the sessions whose hold time has passed since the BGP process
// went away, and how long it is until that of the next one has.
func expiring(r store.Reader, away time.Duration) (next time.Duration, over []string) {
	next = idle
	for x := range store.BGPSessions.Scan(r) {
		hold := time.Duration(x.HoldSeconds) * time.Second
		if hold == 0 {
			hold = config.HoldTime
		}
		switch {
		case !x.Up:
		case away >= hold:
			over = append(over, x.Interface)
		default:
			next = min(next, hold-away)
		}
	}
	return next, over
}
