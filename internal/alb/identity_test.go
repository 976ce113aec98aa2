package alb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// startProvider serves handlers over TLS, with a certificate of the issuer's
// for the address.
func (i issuer) startProvider(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := i.Sign(&x509.Certificate{NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(own))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// fetch sends a GET and reads the answer.
func fetch(t *testing.T, c *http.Client, url string, header http.Header) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header.Clone()
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, body: string(b)}
	json.Unmarshal(b, &a.seen)
	return a
}

func TestValidateJWT(t *testing.T) {
	i := newIssuer(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	url := i.startProvider(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"RSA","n":%q,"e":%q}]}`, base64.RawURLEncoding.EncodeToString(key.N.Bytes()), base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()))
	}))
	c := secured(configuration(healthy(startTarget(t, "a"))), i.issue(t, "EC_prime256v1", "shop.example"))
	c.Authorities = i.PEM
	c.Listeners[0].Default.ValidateJWT = &config.ValidateJWT{Issuer: "https://idp.example", JWKSEndpoint: url + "/keys"}
	var file logBuffer
	n := startNodeWith(t, c, &file)
	client := i.client(t, n, false)
	good, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"iss": "https://idp.example", "exp": time.Now().Unix() + 60}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, authorization string
		status              int
		actions, reason     string
	}{
		{"/good", "Bearer " + good, 200, "jwt-validation,forward", "-"},
		{"/none", "", 401, "jwt-validation", "JWTHeaderNotPresent"},
		{"/bad", "Bearer " + good[:len(good)-8] + "AAAAAAAA", 401, "jwt-validation", "JWTSignatureValidationError"},
	} {
		h := http.Header{}
		if test.authorization != "" {
			h.Set("Authorization", test.authorization)
		}
		got := fetch(t, client, "https://"+n.address()+test.path, h)
		if got.status != test.status || got.status == 200 && got.seen.Header.Get("Authorization") != test.authorization {
			t.Errorf("%s: %d %s", test.path, got.status, got.body)
		}
		if got.status == 401 && !strings.Contains(got.body, "<title>401 Authorization Required</title>") {
			t.Errorf("%s: the page is %s", test.path, got.body)
		}
		line := n.log.find(t, test.path)
		if line["actions_executed"] != test.actions || test.reason != "-" && line["error_reason"] != test.reason {
			t.Errorf("%s: the log says %v", test.path, line)
		}
		if text := file.with(t, test.path); !strings.Contains(text, fmt.Sprintf(`%q "-" %q`, test.actions, test.reason)) {
			t.Errorf("%s: the access log says %s", test.path, text)
		}
	}
	// A provider that can't be reached is no fault of the client's.
	c.Listeners[0].Default.ValidateJWT.JWKSEndpoint = "https://127.0.0.1:1/keys"
	n.apply(c)
	if got := fetch(t, client, "https://"+n.address()+"/away", http.Header{"Authorization": {"Bearer " + good}}); got.status != 500 {
		t.Errorf("without keys: %d", got.status)
	}
	if line := n.log.find(t, "/away"); line["error_reason"] != "JWKSRequestTimeout" || !strings.Contains(fmt.Sprint(line["error"]), "connection refused") {
		t.Errorf("without keys the log says %v", line)
	}
}
