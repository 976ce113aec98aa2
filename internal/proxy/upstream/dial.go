package upstream

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/isthmus-net/isthmus/internal/proxy/way"
	"github.com/isthmus-net/isthmus/internal/source"
)

// path is one way to open a connection.
type path struct {
	source      netip.Addr // not valid: any
	destination netip.AddrPort
}

// paths are the ways of an upstream: each destination once, from a source in
// its own zone if there is one. They are rotated by turn, so that connections
// spread over destinations and sources.
func paths(u *way.Upstream, turn uint64) []path {
	ways := make([]path, 0, len(u.Destinations))
	for i := range u.Destinations {
		d := u.Destinations[(uint64(i)+turn)%uint64(len(u.Destinations))]
		p := path{destination: d.Address}
		for j := range u.Sources {
			s := u.Sources[(uint64(j)+turn)%uint64(len(u.Sources))]
			if !p.source.IsValid() || s.Zone == d.Zone {
				p.source = s.Address
			}
			if s.Zone == d.Zone {
				break
			}
		}
		ways = append(ways, p)
	}
	return ways
}

// Dialing says how connections are opened.
type Dialing struct {
	// Explain may be nil: then causes are what the sockets say.
	Explain Explain
	// ExplainAfter is how long a connection may take before the network is
	// asked; default 200 ms.
	ExplainAfter time.Duration
	// WaitOnDrop waits for the timeout even if the network drops the
	// connection for a known cause, as AWS does.
	WaitOnDrop bool
	// NextAfter is how long a destination may stay silent before the next one
	// is tried; default 3 s. The last one is given all the time there is.
	NextAfter time.Duration
	// ConnectTimeout bounds the whole attempt, for as long as the request
	// itself would wait; default 60 s.
	ConnectTimeout time.Duration

	explanations *explanations
}

func (d *Dialing) setDefaults() {
	if d.ExplainAfter == 0 {
		d.ExplainAfter = 200 * time.Millisecond
	}
	if d.NextAfter == 0 {
		d.NextAfter = 3 * time.Second
	}
	if d.ConnectTimeout == 0 {
		d.ConnectTimeout = 60 * time.Second
	}
	d.explanations = newExplanations(d.Explain)
}

// dial opens a connection by the first of the paths that works, for a request
// whose context it is given.
func (d *Dialing) dial(request context.Context, ways []path) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(request, d.ConnectTimeout)
	defer cancel()
	failed := &Error{Unavailable, "vpc-link", "no address to connect to"}
	for i, way := range ways {
		budget := d.NextAfter
		if i == len(ways)-1 {
			budget = d.ConnectTimeout
		}
		conn, err := d.try(ctx, request, way, budget)
		if err == nil {
			return conn, nil
		}
		// A cause from the network says more than a bare timeout.
		if i == 0 || failed.Kind != Unavailable {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// try opens a connection by one path, and asks the network while there is no
// answer.
func (d *Dialing) try(ctx, request context.Context, way path, budget time.Duration) (net.Conn, *Error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()

	type result struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan result, 1)
	go func() {
		dialer := source.Dialer(way.source)
		dialer.KeepAlive = 15 * time.Second
		conn, err := dialer.DialContext(ctx, "tcp", way.destination.String())
		dialled <- result{conn, err}
	}()

	pause := d.ExplainAfter
	ask := time.NewTimer(pause)
	defer ask.Stop()
	answers := make(chan Explanation, 1)
	var known Explanation // what the network said last
	for {
		select {
		case r := <-dialled:
			if r.err == nil {
				return r.conn, nil
			}
			return nil, d.refused(request, way, r.err, known)
		case <-ask.C:
			go func() { answers <- d.explanations.get(ctx, way) }()
		case e := <-answers:
			if known = e; e.Definitive && !d.WaitOnDrop {
				cancel()
				if r := <-dialled; r.err == nil { // the connection was faster after all
					return r.conn, nil
				}
				return nil, &Error{Unavailable, e.Verdict, e.Cause}
			}
			pause *= 2
			ask.Reset(pause) // rules may change while the connection waits
		}
	}
}

// refused is the error of a connection that was not opened.
func (d *Dialing) refused(request context.Context, way path, err error, e Explanation) *Error {
	text := dialCause(err)
	silent := text == "no answer"
	ended := context.Cause(request)
	if e.Cause == "" && ended == nil {
		e = d.explanations.get(request, way)
	}
	switch {
	case e.Cause != "" && (silent && d.WaitOnDrop || ended != nil):
		return &Error{Timeout, e.Verdict, e.Cause}
	case ended != nil:
		return &Error{Timeout, "connect", "no answer from " + way.destination.String() + " in time"}
	case e.Cause != "" && e.Definitive:
		return &Error{Unavailable, e.Verdict, e.Cause}
	case e.Cause != "":
		return &Error{Network, e.Verdict, e.Cause}
	case silent:
		return &Error{Timeout, "connect", "no answer from " + way.destination.String()}
	}
	return &Error{Network, "connect", way.destination.String() + ": " + text}
}
