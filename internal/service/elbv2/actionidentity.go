package elbv2

import (
	"net/url"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// The limits of jwt-validation actions, of the API's reference.
const (
	maxJWTText   = 256 // of the issuer, the endpoint and a value
	maxJWTClaims = 10
	maxJWTValues = 10 // of a claim
)

// checkedClaims are validated in every token.
var checkedClaims = []string{"exp", "iss", "nbf", "iat"}

func readValidateJWT(c *api.JwtValidationActionConfig) (*resource.ValidateJWT, error) {
	if c == nil {
		return nil, badAction("A JWT validation configuration must be specified for an action of type 'jwt-validation'")
	}
	out := &resource.ValidateJWT{Issuer: wire.Val(c.Issuer), JWKSEndpoint: wire.Val(c.JwksEndpoint)}
	switch {
	case out.Issuer == "" || len(out.Issuer) > maxJWTText:
		return nil, invalid("The issuer of a JWT validation must have 1 to %d characters", maxJWTText)
	case len(out.JWKSEndpoint) > maxJWTText:
		return nil, invalid("The JWKS endpoint cannot be longer than %d characters", maxJWTText)
	case len(c.AdditionalClaims) > maxJWTClaims:
		return nil, invalid("At most %d additional claims can be specified", maxJWTClaims)
	}
	if err := checkEndpoint("JWKS endpoint", out.JWKSEndpoint); err != nil {
		return nil, err
	}
	for _, claim := range c.AdditionalClaims {
		read := resource.JWTClaim{Name: wire.Val(claim.Name), Format: wire.Val(claim.Format), Values: claim.Values}
		if err := checkClaim(read); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out.Claims, func(o resource.JWTClaim) bool { return o.Name == read.Name }) {
			return nil, invalid("The additional claim '%s' is given twice", read.Name)
		}
		out.Claims = append(out.Claims, read)
	}
	return out, nil
}

func checkClaim(c resource.JWTClaim) error {
	switch {
	case c.Name == "" || len(c.Name) > maxJWTText:
		return invalid("The name of an additional claim must have 1 to %d characters", maxJWTText)
	case slices.Contains(checkedClaims, c.Name):
		return invalid("The additional claim '%s' cannot be specified, since it is always validated", c.Name)
	case len(c.Values) == 0 || len(c.Values) > maxJWTValues:
		return invalid("The additional claim '%s' must have 1 to %d values", c.Name, maxJWTValues)
	case c.Format == "single-string" && len(c.Values) > 1:
		return invalid("The additional claim '%s' with the format 'single-string' must have exactly one value", c.Name)
	}
	for _, v := range c.Values {
		switch {
		case v == "" || len(v) > maxJWTText:
			return invalid("The values of the additional claim '%s' must have 1 to %d characters", c.Name, maxJWTText)
		case c.Format == "space-separated-values" && strings.ContainsAny(v, " \t\r\n"):
			return invalid("The values of the additional claim '%s' cannot include spaces", c.Name)
		}
	}
	return nil
}

// checkEndpoint checks the URL of an identity provider's endpoint.
func checkEndpoint(what, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return invalid("The %s '%s' must be a full URL, including the HTTPS protocol, the domain, and the path", what, text)
	}
	return nil
}

func showValidateJWT(v *resource.ValidateJWT) *api.JwtValidationActionConfig {
	return &api.JwtValidationActionConfig{
		Issuer: wire.Ptr(v.Issuer), JwksEndpoint: wire.Ptr(v.JWKSEndpoint),
		AdditionalClaims: showAll(v.Claims, func(c resource.JWTClaim) *api.JwtValidationActionAdditionalClaim {
			return &api.JwtValidationActionAdditionalClaim{Name: wire.Ptr(c.Name), Format: wire.Ptr(c.Format), Values: c.Values}
		}),
	}
}
