package idp

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// refreshes are those of one node, over all configurations. A client's requests
// come several at a time, while a refresh token may be good only once: so one
// refresh is for all requests with the same token, and for those that are still
// on their way with it.
type refreshes struct {
	mu      sync.Mutex
	byToken map[[sha256.Size]byte]*refresh
}

type refresh struct {
	done    chan struct{} // closed when it has ended, with
	session *Session      // or
	failure *Failure
	until   time.Time // when it is forgotten
}

// refreshKept is how long a refresh is for further requests with the old token.
const refreshKept = 30 * time.Second

// Current is a session whose claims are good now: the one that it is given, or,
// if that is stale, the one in its place, of which the client is to be told.
func (l *Login) Current(ctx context.Context, s *Session) (*Session, *Failure) {
	if !s.stale(l.now()) {
		return s, nil
	}
	all := &l.client.refreshes
	key := sha256.Sum256([]byte(l.ID + s.Refresh))
	all.mu.Lock()
	r := all.byToken[key]
	if r == nil {
		all.forget(l.now())
		r = &refresh{done: make(chan struct{}), until: l.now().Add(refreshKept)}
		all.byToken[key] = r
		go func() {
			defer close(r.done)
			r.session, r.failure = l.refresh(context.Background(), s)
		}()
	}
	all.mu.Unlock()
	select {
	case <-r.done:
		return r.session, r.failure
	case <-ctx.Done():
		return nil, &Failure{500, "AuthTokenEpRequestTimeout", "client: closed the connection before its session was refreshed"}
	}
}

// forget drops what nobody needs any more. The lock is held.
func (r *refreshes) forget(now time.Time) {
	if r.byToken == nil {
		r.byToken = map[[sha256.Size]byte]*refresh{}
	}
	for key, old := range r.byToken {
		if now.After(old.until) {
			delete(r.byToken, key)
		}
	}
}
