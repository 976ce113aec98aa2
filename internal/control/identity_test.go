package control

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// The public part of a key is found under AWS's name, and nothing else is.
func TestPublicKeys(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	a, err := authority.New("us-east-1", "", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		store.LoadBalancers.Put(tx, &resource.LoadBalancer{ARN: "arn:lb", IdentityKeys: []resource.IdentityKey{{ID: "the-key", Sign: a.PrivateKey}}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	h := publicKeys(db, "us-east-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, c := range []struct {
		method, host, path string
		status             int
	}{
		{"GET", "public-keys.auth.elb.us-east-1.amazonaws.com", "/the-key", 200},
		{"GET", "Public-Keys.auth.elb.us-east-1.amazonaws.com:4566", "/the-key", 200},
		{"GET", "public-keys.auth.elb.us-east-1.amazonaws.com", "/", 404},
		{"GET", "public-keys.auth.elb.us-east-1.amazonaws.com", "/another", 404},
		{"POST", "public-keys.auth.elb.us-east-1.amazonaws.com", "/the-key", 405},
		{"GET", "public-keys.auth.elb.eu-west-1.amazonaws.com", "/the-key", 418},
		{"GET", "localhost:4566", "/the-key", 418},
	} {
		r := httptest.NewRequest(c.method, "http://"+c.host+c.path, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s %s%s: %d, want %d", c.method, c.host, c.path, w.Code, c.status)
		}
		if w.Code != 200 {
			continue
		}
		block, rest := pem.Decode(w.Body.Bytes())
		if block == nil || block.Type != "PUBLIC KEY" || len(rest) != 0 {
			t.Fatalf("the key is %s", w.Body)
		}
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			t.Error(err)
		} else if _, ok := key.(*ecdsa.PublicKey); !ok {
			t.Errorf("the key is a %T", key)
		}
	}
}
