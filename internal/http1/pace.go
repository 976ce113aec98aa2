package http1

import "time"

// Pace is how a client sends a body or takes one. It may make the server wait
// for each piece, but not for long over all: single bytes, each in time, would
// hold a request for ever. Time in which the server waits for anybody else is
// not held against it. The zero value is the beginning of a body.
type Pace struct {
	moved  int64 // bytes
	waited time.Duration
}

// Patience is how long the next piece may be waited for.
func (p *Pace) Patience(o *Options) time.Duration {
	credit := o.StallTimeout + time.Duration(p.moved/o.MinRate)*time.Second
	return min(o.StallTimeout, credit-p.waited)
}

// Move counts a piece of so many bytes, and what was waited for it.
func (p *Pace) Move(bytes int, waited time.Duration) {
	p.moved += int64(bytes)
	p.waited += waited
}
