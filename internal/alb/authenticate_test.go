package alb

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/authority"
)

// TestAuthenticate: a client logs in with a browser's cookies, and its claims are
// renewed when the access token has ended.
func TestAuthenticate(t *testing.T) {
	i := newIssuer(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign, err := authority.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var provider string
	var refreshes atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {"c"}, "state": q["state"]}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		id, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": provider, "aud": "client", "sub": "user", "exp": time.Now().Unix() + 60}).SignedString([]byte("k"))
		if err != nil {
			t.Error(err)
		}
		life := 1
		if r.FormValue("grant_type") == "refresh_token" {
			refreshes.Add(1)
			life = 3600
		}
		fmt.Fprintf(w, `{"access_token":"a%d","token_type":"Bearer","id_token":%q,"refresh_token":"r","expires_in":%d}`, refreshes.Load(), id, life)
	})
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"sub":"user","token":%q,"long":%q}`, r.Header.Get("Authorization"), strings.Repeat("x", 6000))
	})
	provider = i.startProvider(t, mux)

	is := func(path string) []config.Condition {
		return []config.Condition{{Field: config.PathPattern, Values: []string{path}}}
	}
	guarded := to("tg")
	guarded.Authenticate = &config.Authenticate{
		Issuer: provider, AuthorizationEndpoint: provider + "/authorize", TokenEndpoint: provider + "/token", UserInfoEndpoint: provider + "/userinfo",
		ClientID: "client", ClientSecret: "the client's secret", CookieName: "Session", Scope: "openid", SessionSeconds: 3600, OnUnauthenticated: config.LogIn,
	}
	allowed, denied := guarded, guarded
	allowed.Authenticate, denied.Authenticate = new(config.Authenticate), new(config.Authenticate)
	*allowed.Authenticate, *denied.Authenticate = *guarded.Authenticate, *guarded.Authenticate
	allowed.Authenticate.OnUnauthenticated, denied.Authenticate.OnUnauthenticated = config.Allow, config.Deny
	c := secured(configuration(healthy(startTarget(t, "a")),
		config.Rule{Priority: 1, Conditions: is("/in*"), Action: guarded}, config.Rule{Priority: 2, Conditions: is("/allowed"), Action: allowed},
		config.Rule{Priority: 3, Conditions: is("/denied"), Action: denied}),
		i.issue(t, "EC_prime256v1", "shop.example"))
	c.Authorities = i.PEM
	c.IdentityKeys = []config.IdentityKey{{ID: "k", Seal: bytes.Repeat([]byte{9}, config.IdentityKeySize), Sign: sign}}
	n := startNode(t, c)
	client := i.client(t, n, false)
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig.ServerName = "" // of the provider, too
	transport.TLSClientConfig.InsecureSkipVerify = true
	base := "https://" + n.address()
	preview, err := json.Marshal(n.b.Preview(PreviewParams{Method: "GET", Host: "shop.example", Path: "/in", Port: port}))
	if err != nil || !strings.Contains(string(preview), "authenticate,forward") || strings.Contains(string(preview), "secret") {
		t.Errorf("the preview is %s, %v", preview, err)
	}
	forged := http.Header{"X-Amzn-Oidc-Identity": {"root"}, "X-Amzn-Oidc-Data": {"x"}}

	for path, want := range map[string]int{"/open": 200, "/allowed": 200, "/denied": 401} {
		got := fetch(t, client, base+path, forged)
		if got.status != want || got.seen.Header.Get("X-Amzn-Oidc-Identity") != "" || got.seen.Header.Get("X-Amzn-Oidc-Data") != "" {
			t.Errorf("%s without a session: %d, the target saw %v", path, got.status, got.seen.Header)
		}
	}
	if got := fetch(t, client, base+"/in?bad", http.Header{"Cookie": {"Session-0=1AAAA"}}); got.status != 401 || !strings.HasPrefix(got.header.Get("Set-Cookie"), "Session-0=; Expires=Thu, 01 Jan 1970") {
		t.Errorf("a forged session: %d %v", got.status, got.header)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Jar = jar
	got := fetch(t, client, base+"/in/a?b=c", forged)
	if got.status != 200 || got.seen.URI != "/in/a?b=c" || got.seen.Header.Get("X-Amzn-Oidc-Identity") != "user" || !strings.HasPrefix(got.seen.Header.Get("X-Amzn-Oidc-Accesstoken"), "a") {
		t.Fatalf("logged in: %d %+v", got.status, got.seen)
	}
	if line := n.log.find(t, "/in/a"); line["actions_executed"] != "authenticate" || line["redirect_url"] != nil || line["elb_status_code"] != 302.0 {
		t.Errorf("the log says %v", line)
	}
	// The access token, a0, ends after a second, on a busy machine even before the
	// request with it; until then nothing is asked.
	for deadline := time.Now().Add(10 * time.Second); got.seen.Header.Get("X-Amzn-Oidc-Accesstoken") != "a1"; time.Sleep(50 * time.Millisecond) {
		if got = fetch(t, client, base+"/in/again", nil); time.Now().After(deadline) {
			t.Fatalf("the session was not refreshed: %d %+v", got.status, got.seen)
		}
	}
	payload, err := base64.URLEncoding.DecodeString(strings.Split(got.seen.Header.Get("X-Amzn-Oidc-Data"), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil || claims["token"] != "Bearer a1" {
		t.Errorf("claims %.200s, %v", payload, err)
	}
	set := got.header.Values("Set-Cookie")
	if len(set) != 3 || !strings.HasPrefix(set[0], "Session-0=3") || !strings.HasSuffix(set[2], "; Path=/; Secure; HttpOnly; SameSite=None") {
		t.Errorf("cookies of the refreshed session: %.80q", set)
	}
	for range 3 {
		if got = fetch(t, client, base+"/denied", nil); got.status != 200 || len(got.header.Values("Set-Cookie")) != 0 || refreshes.Load() != 1 {
			t.Errorf("after that: %d, %d refreshes", got.status, refreshes.Load())
		}
	}
}
