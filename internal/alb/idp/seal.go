package idp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// sealer seals what a client keeps for the balancer, so that it can neither read
// nor make it.
type sealer struct{ keys []cipher.AEAD } // the first is in use

func newSealer(keys []config.IdentityKey) (*sealer, error) {
	s := &sealer{}
	for _, k := range keys {
		if len(k.Seal) != config.IdentityKeySize {
			return nil, fmt.Errorf("read identity key %s: it has %d bytes, not %d", k.ID, len(k.Seal), config.IdentityKeySize)
		}
		block, err := aes.NewCipher(k.Seal)
		if err != nil {
			return nil, fmt.Errorf("read identity key %s: %w", k.ID, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("read identity key %s: %w", k.ID, err)
		}
		s.keys = append(s.keys, aead)
	}
	if len(s.keys) == 0 {
		return nil, errors.New("there is no identity key")
	}
	return s, nil
}

// seal makes a text of a value, which is good for one purpose only.
func (s *sealer) seal(purpose string, value any) string {
	plain, err := json.Marshal(value)
	if err != nil {
		panic(err) // plain data
	}
	return base64.RawURLEncoding.EncodeToString(s.keys[0].Seal(nil, nil, plain, []byte(purpose)))
}

var errForeign = errors.New("it was not made by this load balancer")

// open reads what was sealed for a purpose.
func (s *sealer) open(purpose, text string, value any) error {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return errForeign
	}
	for _, k := range s.keys {
		if plain, err := k.Open(nil, nil, sealed, []byte(purpose)); err == nil {
			return json.Unmarshal(plain, value)
		}
	}
	return errForeign
}
