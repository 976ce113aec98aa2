package idp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/proxy/upstream"
)

const keysURL = "https://example.com/keys"

func TestValidate(t *testing.T) {
	i := startIssuer(t, nil)
	now := time.Now().Unix()
	v := NewValidator(&config.ValidateJWT{Issuer: "https://example.com", JWKSEndpoint: keysURL, Claims: []config.JWTClaim{
		{Name: "tenant", Format: config.SingleString, Values: []string{"one"}},
		{Name: "roles", Format: config.StringArray, Values: []string{"reader", "writer"}},
		{Name: "scope", Format: config.SpaceValues, Values: []string{"read", "write"}},
	}}, NewKeySet(keysURL, i.client))
	good := jwt.MapClaims{
		"iss": "https://example.com", "exp": now + 60, "nbf": now - 1, "iat": now - 1,
		"tenant": "one", "roles": []string{"writer", "admin", "reader"}, "scope": "read write more",
	}
	with := func(name string, value any) string {
		c := maps.Clone(good)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return "Bearer " + token(t, i.key, "1", c)
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, good).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	// A public key that is taken for a secret one.
	symmetric, err := jwt.NewWithClaims(jwt.SigningMethodHS256, good).SignedString(i.key.N.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	extended := jwt.NewWithClaims(jwt.SigningMethodRS256, good)
	extended.Header["kid"], extended.Header["crit"] = "1", []string{"exp"}
	critical, err := extended.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		header []string
		reason string // empty: it passes
	}{
		{"good", []string{with("x", 1)}, ""},
		{"the scheme in any case", []string{strings.Replace(with("x", 1), "Bearer", "bearer", 1)}, ""},
		{"no key id", []string{"Bearer " + token(t, i.key, "", good)}, ""},
		{"no header", nil, "JWTHeaderNotPresent"},
		{"two headers", []string{with("x", 1), with("x", 1)}, "JWTRequestFormatInvalid"},
		{"another scheme", []string{"Basic YTpi"}, "JWTRequestFormatInvalid"},
		{"no token", []string{"Bearer "}, "JWTRequestFormatInvalid"},
		{"no JWT", []string{"Bearer abc"}, "JWTRequestFormatInvalid"},
		{"another key", []string{"Bearer " + token(t, otherKey, "1", good)}, "JWTSignatureValidationError"},
		{"an unknown key", []string{"Bearer " + token(t, otherKey, "2", good)}, "JWTSignatureValidationError"},
		{"not signed", []string{"Bearer " + unsigned}, "JWTSignatureValidationError"},
		{"signed with the public key", []string{"Bearer " + symmetric}, "JWTSignatureValidationError"},
		{"with extensions", []string{"Bearer " + critical}, "JWTSignatureValidationError"},
		{"another issuer", []string{with("iss", "https://example.org")}, "JWTClaimValueInvalid"},
		{"no issuer", []string{with("iss", nil)}, "JWTClaimNotPresent"},
		{"no end", []string{with("exp", nil)}, "JWTClaimNotPresent"},
		{"over", []string{with("exp", now-1)}, "JWTClaimValueInvalid"},
		{"not yet", []string{with("nbf", now+60)}, "JWTClaimValueInvalid"},
		{"issued in the future", []string{with("iat", now+60)}, "JWTClaimValueInvalid"},
		{"an end that is no time", []string{with("exp", "soon")}, "JWTClaimFormatInvalid"},
		{"no claim", []string{with("tenant", nil)}, "JWTClaimNotPresent"},
		{"another value", []string{with("tenant", "two")}, "JWTClaimValueInvalid"},
		{"a number", []string{with("tenant", 1)}, "JWTClaimFormatInvalid"},
		{"one of two roles", []string{with("roles", []string{"reader"})}, "JWTClaimValueInvalid"},
		{"a text for a list", []string{with("roles", "reader writer")}, "JWTClaimFormatInvalid"},
		{"a mixed list", []string{with("roles", []any{"reader", "writer", 1})}, "JWTClaimFormatInvalid"},
		{"one of two scopes", []string{with("scope", "read writer")}, "JWTClaimValueInvalid"},
	} {
		f := v.Validate(t.Context(), c.header)
		switch {
		case c.reason == "" && f != nil:
			t.Errorf("%s: %v", c.name, f)
		case c.reason != "" && (f == nil || f.Reason != c.reason || f.Status != 401 || !strings.HasPrefix(f.Cause, "jwt: ")):
			t.Errorf("%s: %v, want %s", c.name, f, c.reason)
		}
	}
	// The unknown key came within seconds of the first question.
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
}

// Keys are asked for again when they are old, or when one is missing, but not
// for every token of a stranger.
func TestKeysAgain(t *testing.T) {
	i := startIssuer(t, nil)
	s := NewKeySet(keysURL, i.client)
	var mu sync.Mutex
	now := time.Now()
	s.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	for _, step := range []struct {
		after time.Duration
		id    string
		found int
		asked int64
	}{
		{0, "1", 1, 1},
		{0, "1", 1, 1},
		{keysAgain - 1, "2", 0, 1},
		{2, "2", 0, 2},
		{0, "3", 0, 2},
		{keysFresh - time.Second, "1", 1, 2},
		{2 * time.Second, "1", 1, 3},
	} {
		pass(step.after)
		found, failure := s.find(t.Context(), step.id)
		s.settle()
		if failure != nil || len(found) != step.found || i.asked.Load() != step.asked {
			t.Errorf("key %s: %d, %v, asked %d times; want %d, asked %d times", step.id, len(found), failure, i.asked.Load(), step.found, step.asked)
		}
	}
	// Without an answer the keys are good for a while.
	i.Close()
	pass(keysFresh + time.Second)
	s.find(t.Context(), "1")
	s.settle()
	if found, failure := s.find(t.Context(), "1"); failure != nil || len(found) != 1 {
		t.Errorf("without an answer: %d, %v", len(found), failure)
	}
	pass(keysGood)
	if _, failure := s.find(t.Context(), "1"); failure == nil || failure.Status != 500 {
		t.Errorf("an hour without an answer: %v", failure)
	}
}

// settle waits for the keys that are being asked for.
func (s *KeySet) settle() {
	s.mu.Lock()
	asking := s.asking
	s.mu.Unlock()
	if asking != nil {
		<-asking
	}
}

// TestDeadProvider: requests whose key is known do not wait for a provider that
// answers no more, and the others not most of the time.
func TestDeadProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		c := NewClient(Options{Dial: func(ctx context.Context, _ []netip.AddrPort) (net.Conn, error) {
			dials.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		s := NewKeySet("https://192.0.2.1/keys", c)
		s.keys, s.fetched = []publicKey{{"1", &signingKey.PublicKey}}, time.Now().Add(-keysFresh)
		for range 600 {
			begun := time.Now()
			if found, failure := s.find(t.Context(), "1"); failure != nil || len(found) != 1 || time.Since(begun) > 0 {
				t.Fatalf("%d keys, %v, after %v", len(found), failure, time.Since(begun))
			}
			time.Sleep(time.Second)
		}
		if n := dials.Load(); n < 6 || n > 25 {
			t.Errorf("it was asked %d times in ten minutes", n)
		}
		waited := time.Duration(0)
		for begun := time.Now(); time.Since(begun) < 10*time.Minute; time.Sleep(time.Second) {
			asked := time.Now()
			if found, failure := s.find(t.Context(), "2"); failure != nil || len(found) != 0 {
				t.Fatalf("a key that is not known: %d, %v", len(found), failure)
			}
			waited += time.Since(asked)
		}
		if waited < timeout || waited > 2*time.Minute {
			t.Errorf("requests waited for %v of ten minutes", waited)
		}
		s.settle()
	})
}

// TestKeysBackoff: a provider that fails is asked ever more seldom, until it
// answers.
func TestKeysBackoff(t *testing.T) {
	var asked atomic.Int64
	var failing atomic.Bool
	failing.Store(true)
	i := startIssuer(t, map[string]http.HandlerFunc{"/new": func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1); failing.Load() {
			w.WriteHeader(503)
			return
		}
		w.Write(keySet("1", &signingKey.PublicKey))
	}})
	s := NewKeySet("https://example.com/new", i.client)
	now := time.Now()
	s.now = func() time.Time { return now }
	askedIn := func(d time.Duration) int64 {
		before := asked.Load()
		for end := now.Add(d); now.Before(end); now = now.Add(time.Second / 2) {
			s.find(t.Context(), "1")
		}
		return asked.Load() - before
	}
	if n := askedIn(time.Second); n != 1 {
		t.Errorf("asked %d times in the first second", n)
	}
	if n := askedIn(63 * time.Second); n != 6 { // after 1, 3, 7, 15, 31 and 63 seconds
		t.Errorf("asked %d times in the first minute", n)
	}
	if n := askedIn(10 * keysBackoffMost); n != 10 {
		t.Errorf("asked %d times later", n)
	}
	failing.Store(false)
	if n := askedIn(keysBackoffMost); n != 1 {
		t.Errorf("asked %d times when it answered", n)
	}
	if found, failure := s.find(t.Context(), "1"); len(found) != 1 || failure != nil {
		t.Errorf("%d keys, %v", len(found), failure)
	}
	failing.Store(true)
	now = now.Add(2 * keysGood)
	if n := askedIn(4 * time.Second); n != 3 {
		t.Errorf("asked %d times in the first seconds of another failure", n)
	}
}

// TestBadKeys: keys that can't be used take no others with them, and are told of
// once.
func TestBadKeys(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	one := func(b []byte) string {
		return strings.TrimSuffix(strings.TrimPrefix(string(b), `{"keys":[`), "]}")
	}
	bad := []string{one(keySet("weak", &weak.PublicKey)), `{"kty":"RSA","kid":"torn","n":"?","e":"AQAB"}`, `{"kty":"RSA","kid":1}`, `7`}
	good := one(keySet("good", &signingKey.PublicKey))
	i := startIssuer(t, map[string]http.HandlerFunc{
		"/mixed": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"keys":[`+strings.Join(append(bad, good), ",")+"]}")
		},
		"/bad": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"keys":[`+strings.Join(bad, ",")+"]}")
		},
	})
	var log bytes.Buffer
	i.client.log = slog.New(slog.NewTextHandler(&log, nil))
	s := NewKeySet("https://example.com/mixed", i.client)
	now := time.Now()
	s.now = func() time.Time { return now }
	for range 3 {
		if found, failure := s.find(t.Context(), "good"); failure != nil || len(found) != 1 {
			t.Fatalf("%d keys, %v", len(found), failure)
		}
		s.settle()
		now = now.Add(2 * keysFresh)
	}
	text := log.String()
	for _, part := range []string{"key 2", "weak", "1024 bits", "torn", "key 5"} {
		if !strings.Contains(text, part) {
			t.Errorf("the log lacks %q", part)
		}
	}
	if n := strings.Count(text, "msg="); n != 1 {
		t.Errorf("%d lines in the log:\n%s", n, text)
	}
	if _, failure := NewKeySet("https://example.com/bad", i.client).find(t.Context(), "weak"); failure == nil || !strings.Contains(failure.Cause, "1024 bits") {
		t.Errorf("without a good key: %v", failure)
	}
}

func TestKeysUnavailable(t *testing.T) {
	i := startIssuer(t, map[string]http.HandlerFunc{
		"/error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"/large": func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, maxKeySet+1)) },
		"/many": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"keys":[` + strings.Repeat("{},", maxKeys) + "{}]}"))
		},
		"/html":  func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"/moved": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) },
	})
	dropped := NewClient(Options{Resolver: startResolver(t), Dial: func(context.Context, []netip.AddrPort) (net.Conn, error) {
		return nil, &upstream.Error{Kind: upstream.Unavailable, Layer: "sg-egress", Cause: "sg-1 allows nothing"}
	}})
	for _, c := range []struct {
		url, reason, cause string
		client             *Client
	}{
		{"https://example.com/error", "JWKSRequestFailed", "503", i.client},
		{"https://example.com/large", "JWKSResponseSizeExceeded", "bytes", i.client},
		{"https://example.com/many", "JWKSRequestFailed", "11 keys", i.client},
		{"https://example.com/html", "JWKSRequestFailed", "key set", i.client},
		{"https://example.com/moved", "JWKSRequestFailed", "302", i.client},
		{"https://other.example/keys", "JWKSRequestTimeout", "dns: the VPC's resolver knows no address of other.example", i.client},
		{keysURL, "JWKSRequestTimeout", "sg-egress: sg-1 allows nothing", dropped},
	} {
		_, f := NewKeySet(c.url, c.client).find(t.Context(), "1")
		if f == nil || f.Status != 500 || f.Reason != c.reason || !strings.Contains(f.Cause, c.cause) {
			t.Errorf("%s: %v, want %s … %s", c.url, f, c.reason, c.cause)
		}
	}
}

// FuzzValidate: no Authorization header makes the validator fail, and none but
// a good token passes.
func FuzzValidate(f *testing.F) {
	s := NewKeySet(keysURL, nil)
	s.keys, s.fetched, s.tried = []publicKey{{"1", &signingKey.PublicKey}}, time.Now(), time.Now()
	s.now = func() time.Time { return s.fetched }
	v := NewValidator(&config.ValidateJWT{Issuer: "i"}, s)
	for _, seed := range []string{"", "Bearer", "Bearer a.b.c", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIn0.AA", "Bearer eyJhbGciOiJub25lIn0.e30."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if v.Validate(t.Context(), []string{header}) == nil {
			t.Errorf("%q passes", header)
		}
	})
}

// FuzzKeys: whatever is published, keys are usable or there is an error.
func FuzzKeys(f *testing.F) {
	f.Add(keySet("1", &signingKey.PublicKey))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"","e":""}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, _, err := parseKeys(body)
		for _, k := range keys {
			if err != nil || k.rsa.N.BitLen() < 2048 || k.rsa.E < 3 {
				t.Errorf("key %+v, error %v", k, err)
			}
		}
	})
}
