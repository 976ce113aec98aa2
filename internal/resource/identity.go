package resource

import "time"

// AuthenticateOIDC lets requests pass of clients that have logged in with an
// identity provider (OpenID Connect Core 1.0, authorization code flow).
type AuthenticateOIDC struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorizationEndpoint"`
	TokenEndpoint         string `json:"tokenEndpoint"`
	UserInfoEndpoint      string `json:"userInfoEndpoint"`
	ClientID              string `json:"clientID"`
	// ClientSecret is given to the nodes, and to nobody else.
	ClientSecret      string            `json:"clientSecret"`
	SessionCookieName string            `json:"sessionCookieName"`
	Scope             string            `json:"scope"`
	SessionTimeout    int               `json:"sessionTimeout"` // seconds
	ExtraParams       map[string]string `json:"extraParams,omitempty"`
	OnUnauthenticated string            `json:"onUnauthenticated"` // "authenticate", "allow" or "deny"
}

// IdentityKey is what the nodes of an Application Load Balancer keep sessions of
// users with, and vouch for them.
type IdentityKey struct {
	ID   string    `json:"id"` // a UUID, which the public key is found by
	Made time.Time `json:"made"`
	Seal []byte    `json:"seal"` // 32 random bytes
	Sign string    `json:"sign"` // PEM, PKCS #8, of P-256
}

// ValidateJWT lets requests pass whose bearer token (RFC 6750) is a JSON Web
// Token of an issuer.
type ValidateJWT struct {
	Issuer string `json:"issuer"`
	// JWKSEndpoint is the URL of the issuer's keys (RFC 7517).
	JWKSEndpoint string     `json:"jwksEndpoint"`
	Claims       []JWTClaim `json:"claims,omitempty"`
}

// JWTClaim is a claim that a token must have besides those of its issuer and its
// time.
type JWTClaim struct {
	Name string `json:"name"`
	// Format is "single-string", "string-array" or "space-separated-values".
	Format string   `json:"format"`
	Values []string `json:"values"`
}
