package http1

import "time"

// patience is a deadline of one direction of a connection that is set anew only
// when it has become too short: setting one for each message costs more than
// its exactness is worth. It never ends early, and at most an eighth late.
type patience struct {
	set   func(time.Time) error
	until time.Time
}

// allow gives the direction a time from now on; 0 is without end.
func (p *patience) allow(d time.Duration) {
	if d == 0 {
		if !p.until.IsZero() {
			p.until = time.Time{}
			p.set(p.until)
		}
		return
	}
	now := time.Now()
	if left := p.until.Sub(now); left >= d && left <= d+d/4 {
		return
	}
	p.until = now.Add(d + d/8)
	p.set(p.until)
}

// restart sets the deadline exactly.
func (p *patience) restart(d time.Duration) {
	p.until = time.Now().Add(d)
	p.set(p.until)
}

// forget is called when somebody else has set the deadline.
func (p *patience) forget() { p.until = time.Time{} }
