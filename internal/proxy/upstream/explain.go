package upstream

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Explanation says what the network does to a connection.
type Explanation struct {
	Verdict string // a drop reason such as "sg-ingress", or "forwarded"
	Cause   string // in words; empty if nothing is in the way
	// Definitive tells that the network drops every packet of the connection,
	// so that waiting is of no use.
	Definitive bool
}

// Explain traces a connection attempt. The source is not valid if the
// connection is opened from the gateway's own address.
type Explain func(ctx context.Context, src netip.Addr, dst netip.AddrPort) (Explanation, error)

const (
	// explainTimeout bounds a question. The answer is only a help.
	explainTimeout = time.Second
	// explainFresh is how long an answer stands for further questions, so that
	// a flood of failing requests is not one of questions.
	explainFresh = 100 * time.Millisecond
)

// explanations asks about the few paths of a pool, each once at a time.
type explanations struct {
	ask Explain // may be nil

	mu    sync.Mutex
	known map[path]*explanation
}

type explanation struct {
	done  chan struct{} // closed when the answer is there
	value Explanation
	until time.Time
}

func newExplanations(ask Explain) *explanations {
	return &explanations{ask: ask, known: map[path]*explanation{}}
}

// get returns nothing if nobody answers in time.
func (x *explanations) get(ctx context.Context, way path) Explanation {
	if x.ask == nil {
		return Explanation{}
	}
	e := x.current(way)
	select {
	case <-e.done:
		return e.value
	case <-ctx.Done():
		return Explanation{}
	}
}

// current is an answer that is fresh or on its way.
func (x *explanations) current(way path) *explanation {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.known[way]; e != nil {
		select {
		case <-e.done:
			if time.Now().Before(e.until) {
				return e
			}
		default:
			return e
		}
	}
	e := &explanation{done: make(chan struct{})}
	x.known[way] = e
	go func() {
		defer close(e.done)
		ctx, cancel := context.WithTimeout(context.Background(), explainTimeout)
		defer cancel()
		if value, err := x.ask(ctx, way.source, way.destination); err == nil {
			e.value = value
		}
		e.until = time.Now().Add(explainFresh)
	}()
	return e
}
