package idp

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

type publicKey struct {
	id  string
	rsa *rsa.PublicKey
}

// parseKeys reads a key set (RFC 7517). Keys that are not for RS256 are left out
// without a word, those that can't be used are told of in bad: the others are
// good nevertheless.
func parseKeys(body []byte) (keys []publicKey, bad, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, nil, fmt.Errorf("read key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, nil, fmt.Errorf("read key set: it has %d keys; %d may be there", len(set.Keys), maxKeys)
	}
	for i, raw := range set.Keys {
		switch k, err := parseKey(raw); {
		case err != nil:
			bad = errors.Join(bad, fmt.Errorf("key %d: %w", i+1, err))
		case k != nil:
			keys = append(keys, *k)
		}
	}
	if len(keys) == 0 && bad != nil {
		return nil, nil, fmt.Errorf("read key set: none of its keys can be used: %w", bad)
	}
	return keys, bad, nil
}

// parseKey reads one of them. It is nil if the key is not for RS256.
func parseKey(raw []byte) (*publicKey, error) {
	var k struct {
		Type      string `json:"kty"`
		ID        string `json:"kid"`
		Use       string `json:"use"`
		Algorithm string `json:"alg"`
		N         string `json:"n"`
		E         string `json:"e"`
	}
	if err := json.Unmarshal(raw, &k); err != nil {
		return nil, err
	}
	if k.Type != "RSA" || k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != "RS256" {
		return nil, nil
	}
	n, err := base64.RawURLEncoding.DecodeString(k.N)
	e, err2 := base64.RawURLEncoding.DecodeString(k.E)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("read %.100q: %w", k.ID, err)
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if bits := modulus.BitLen(); bits < 2048 || bits > 8192 || exponent.BitLen() > 31 || exponent.Int64() < 3 {
		return nil, fmt.Errorf("%.100q has %d bits, of 2048 to 8192, and an exponent of %d, of 2 to 31", k.ID, bits, exponent.BitLen())
	}
	return &publicKey{k.ID, &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}}, nil
}
