package idp

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
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
		if failure != nil || len(found) != step.found || i.asked.Load() != step.asked {
			t.Errorf("key %s: %d, %v, asked %d times; want %d, asked %d times", step.id, len(found), failure, i.asked.Load(), step.found, step.asked)
		}
	}
	// Without an answer the keys are good for a while.
	i.Close()
	pass(keysFresh + time.Second)
	if found, failure := s.find(t.Context(), "1"); failure != nil || len(found) != 1 {
		t.Errorf("without an answer: %d, %v", len(found), failure)
	}
	pass(keysGood)
	if _, failure := s.find(t.Context(), "1"); failure == nil || failure.Status != 500 {
		t.Errorf("an hour without an answer: %v", failure)
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
		keys, err := parseKeys(body)
		for _, k := range keys {
			if err != nil || k.rsa.N.BitLen() < 2048 || k.rsa.E < 3 {
				t.Errorf("key %+v, error %v", k, err)
			}
		}
	})
}
