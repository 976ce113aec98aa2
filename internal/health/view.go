package health

import (
	"fmt"
	"time"
)

// Outcome is the result of one probe. The zero Outcome is success.
type Outcome struct {
	Reason      string
	Description string
}

// passed reports whether the target answered as it should.
func (o Outcome) passed() bool { return o.Reason == "" }

// inconclusive reports whether the probe failed on our side, and so says
// nothing of the target.
func (o Outcome) inconclusive() bool { return o.Reason == ReasonInternal }

// view is what one node thinks of one target. The zero view is that of a
// target that was never probed.
type view struct {
	state   string    // "" stands for Initial
	first   time.Time // when the first conclusive probe ended
	streak  int       // probes in a row that contradict the state; of Initial, failures
	stalled int       // inconclusive probes in a row
	cause   Outcome   // why it is unhealthy, or not healthy yet
}

// firstRetry is the delay after the first failure of an initial check, and
// after the first probe that could not be sent; it doubles with each further
// one.
const firstRetry = 250 * time.Millisecond

// next is the view after a probe of c ended at now with outcome o.
func (v view) next(o Outcome, c *Check, now time.Time) view {
	if o.inconclusive() {
		v.stalled++
		if v.state == "" {
			v.cause = o
		}
		return v
	}
	v.stalled = 0
	if v.first.IsZero() {
		v.first = now
	}
	switch {
	case o.passed() && v.state == Unhealthy:
		if v.streak++; v.streak >= c.HealthyThreshold {
			return view{state: Healthy, first: v.first}
		}
	case o.passed():
		return view{state: Healthy, first: v.first}
	case v.state == Unhealthy:
		v.streak, v.cause = 0, o
	default:
		if v.streak++; v.streak >= c.UnhealthyThreshold && (v.state == Healthy || v.failedLongEnough(c, now)) {
			return view{state: Unhealthy, first: v.first, cause: o}
		}
		if v.state == "" {
			v.cause = o
		}
	}
	return v
}

// failedLongEnough reports whether an initial check has been failing for as
// long as UnhealthyThreshold probes take at the interval. The tenth that is
// taken off allows for the jitter of the probes.
func (v view) failedLongEnough(c *Check, now time.Time) bool {
	needed := time.Duration(c.UnhealthyThreshold-1) * c.Interval
	return now.Sub(v.first) >= needed-needed/10
}

// delay is the time from the start of the last probe of c to the next.
func (v view) delay(c *Check) time.Duration {
	retries := v.stalled
	if v.state == "" {
		retries += v.streak
	}
	if retries == 0 {
		return c.Interval
	}
	delay := firstRetry
	for range retries - 1 {
		if delay *= 2; delay >= c.Interval {
			break
		}
	}
	return min(delay, c.Interval)
}

// merge makes one report of the views of a target's nodes. It is false while
// there is nothing to tell.
func merge(views []view) (state, reason, description string, ok bool) {
	var healthy, unhealthy int
	var cause Outcome // of the first unhealthy node, else of the first that fails
	for _, v := range views {
		switch {
		case v.state == Healthy:
			healthy++
		case v.state == Unhealthy:
			if unhealthy++; unhealthy == 1 {
				cause = v.cause
			}
		case cause == Outcome{}:
			cause = v.cause
		}
	}
	switch {
	case unhealthy > 0 && unhealthy < len(views):
		description := fmt.Sprintf("%s (%d of %d load balancer nodes)", cause.Description, unhealthy, len(views))
		return Unhealthy, cause.Reason, description, true
	case unhealthy > 0:
		return Unhealthy, cause.Reason, cause.Description, true
	case healthy > 0:
		return Healthy, "", "", true
	case cause != Outcome{}:
		return Initial, ReasonInitial, "Initial health checks in progress: " + cause.Description, true
	default:
		return "", "", "", false
	}
}
