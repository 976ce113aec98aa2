package control

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/service/elbv2"
	"github.com/isthmus-net/isthmus/internal/store"
)

// renewIdentityKeys replaces the keys with which load balancers vouch for users,
// when they are old.
func (c *controller) renewIdentityKeys(ctx context.Context, s *store.Snapshot, now time.Time) error {
	old := elbv2.OldIdentityKeys(s, now)
	if len(old) == 0 {
		return nil
	}
	_, err := c.db.Update(ctx, func(tx *store.Tx) error {
		for _, arn := range elbv2.OldIdentityKeys(tx, now) {
			elbv2.RenewIdentityKey(tx, arn, now)
		}
		return nil
	})
	return err
}

// publicKeys answers what AWS's endpoint of public keys answers, by which targets
// verify x-amzn-oidc-data, under the same name:
// https://public-keys.auth.elb.REGION.amazonaws.com/KEY-ID. All else goes to next.
func publicKeys(db *store.DB, region string, next http.Handler) http.Handler {
	name := "public-keys.auth.elb." + region + ".amazonaws.com"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		switch {
		case !strings.EqualFold(host, name):
			next.ServeHTTP(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.Error(w, "the keys can only be read", http.StatusMethodNotAllowed)
		default:
			text, ok := publicKey(db.View(), strings.TrimPrefix(r.URL.Path, "/"))
			if !ok {
				http.Error(w, "no load balancer has signed with this key", http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", "application/x-pem-file")
			w.Write(text)
		}
	})
}

// publicKey finds the public part of a load balancer's key, as PEM.
func publicKey(r store.Reader, id string) ([]byte, bool) {
	for lb := range store.LoadBalancers.Scan(r) {
		for _, k := range lb.IdentityKeys {
			if k.ID == id {
				return public(k)
			}
		}
	}
	return nil, false
}

func public(k resource.IdentityKey) ([]byte, bool) {
	block, _ := pem.Decode([]byte(k.Sign))
	if block == nil {
		return nil, false
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, false
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, false
	}
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil, false
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), true
}
