package upstream

import (
	"sync"
	"time"
)

// Clock ends an exchange that makes no progress. It can be paused, and is
// stopped for good once.
type Clock struct {
	mu      sync.Mutex
	timer   *time.Timer
	timeout time.Duration
	stopped bool
}

// NewClock makes a clock that runs.
func NewClock(timeout time.Duration, expired func()) *Clock {
	c := &Clock{timeout: timeout}
	c.timer = time.AfterFunc(timeout, expired)
	return c
}

// Pause stops the time until Resume.
func (c *Clock) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
}

// Resume starts the time anew.
func (c *Clock) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.timer.Reset(c.timeout)
	}
}

// Stop stops the time for good.
func (c *Clock) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.timer.Stop()
}
