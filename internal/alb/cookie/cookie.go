// Package cookie seals what stickiness cookies of an Application Load Balancer
// hold, so that a client can neither read nor make them.
package cookie

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// Names of the cookies, which AWS reserves. A second one with the same content
// goes with each of the first two, for requests from other sites.
const (
	Target      = "AWSALB"
	Group       = "AWSALBTG"
	Application = "AWSALBAPP-0"
	CORS        = "CORS" // what the second one's name ends with
)

// Binding is what a cookie holds: where the requests of a client go, and until
// when.
type Binding struct {
	Group   string         `json:"g"`           // ARN of the target group
	Target  netip.AddrPort `json:"t,omitempty"` // not set in the cookie of a group
	Expires int64          `json:"e"`           // seconds since 1970
}

// Sealer seals and opens bindings with the balancer's key. It is safe for
// concurrent use.
type Sealer struct{ aead cipher.AEAD }

// NewSealer makes a sealer from a key of config.CookieKeySize bytes.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != config.CookieKeySize {
		return nil, fmt.Errorf("make cookie sealer: the key has %d bytes, not %d", len(key), config.CookieKeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cookie sealer: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cookie sealer: %w", err)
	}
	return &Sealer{aead}, nil
}

var encoding = base64.RawURLEncoding

// Seal makes the value of a cookie, which is good under its name only.
func (s *Sealer) Seal(name string, b Binding) string {
	plain, err := json.Marshal(b)
	if err != nil {
		panic(err) // plain data
	}
	return encoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(name)))
}

// maxValue bounds what is opened; an ARN and an address take a quarter of it.
const maxValue = 2 << 10

var errForeign = errors.New("open cookie: it was not made by this load balancer")

// Open reads the value of a cookie. One that has expired is an error.
func (s *Sealer) Open(name, value string, now time.Time) (Binding, error) {
	var b Binding
	if len(value) > maxValue {
		return b, errForeign
	}
	sealed, err := encoding.DecodeString(value)
	if err != nil {
		return b, errForeign
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return b, errForeign
	}
	if err := json.Unmarshal(plain, &b); err != nil {
		return Binding{}, errForeign
	}
	if now.Unix() >= b.Expires {
		return Binding{}, errors.New("open cookie: it has expired")
	}
	return b, nil
}
