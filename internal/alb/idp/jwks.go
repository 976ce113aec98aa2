package idp

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
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
	keysFresh   = 10 * time.Minute // after which they are
	keysGood    = time.Hour        // for so long they are used if there is no answer
	keysAgain   = 10 * time.Second // for a key that is not among them
	keysBackoff = time.Second      // after a failure
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
	asking  chan struct{} // closed when it has ended; nil if it has
}

type publicKey struct {
	id  string
	rsa *rsa.PublicKey
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
			again = keysBackoff
		}
		soon := since < again
		switch known := age < keysGood; {
		case known && (soon || age < keysFresh && len(found) > 0):
			s.mu.Unlock()
			return found, nil
		case !known && soon && s.failure != nil:
			defer s.mu.Unlock()
			return nil, s.failure
		}
		asking := s.asking
		if asking == nil {
			asking = make(chan struct{})
			s.asking = asking
			go s.fetch(asking)
		}
		s.mu.Unlock()
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
	keys, failure := s.download()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.failure, s.asking = s.now(), failure, nil
	if failure == nil {
		s.keys, s.fetched = keys, s.tried
	}
	close(done)
}

func (s *KeySet) download() ([]publicKey, *Failure) {
	r, err := http.NewRequest(http.MethodGet, s.url, nil)
	if err != nil {
		return nil, &Failure{500, "JWKSRequestFailed", "identity-provider: " + err.Error()}
	}
	r.Header.Set("Accept", "application/json")
	status, body, timedOut, err := s.client.ask(r, maxKeySet)
	fail := func(reason, text string) ([]publicKey, *Failure) {
		return nil, &Failure{500, reason, "get the keys at " + s.url + ": " + text}
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
	keys, err := parseKeys(body)
	if err != nil {
		return fail("JWKSRequestFailed", err.Error())
	}
	return keys, nil
}

// parseKeys reads a key set (RFC 7517). Keys that can't verify RS256 are left
// out.
func parseKeys(body []byte) ([]publicKey, error) {
	var set struct {
		Keys []struct {
			Type      string `json:"kty"`
			ID        string `json:"kid"`
			Use       string `json:"use"`
			Algorithm string `json:"alg"`
			N         string `json:"n"`
			E         string `json:"e"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("read key set: it has %d keys; %d may be there", len(set.Keys), maxKeys)
	}
	var keys []publicKey
	for _, k := range set.Keys {
		if k.Type != "RSA" || k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != "RS256" {
			continue
		}
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		e, err2 := base64.RawURLEncoding.DecodeString(k.E)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("read key %q: %w", k.ID, err)
		}
		modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
		if bits := modulus.BitLen(); bits < 2048 || bits > 8192 || exponent.BitLen() > 31 || exponent.Int64() < 3 {
			return nil, fmt.Errorf("read key %q: it has %d bits and an exponent of %d", k.ID, bits, exponent.BitLen())
		}
		keys = append(keys, publicKey{k.ID, &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}})
	}
	return keys, nil
}
