package idp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// Validator judges the bearer tokens of requests ("Verify JWTs using an
// Application Load Balancer" in the user guide).
type Validator struct {
	config *config.ValidateJWT
	keys   *KeySet
	parser *jwt.Parser
}

// NewValidator makes a validator of tokens that are signed with keys.
func NewValidator(c *config.ValidateJWT, keys *KeySet) *Validator {
	return &Validator{c, keys, jwt.NewParser(
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithIssuer(c.Issuer), jwt.WithIssuedAt(),
		jwt.WithTimeFunc(func() time.Time { return keys.now() }),
	)}
}

// Validate judges a request by its Authorization fields; it passes if there is
// no failure.
func (v *Validator) Validate(ctx context.Context, authorization []string) *Failure {
	switch len(authorization) {
	case 0:
		return refuse("JWTHeaderNotPresent", "jwt: there is no Authorization header")
	case 1:
	default:
		return refuse("JWTRequestFormatInvalid", "jwt: there are several Authorization headers")
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return refuse("JWTRequestFormatInvalid", "jwt: the Authorization header holds no bearer token")
	}
	claims := jwt.MapClaims{}
	if _, err := v.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) { return v.keysOf(ctx, t) }); err != nil {
		return tokenFailure(err)
	}
	for _, c := range v.config.Claims {
		if f := check(c, claims[c.Name]); f != nil {
			return f
		}
	}
	return nil
}

// keysOf are those that may verify a token.
func (v *Validator) keysOf(ctx context.Context, t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok { // RFC 7515, section 4.1.11
		return nil, errors.New("the token's header has extensions that must be understood")
	}
	id, _ := t.Header["kid"].(string)
	found, failure := v.keys.find(ctx, id)
	if failure != nil {
		return nil, failure
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no key with the id %.100q is at %s", id, v.keys.url)
	}
	var set jwt.VerificationKeySet
	for _, k := range found {
		set.Keys = append(set.Keys, k)
	}
	return set, nil
}

// tokenFailure is the failure of a token by the error of its parser.
func tokenFailure(err error) *Failure {
	var known *Failure
	reason := "JWTRequestFormatInvalid"
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		reason = "JWTSignatureValidationError"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		reason = "JWTClaimNotPresent"
	case errors.Is(err, jwt.ErrInvalidType):
		reason = "JWTClaimFormatInvalid"
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		reason = "JWTClaimValueInvalid"
	}
	return refuse(reason, "jwt: "+err.Error())
}

// check judges a claim by its value, which is nil if there is none.
func check(c config.JWTClaim, value any) *Failure {
	if value == nil {
		return refuse("JWTClaimNotPresent", "jwt: the token has no claim "+c.Name)
	}
	got, ok := valuesOf(c.Format, value)
	if !ok {
		return refuse("JWTClaimFormatInvalid", fmt.Sprintf("jwt: the claim %s is no %s", c.Name, c.Format))
	}
	for _, want := range c.Values {
		if !slices.Contains(got, want) {
			return refuse("JWTClaimValueInvalid", fmt.Sprintf("jwt: the claim %s does not hold %q", c.Name, want))
		}
	}
	return nil
}

// valuesOf are the texts that a claim holds, if it has the format.
func valuesOf(f config.ClaimFormat, value any) ([]string, bool) {
	if f == config.StringArray {
		list, ok := value.([]any)
		var texts []string
		for _, v := range list {
			text, isText := v.(string)
			ok = ok && isText
			texts = append(texts, text)
		}
		return texts, ok
	}
	text, ok := value.(string)
	if f == config.SpaceValues {
		return strings.Fields(text), ok
	}
	return []string{text}, ok
}
