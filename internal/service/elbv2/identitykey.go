package elbv2

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/store"
)

// identityKeyLife is how long a key is in use. For as long again it is believed:
// no session lasts longer.
const identityKeyLife = maxSessionTimeout * time.Second

// giveIdentityKey gives a load balancer its first key if an action needs one.
func giveIdentityKey(tx *store.Tx, lb *resource.LoadBalancer, actions []resource.Action) {
	for _, a := range actions {
		if a.Authenticate != nil && len(lb.IdentityKeys) == 0 {
			lb.IdentityKeys = []resource.IdentityKey{newIdentityKey(time.Now())}
			store.LoadBalancers.Put(tx, lb)
		}
	}
}

// OldIdentityKeys are the load balancers (ARNs) whose key is to be replaced.
func OldIdentityKeys(r store.Reader, now time.Time) (arns []string) {
	for lb := range store.LoadBalancers.Scan(r) {
		if len(lb.IdentityKeys) > 0 && !now.Before(lb.IdentityKeys[0].Made.Add(identityKeyLife)) {
			arns = append(arns, lb.ARN)
		}
	}
	return arns
}

// RenewIdentityKey gives a load balancer a new key. The one that it has is
// believed until the next renewal, the one before that no more.
func RenewIdentityKey(tx *store.Tx, arn string, now time.Time) {
	if lb, ok := store.LoadBalancers.Get(tx, arn); ok {
		lb.IdentityKeys = []resource.IdentityKey{newIdentityKey(now), lb.IdentityKeys[0]}
		store.LoadBalancers.Put(tx, lb)
	}
}

func newIdentityKey(now time.Time) resource.IdentityKey {
	k := resource.IdentityKey{ID: newUUID(), Made: now.UTC().Truncate(time.Second), Seal: make([]byte, 32)}
	rand.Read(k.Seal)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the generator never fails
	}
	if k.Sign, err = authority.EncodeKey(key); err != nil {
		panic(err) // a key of P-256 has an encoding
	}
	return k
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4 (RFC 9562)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
