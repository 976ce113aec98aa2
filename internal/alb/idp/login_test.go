package idp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/authority"
)

func identityKey(t testing.TB, id string) config.IdentityKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := authority.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return config.IdentityKey{ID: id, Seal: bytes.Repeat([]byte(id[:1]), config.IdentityKeySize), Sign: text}
}

func settings(change ...func(*config.Authenticate)) *config.Authenticate {
	c := &config.Authenticate{
		Issuer: "https://example.com", AuthorizationEndpoint: "https://example.com/authorize?tenant=1", TokenEndpoint: "https://example.com/token",
		UserInfoEndpoint: "https://example.com/userinfo", ClientID: "a client", ClientSecret: "se%cret", CookieName: "Session",
		Scope: "openid email", SessionSeconds: 3600, OnUnauthenticated: config.LogIn, ExtraParams: map[string]string{"prompt": "login"},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// provider answers as its fields say.
type provider struct {
	*issuer
	token, userInfo http.HandlerFunc
	form            url.Values // of the last request for tokens
	user, password  string     // likewise
	exchanges       atomic.Int64
}

func startProvider(t *testing.T) *provider {
	p := &provider{}
	p.issuer = startIssuer(t, map[string]http.HandlerFunc{
		"POST /token": func(w http.ResponseWriter, r *http.Request) {
			p.exchanges.Add(1)
			r.ParseForm()
			p.form = r.PostForm
			p.user, p.password, _ = r.BasicAuth()
			p.token(w, r)
		},
		"GET /userinfo": func(w http.ResponseWriter, r *http.Request) { p.userInfo(w, r) },
	})
	p.token = func(w http.ResponseWriter, _ *http.Request) { w.Write(p.tokens(t, nil)) }
	p.userInfo = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access" {
			w.WriteHeader(401)
			return
		}
		fmt.Fprint(w, `{ "sub": "user", "big": 12345678901234567890, "email": "u@example.com" }`)
	}
	return p
}

// tokens is an answer of the token endpoint, with changes to the claims of the
// ID token.
func (p *provider) tokens(t *testing.T, change jwt.MapClaims) []byte {
	claims := jwt.MapClaims{"iss": "https://example.com", "aud": []string{"a client"}, "sub": "user", "exp": time.Now().Unix() + 60}
	for name, value := range change {
		claims[name] = value
	}
	return fmt.Appendf(nil, `{"access_token":"access","token_type":"bearer","id_token":%q,"refresh_token":"again","expires_in":60}`, token(t, p.key, "1", claims))
}

func (p *provider) login(t *testing.T, c *config.Authenticate) *Login {
	t.Helper()
	l, err := NewLogin(c, "arn:lb", []config.IdentityKey{identityKey(t, "new"), identityKey(t, "old")}, p.client)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// back is a client that comes back with a code.
func back(t *testing.T, l *Login) *Return {
	t.Helper()
	location, nonce, f := l.Begin("Shop.example", "/a?b=c", "")
	if f != nil {
		t.Fatal(f)
	}
	to, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	_, r, f := ReadReturn(map[string]*Login{l.ID: l}, url.Values{"code": {"the code"}, "state": to.Query()["state"]}.Encode(), nonce)
	if f != nil {
		t.Fatal(f)
	}
	return r
}

func TestLogin(t *testing.T) {
	p := startProvider(t)
	l := p.login(t, settings())
	location, nonce, f := l.Begin("Shop.example:8443", "/a?b=c", "")
	if f != nil {
		t.Fatal(f)
	}
	to, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	q := to.Query()
	for name, want := range map[string]string{
		"tenant": "1", "client_id": "a client", "redirect_uri": "https://shop.example:8443/oauth2/idpresponse", "response_type": "code",
		"scope": "openid email", "prompt": "login",
	} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	found, r, f := ReadReturn(map[string]*Login{l.ID: l}, url.Values{"code": {"x y"}, "state": q["state"]}.Encode(), nonce)
	if f != nil || found != l || r.URL() != "https://shop.example:8443/a?b=c" {
		t.Fatalf("came back to %+v, %v", r, f)
	}
	s, f := l.Finish(t.Context(), r)
	if f != nil {
		t.Fatal(f)
	}
	if p.form.Get("grant_type") != "authorization_code" || p.form.Get("code") != "x y" || p.form.Get("redirect_uri") != "https://shop.example:8443/oauth2/idpresponse" ||
		p.user != "a+client" || p.password != "se%25cret" {
		t.Errorf("the token endpoint was sent %v by %s %s", p.form, p.user, p.password)
	}
	fields, f := l.Fields(s)
	if f != nil || fields.AccessToken != "access" || fields.Identity != "user" {
		t.Errorf("fields %+v, %v", fields, f)
	}
	// As AWS's documentation verifies it, with padding.
	parts := strings.Split(fields.Data, ".")
	var header, payload map[string]any
	for i, to := range []*map[string]any{&header, &payload} {
		plain, err := base64.URLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(plain))
		d.UseNumber()
		if err := d.Decode(to); err != nil {
			t.Fatal(err)
		}
	}
	signature, err := base64.URLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	if err := jwt.SigningMethodES256.Verify(parts[0]+"."+parts[1], signature, &l.signer.key.PublicKey); err != nil {
		t.Error(err)
	}
	if header["alg"] != "ES256" || header["kid"] != "new" || header["signer"] != "arn:lb" || header["iss"] != "https://example.com" || header["client"] != "a client" || header["exp"] == nil {
		t.Errorf("header %v", header)
	}
	if payload["sub"] != "user" || fmt.Sprint(payload["big"]) != "12345678901234567890" || payload["iss"] != "https://example.com" || payload["exp"] == nil {
		t.Errorf("payload %v", payload)
	}
}

// What comes back must be what this client began, in time.
func TestReadReturn(t *testing.T) {
	p := startProvider(t)
	l, other := p.login(t, settings()), p.login(t, settings(func(c *config.Authenticate) { c.ClientID = "b" }))
	begin := func(l *Login) (state, nonce string) {
		location, nonce, _ := l.Begin("a", "/", "")
		to, _ := url.Parse(location)
		return to.Query().Get("state"), nonce
	}
	state, nonce := begin(l)
	_, second := begin(l)
	foreign, _ := begin(other)
	l.now = func() time.Time { return time.Now().Add(-LoginTime) }
	late, lateNonce := begin(l)
	l.now = time.Now
	code := func(state string) string { return url.Values{"code": {"c"}, "state": {state}}.Encode() }
	for _, c := range []struct {
		name, query, nonce, reason string
		status                     int
	}{
		{"good", code(state), nonce, "", 0},
		{"no state", "code=c", nonce, "AuthMissingStateParam", 401},
		{"no query", "%zz", nonce, "AuthInvalidStateParam", 401},
		{"a changed state", code("A" + state[1:] + "A"), nonce, "AuthInvalidStateParam", 401},
		{"a cookie for a state", code(l.sealer.seal(l.purpose(), &Session{Ends: 1 << 40})), nonce, "AuthInvalidStateParam", 401},
		{"of another login", code(foreign), nonce, "AuthInvalidStateParam", 401},
		{"too late", code(late), lateNonce, "AuthInvalidStateParam", 401},
		{"no nonce", code(state), "", "AuthMissingAWSALBAuthNonce", 401},
		{"another client's", code(state), second, "AuthInvalidAWSALBAuthNonce", 401},
		{"no code", url.Values{"state": {state}}.Encode(), nonce, "AuthMissingCodeParam", 401},
		{"refused", url.Values{"state": {state}, "error": {"access_denied"}}.Encode(), nonce, "AuthMissingCodeParam", 561},
	} {
		_, _, f := ReadReturn(map[string]*Login{l.ID: l}, c.query, c.nonce)
		if c.reason == "" && f != nil || c.reason != "" && (f == nil || f.Reason != c.reason || f.Status != c.status) {
			t.Errorf("%s: %v, want %d %s", c.name, f, c.status, c.reason)
		}
	}
	if _, again, _ := l.Begin("a", "/", nonce); again != nonce {
		t.Error("a second window has another nonce")
	}
	if _, made, _ := l.Begin("a", "/", "chosen by somebody"); made == "chosen by somebody" {
		t.Error("whatever is in the cookie is taken")
	}
}

func TestFinishFails(t *testing.T) {
	p := startProvider(t)
	good, info := p.token, p.userInfo
	status := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, body) }
	}
	claims := func(c jwt.MapClaims) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(p.tokens(t, c)) }
	}
	for _, c := range []struct {
		name            string
		token, userInfo http.HandlerFunc
		status          int
		reason          string
	}{
		{"refused", status(400, `{"error":"invalid_client"}`), info, 561, "AuthTokenEpRequestFailed"},
		{"a code that is over", status(400, `{"error":"invalid_grant"}`), info, 561, "AuthInvalidGrantError"},
		{"no JSON", status(200, "<html>"), info, 561, "AuthInvalidTokenResponse"},
		{"no token", status(200, `{"token_type":"Bearer"}`), info, 561, "AuthInvalidTokenResponse"},
		{"a token with a line", status(200, `{"token_type":"Bearer","access_token":"a\r\nb"}`), info, 561, "AuthInvalidTokenResponse"},
		{"endless", status(200, strings.Repeat("a", maxTokens+1)), info, 561, "AuthInvalidTokenResponse"},
		{"no ID token", status(200, `{"token_type":"Bearer","access_token":"access"}`), info, 401, "AuthInvalidIdToken"},
		{"an ID token of another issuer", claims(jwt.MapClaims{"iss": "https://example.org"}), info, 401, "AuthInvalidIdToken"},
		{"an ID token for another client", claims(jwt.MapClaims{"aud": "b"}), info, 401, "AuthInvalidIdToken"},
		{"an old ID token", claims(jwt.MapClaims{"exp": 1}), info, 401, "AuthInvalidIdToken"},
		{"no user info", good, status(403, ""), 561, "AuthUserinfoEpRequestFailed"},
		{"user info that is none", good, status(200, "[]"), 561, "AuthInvalidUserinfoResponse"},
		{"nothing", good, status(200, "null"), 561, "AuthInvalidUserinfoResponse"},
		{"another user", good, status(200, `{"sub":"root"}`), 561, "AuthInvalidUserinfoResponse"},
		{"many claims", good, status(200, `{"sub":"user","x":"`+strings.Repeat("a", maxClaims)+`"}`), 401, "AuthUserinfoResponseSizeExceeded"},
	} {
		p.token, p.userInfo = c.token, c.userInfo
		l := p.login(t, settings())
		if _, f := l.Finish(t.Context(), back(t, l)); f == nil || f.Status != c.status || f.Reason != c.reason {
			t.Errorf("%s: %v, want %d %s", c.name, f, c.status, c.reason)
		}
	}
	p.token, p.userInfo = good, info
	l := p.login(t, settings())
	p.Close()
	if _, f := l.Finish(t.Context(), back(t, l)); f == nil || f.Status != 500 {
		t.Errorf("without a provider: %v", f)
	}
}

// A session survives its cookies, whatever its size, under this and the key
// before, and no other.
func TestSessionCookies(t *testing.T) {
	p := startProvider(t)
	l := p.login(t, settings())
	for _, size := range []int{0, 1, 2800, 2900, 3000, 6000, 9000, maxClaims - 100} {
		s := &Session{Provider: l.ID, Subject: "user", Access: "a", Claims: json.RawMessage(`"` + strings.Repeat("x", size) + `"`), Ends: time.Now().Unix() + 60}
		cookies, f := l.Cookies(s, func(name string) bool { return name == "Session-3" })
		if f != nil {
			t.Fatalf("%d bytes: %v", size, f)
		}
		jar := map[string]string{"Session-2": "left over", "Session-3": "left over"}
		for _, c := range cookies {
			if len(c.Name)+1+len(c.Value) > 4000 {
				t.Errorf("%d bytes: a cookie of %d", size, len(c.Value))
			}
			jar[c.Name] = c.Value
		}
		value := func(name string) (string, bool) { v, ok := jar[name]; return v, ok }
		got, f := l.Session(value)
		if f != nil || got == nil || !bytes.Equal(got.Claims, s.Claims) {
			t.Errorf("%d bytes: %v, %v", size, got, f)
		}
		renewed, err := NewLogin(settings(), "arn:lb", []config.IdentityKey{identityKey(t, "third"), identityKey(t, "new")}, p.client)
		if err != nil {
			t.Fatal(err)
		}
		if got, f := renewed.Session(value); f != nil || got == nil {
			t.Errorf("%d bytes, with the key after: %v", size, f)
		}
		other := p.login(t, settings(func(c *config.Authenticate) { c.ClientID = "b" }))
		if got, f := other.Session(value); f != nil || got != nil {
			t.Errorf("the session is good for another provider: %v %v", got, f)
		}
		strange, err := NewLogin(settings(), "arn:lb", []config.IdentityKey{identityKey(t, "x")}, p.client)
		if err != nil {
			t.Fatal(err)
		}
		if _, f := strange.Session(value); f == nil || f.Reason != "AuthInvalidCookie" {
			t.Errorf("the session is good for another balancer: %v", f)
		}
		l.now = func() time.Time { return time.Now().Add(time.Hour) }
		if got, f := l.Session(value); got != nil || f != nil {
			t.Errorf("the session has not ended: %v %v", got, f)
		}
		l.now = time.Now
	}
	large := &Session{Claims: json.RawMessage(`"` + strings.Repeat("x", 4*shardSize) + `"`)}
	if _, f := l.Cookies(large, func(string) bool { return false }); f == nil || f.Reason != "AuthUserinfoResponseSizeExceeded" {
		t.Errorf("a session of %d bytes: %v", len(large.Claims), f)
	}
	if cookies, _ := l.Cookies(nil, func(name string) bool { return name == "Session-0" }); len(cookies) != 1 || cookies[0].Value != "" {
		t.Errorf("to forget are %v", cookies)
	}
}

// Many requests at a time refresh a session once.
func TestRefresh(t *testing.T) {
	p := startProvider(t)
	l := p.login(t, settings())
	old, f := l.Finish(t.Context(), back(t, l))
	if f != nil {
		t.Fatal(f)
	}
	if s, f := l.Current(t.Context(), old); s != old || f != nil || p.exchanges.Load() != 1 {
		t.Errorf("a fresh session was refreshed: %v", f)
	}
	l.now = func() time.Time { return time.Now().Add(61 * time.Second) }
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			s, f := l.Current(t.Context(), old)
			if f != nil || s == old || s.Ends != old.Ends || s.stale(l.now()) || s.Refresh != "again" {
				t.Errorf("refreshed: %+v, %v", s, f)
			}
		})
	}
	all.Wait()
	if n := p.exchanges.Load(); n != 2 || p.form.Get("grant_type") != "refresh_token" || p.form.Get("refresh_token") != "again" {
		t.Errorf("%d exchanges, the last one %v", n, p.form)
	}
	p.token = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
	}
	old.Refresh = "revoked"
	if _, f := l.Current(t.Context(), old); f == nil || f.Reason != "AuthInvalidGrantError" {
		t.Errorf("a session whose user has left: %v", f)
	}
}

// FuzzReturn: nobody comes back with what was not begun.
func FuzzReturn(f *testing.F) {
	l, err := NewLogin(settings(), "arn:lb", []config.IdentityKey{identityKey(f, "new")}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("code=c&state=AAAA", "n")
	f.Add("error=a&state="+l.sealer.seal(l.purpose(), &Session{Ends: 1 << 40}), "n")
	f.Fuzz(func(t *testing.T, query, nonce string) {
		if _, _, f := ReadReturn(map[string]*Login{l.ID: l}, query, nonce); f == nil {
			t.Errorf("%q %q came back", query, nonce)
		}
	})
}

// FuzzSession: no cookies that were not sealed are a session.
func FuzzSession(f *testing.F) {
	l, err := NewLogin(settings(), "arn:lb", []config.IdentityKey{identityKey(f, "new")}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("1AAAA", "")
	f.Add("2AAAA", "AAAA")
	f.Add("1"+l.sealer.seal(statePurpose, state{Login: l.ID, Ends: 1 << 40}), "")
	f.Fuzz(func(t *testing.T, first, second string) {
		s, _ := l.Session(func(name string) (string, bool) {
			switch name {
			case "Session-0":
				return first, true
			case "Session-1":
				return second, true
			}
			return "", false
		})
		if s != nil {
			t.Errorf("%q %q are a session", first, second)
		}
	})
}
