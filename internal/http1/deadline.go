package http1

import "time"

// patience is a deadline of one direction of a connection that is set anew only
// when it has become too short: setting one for each message costs more than
// its exactness is worth. It never ends early, and at most an eighth late.
type patience struct {
	set   func(time.Time) error
	until int64 // by clock; 0 is without end
}

// allow gives the direction a time from now on; 0 is without end.
func (p *patience) allow(d time.Duration) { p.allowAt(clock(), d) }

// allowAt does so where now is known by clock.
func (p *patience) allowAt(now int64, d time.Duration) {
	if d == 0 {
		if p.until != 0 {
			p.until = 0
			p.set(time.Time{})
		}
		return
	}
	if left := time.Duration(p.until - now); p.until == 0 || left < d || left > d+d/4 {
		p.restart(d + d/8)
	}
}

// restart sets the deadline exactly.
func (p *patience) restart(d time.Duration) {
	p.until = clock() + int64(d)
	p.set(time.Now().Add(d))
}

// forget is called when somebody else has set the deadline.
func (p *patience) forget() { p.until = 0 }
