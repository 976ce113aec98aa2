package bgp

import (
	"fmt"
	"time"

	"github.com/isthmus-net/isthmus/internal/bgp/config"
)

const (
	// settleTime is how long the routes of a session that has just begun are
	// waited for, if the router does not tell their end (RFC 4724).
	settleTime = time.Second
	// limitPause is how long a router that announced too many routes has to
	// wait before it may connect again.
	limitPause = time.Minute
)

// session is a session that there is, and what was made of it.
type session struct {
	config.Session
	since     time.Time // when it was configured
	begun     time.Time // when it was established; zero: it is not
	complete  bool      // the first routes have come
	overLimit time.Time // when there were too many routes; zero: there are not
	was       bool      // it was established before
}

// observation is the state of a session now.
type observation struct {
	established bool
	tooMany     bool
	cause       cause         // of the last end
	hold        time.Duration // as negotiated; zero: the router may be silent for ever
	routes      []config.Route
}

// next is what an observation makes of a session. known is false while nothing
// can be said: the process may have begun a moment ago, and the router not yet
// have found it again, so that what was known before still holds. again is when
// to look once more if nothing happens; zero: never.
func (s *session) next(o observation, now time.Time) (r config.Report, known bool, again time.Time) {
	r.Interface = s.Interface
	if o.established && len(o.routes) > config.MaxRoutes {
		return r, false, time.Time{} // the server is about to end it
	}
	if o.established {
		if s.begun.IsZero() {
			s.begun, s.was, s.overLimit = now, true, time.Time{}
		}
		if settled := s.begun.Add(settleTime); !s.complete && now.Before(settled) {
			return r, false, settled
		}
		r.Up, r.Routes, r.HoldSeconds = true, o.routes, int(o.hold/time.Second)
		return r, true, time.Time{}
	}
	s.begun, s.complete = time.Time{}, false
	switch {
	case o.tooMany:
		if s.overLimit.IsZero() {
			s.overLimit = now
		}
		s.was = true
		r.Cause = fmt.Sprintf("the router announced more than %d routes", config.MaxRoutes)
		return r, true, s.overLimit.Add(limitPause)
	case !s.overLimit.IsZero():
		r.Cause = fmt.Sprintf("the router announced more than %d routes", config.MaxRoutes)
		return r, true, time.Time{}
	case o.cause.refused:
		r.Cause = o.cause.text
		return r, true, time.Time{}
	case s.was && o.cause.text != "":
		r.Cause = "the session ended: " + o.cause.text
		return r, true, time.Time{}
	case s.was:
		r.Cause = "the session ended"
		return r, true, time.Time{}
	}
	if patience := s.since.Add(config.HoldTime); now.Before(patience) {
		return r, false, patience
	}
	if r.Cause = "no router has connected"; o.cause.text != "" {
		r.Cause = "no session came about: " + o.cause.text
	}
	return r, true, time.Time{}
}

// pardoned says whether a router that announced too many routes has waited
// long enough.
func (s *session) pardoned(o observation, now time.Time) bool {
	return o.tooMany && !s.overLimit.IsZero() && !now.Before(s.overLimit.Add(limitPause))
}
