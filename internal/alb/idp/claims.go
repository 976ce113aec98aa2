package idp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// signer vouches for claims ("User claims encoding and signature verification"
// in the user guide).
type signer struct {
	id, balancer string
	key          *ecdsa.PrivateKey
}

func newSigner(k config.IdentityKey, balancer string) (*signer, error) {
	block, _ := pem.Decode([]byte(k.Sign))
	if block == nil {
		return nil, fmt.Errorf("read identity key %s: no PEM", k.ID)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read identity key %s: %w", k.ID, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("read identity key " + k.ID + ": it is not of P-256")
	}
	return &signer{k.ID, balancer, key}, nil
}

// dataLife is how long what is signed is good, as on AWS.
const dataLife = 2 * time.Minute

// data is the value of x-amzn-oidc-data. AWS pads its base64, which JSON Web
// Tokens do not, and so does this.
func (s *signer) data(c *config.Authenticate, claims json.RawMessage, now time.Time) (string, error) {
	ends := now.Add(dataLife).Unix()
	header, err := json.Marshal(struct {
		Type      string `json:"typ"`
		KeyID     string `json:"kid"`
		Algorithm string `json:"alg"`
		Issuer    string `json:"iss"`
		Client    string `json:"client"`
		Signer    string `json:"signer"`
		Ends      int64  `json:"exp"`
	}{"JWT", s.id, "ES256", c.Issuer, c.ClientID, s.balancer, ends})
	if err != nil {
		return "", err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(claims, &all); err != nil {
		return "", err
	}
	issuer, err := json.Marshal(c.Issuer)
	if err != nil {
		return "", err
	}
	all["exp"], all["iss"] = fmt.Appendf(nil, "%d", ends), issuer
	payload, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	text := base64.URLEncoding.EncodeToString(header) + "." + base64.URLEncoding.EncodeToString(payload)
	signature, err := jwt.SigningMethodES256.Sign(text, s.key)
	if err != nil {
		return "", err
	}
	return text + "." + base64.URLEncoding.EncodeToString(signature), nil
}
