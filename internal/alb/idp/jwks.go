package idp

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// AWS's limits of a key set ("JWT validation limits" in the user guide).
const (
	maxKeySet = 150_000 // bytes
	maxKeys   = 10
)

// When keys are asked for again.
const (
	keysFresh = 10 * time.Minute // after which they are
	keysGood  = time.Hour        // for so long they are used if there is no answer
	keysAgain = 10 * time.Second // for a key that is not among them
	// After a failure, and twice as late after each further one, up to the most.
	keysBackoff, keysBackoffMost = time.Second, 32 * time.Second
)

// KeySet is what is published at a URL of the keys with which an issuer signs.
// It is asked for once at a time, and safe for concurrent use.
type KeySet struct {
	url    string
	client *Client
	now    func() time.Time

	mu      sync.Mutex
	keys    []publicKey
	fetched time.Time     // when the keys came
	tried   time.Time     // when they were asked for last
	failure *Failure      // of that
	backoff time.Duration // after it
	bad     string        // why keys of the set can't be used
	asking  chan struct{} // closed when it has ended; nil if it has
}

// NewKeySet makes a key set, of which nothing is known yet.
func NewKeySet(url string, c *Client) *KeySet { return &KeySet{url: url, client: c, now: time.Now} }

// find returns the keys that a token with a key id may be signed with: all, if
// the id is empty. There may be none.
func (s *KeySet) find(ctx context.Context, id string) ([]*rsa.PublicKey, *Failure) {
	for {
		s.mu.Lock()
		now := s.now()
		found := match(s.keys, id)
		age, since := now.Sub(s.fetched), now.Sub(s.tried)
		again := keysAgain
		if s.failure != nil {
			again = s.backoff
		}
		soon, known, fresh := since < again, age < keysGood, age < keysFresh && len(found) > 0
		if !soon && !fresh && s.asking == nil {
			s.asking = make(chan struct{})
			go s.fetch(s.asking)
		}
		asking, failure := s.asking, s.failure
		s.mu.Unlock()
		switch {
		case known && (soon || len(found) > 0): // which are asked for beside the request
			return found, nil
		case !known && soon && failure != nil:
			return nil, failure
		}
		select {
		case <-asking:
		case <-ctx.Done():
			return nil, &Failure{500, "JWKSRequestTimeout", "client: closed the connection before the keys had come"}
		}
	}
}

func match(keys []publicKey, id string) (found []*rsa.PublicKey) {
	for _, k := range keys {
		if id == "" || k.id == id {
			found = append(found, k.rsa)
		}
	}
	return found
}

// fetch asks for the keys. Whoever waits for them may leave meanwhile.
func (s *KeySet) fetch(done chan struct{}) {
	keys, bad, failure := s.download()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.asking = s.now(), nil
	switch {
	case failure != nil && s.failure == nil:
		s.backoff = keysBackoff
		s.client.log.Warn("keys not fetched", "url", s.url, "error", failure.Cause)
	case failure != nil:
		s.backoff = min(2*s.backoff, keysBackoffMost)
	default:
		s.keys, s.fetched = keys, s.tried
		if bad != "" && bad != s.bad {
			s.client.log.Warn("keys left out", "url", s.url, "error", bad)
		}
		s.bad = bad
	}
	s.failure = failure
	close(done)
}

// download also says why keys that are published can't be used, if there are
// such.
func (s *KeySet) download() (_ []publicKey, bad string, _ *Failure) {
	r, err := http.NewRequest(http.MethodGet, s.url, nil)
	if err != nil {
		return nil, "", &Failure{500, "JWKSRequestFailed", "identity-provider: " + err.Error()}
	}
	r.Header.Set("Accept", "application/json")
	status, body, timedOut, err := s.client.ask(r, maxKeySet)
	fail := func(reason, text string) ([]publicKey, string, *Failure) {
		return nil, "", &Failure{500, reason, "get the keys at " + s.url + ": " + text}
	}
	switch {
	case errors.Is(err, errTooLarge):
		return fail("JWKSResponseSizeExceeded", fmt.Sprintf("they are more than %d bytes", maxKeySet))
	case timedOut:
		return fail("JWKSRequestTimeout", err.Error())
	case err != nil:
		return fail("JWKSRequestFailed", err.Error())
	case status != http.StatusOK:
		return fail("JWKSRequestFailed", fmt.Sprintf("the answer is %d", status))
	}
	keys, unusable, err := parseKeys(body)
	if err != nil {
		return fail("JWKSRequestFailed", err.Error())
	}
	if unusable != nil {
		bad = unusable.Error()
	}
	return keys, bad, nil
}
