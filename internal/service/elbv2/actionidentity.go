package elbv2

import (
	"net/url"
	"slices"
	"strings"

	"github.com/isthmus-net/isthmus/internal/resource"
	"github.com/isthmus-net/isthmus/internal/wire"
	api "github.com/isthmus-net/isthmus/internal/wire/elbv2"
)

// What an authenticate-oidc action is if it does not say it, and its limits, of
// the API's reference.
const (
	sessionCookie     = "AWSELBAuthSessionCookie"
	sessionScope      = "openid"
	maxSessionTimeout = 604800 // seconds
	maxExtraParams    = 10
	maxOIDCText       = 2048 // of the others, of which AWS gives none
)

// readAuthenticateOIDC reads an action that may take the place of old ones, whose
// secret it can keep.
func readAuthenticateOIDC(c *api.AuthenticateOidcActionConfig, old []resource.Action) (*resource.AuthenticateOIDC, error) {
	if c == nil {
		return nil, badAction("An OIDC configuration must be specified for an action of type 'authenticate-oidc'")
	}
	out := &resource.AuthenticateOIDC{
		Issuer: wire.Val(c.Issuer), AuthorizationEndpoint: wire.Val(c.AuthorizationEndpoint), TokenEndpoint: wire.Val(c.TokenEndpoint),
		UserInfoEndpoint: wire.Val(c.UserInfoEndpoint), ClientID: wire.Val(c.ClientId), ClientSecret: wire.Val(c.ClientSecret),
		SessionCookieName: sessionCookie, Scope: sessionScope, SessionTimeout: maxSessionTimeout, OnUnauthenticated: "authenticate",
		ExtraParams: c.AuthenticationRequestExtraParams,
	}
	set(&out.SessionCookieName, c.SessionCookieName)
	set(&out.Scope, c.Scope)
	set(&out.OnUnauthenticated, c.OnUnauthenticatedRequest)
	setNumber(&out.SessionTimeout, c.SessionTimeout)
	if wire.Val(c.UseExistingClientSecret) {
		if out.ClientSecret != "" {
			return nil, badAction("A client secret cannot be specified when the existing one is used")
		}
		for _, a := range old {
			if a.Authenticate != nil {
				out.ClientSecret = a.Authenticate.ClientSecret
			}
		}
	}
	if out.ClientSecret == "" {
		return nil, badAction("A client secret must be specified for an action of type 'authenticate-oidc'")
	}
	return out, checkAuthenticateOIDC(out)
}

func checkAuthenticateOIDC(a *resource.AuthenticateOIDC) error {
	for _, e := range []struct{ what, url string }{
		{"OIDC issuer", a.Issuer}, {"authorization endpoint", a.AuthorizationEndpoint}, {"token endpoint", a.TokenEndpoint}, {"user info endpoint", a.UserInfoEndpoint},
	} {
		if err := checkEndpoint(e.what, e.url); err != nil {
			return err
		}
	}
	switch {
	case a.ClientID == "":
		return badAction("A client ID must be specified for an action of type 'authenticate-oidc'")
	case !cookieName.MatchString(a.SessionCookieName) || len(a.SessionCookieName) > maxJWTText:
		return badAction("The session cookie name '%s' is not valid", a.SessionCookieName)
	case a.SessionTimeout < 1 || a.SessionTimeout > maxSessionTimeout:
		return badAction("The session timeout must be between 1 and %d seconds", maxSessionTimeout)
	case len(a.ExtraParams) > maxExtraParams:
		return badAction("At most %d extra parameters of the authentication request can be specified", maxExtraParams)
	}
	texts := []string{a.Issuer, a.AuthorizationEndpoint, a.TokenEndpoint, a.UserInfoEndpoint, a.ClientID, a.ClientSecret, a.Scope}
	for name, value := range a.ExtraParams {
		if slices.Contains(ownParams, name) {
			return badAction("The parameter '%s' of the authentication request is the load balancer's own", name)
		}
		texts = append(texts, name, value)
	}
	for _, text := range texts {
		if len(text) > maxOIDCText {
			return badAction("The texts of an OIDC configuration cannot be longer than %d characters", maxOIDCText)
		}
	}
	return nil
}

// ownParams are those of the authentication request that the load balancer sets.
var ownParams = []string{"client_id", "redirect_uri", "response_type", "scope", "state"}

// showAuthenticateOIDC shows all but the secret.
func showAuthenticateOIDC(a *resource.AuthenticateOIDC) *api.AuthenticateOidcActionConfig {
	return &api.AuthenticateOidcActionConfig{
		Issuer: wire.Ptr(a.Issuer), AuthorizationEndpoint: wire.Ptr(a.AuthorizationEndpoint), TokenEndpoint: wire.Ptr(a.TokenEndpoint),
		UserInfoEndpoint: wire.Ptr(a.UserInfoEndpoint), ClientId: wire.Ptr(a.ClientID), SessionCookieName: wire.Ptr(a.SessionCookieName),
		Scope: wire.Ptr(a.Scope), SessionTimeout: wire.Ptr(int64(a.SessionTimeout)), AuthenticationRequestExtraParams: a.ExtraParams,
		OnUnauthenticatedRequest: wire.Ptr(a.OnUnauthenticated),
	}
}

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
