package http1

import (
	"crypto/tls"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1/breath"
)

// turns of something that costs much, or comes in bursts: behind each, or several,
// all others of the process have theirs, with those whose sockets have become
// ready meanwhile.
type turns struct {
	atOnce int // how many are taken one behind the other

	mu      sync.Mutex
	between *breath.Breath
	left    int // of those at once
}

// longBreath is the time that others have behind which as many turns more are
// taken at once: where others are many, these have their part of the time all the
// same.
const longBreath = time.Millisecond

// newTurns are to be taken until end is called; then, others have theirs as far
// as the runtime already knows that they can run.
func newTurns(atOnce int) (t *turns, end func()) {
	t = &turns{atOnce: atOnce}
	t.between, end = breath.New()
	return t, end
}

// take comes back when it is the caller's turn.
func (t *turns) take() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left--; t.left <= 0 {
		began := clock()
		t.between.Take()
		t.left = t.atOnce * (1 + int(time.Duration(clock()-began)/longBreath))
	}
}

// inTurn is c, but each handshake takes one of the turns before it answers
// the client's hello: what it does then is hundreds of times as dear as a turn of
// a connection that is open.
func (t *turns) inTurn(c *tls.Config) *tls.Config {
	choose := c.GetConfigForClient
	c = c.Clone()
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		t.take()
		// That may have been too long for this one.
		if err := hello.Context().Err(); err != nil || choose == nil {
			return nil, err
		}
		return choose(hello)
	}
	return c
}
