package config

// Authenticate lets requests pass of clients that have logged in with an
// identity provider (OpenID Connect Core 1.0, authorization code flow).
type Authenticate struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorizationEndpoint"` // https URLs
	TokenEndpoint         string `json:"tokenEndpoint"`
	UserInfoEndpoint      string `json:"userInfoEndpoint"`
	ClientID              string `json:"clientID"`
	ClientSecret          string `json:"clientSecret"`
	// CookieName is what the names of the cookies begin with that hold a session.
	CookieName     string `json:"cookieName"`
	Scope          string `json:"scope"`
	SessionSeconds int    `json:"sessionSeconds"` // after which a client logs in again
	// ExtraParams go to the authorization endpoint, too.
	ExtraParams       map[string]string `json:"extraParams,omitempty"`
	OnUnauthenticated Unauthenticated   `json:"onUnauthenticated"`
}

// Unauthenticated says what becomes of a request without a session.
type Unauthenticated string

// The ways with requests without a session, as AWS names them.
const (
	LogIn Unauthenticated = "authenticate" // the client is sent to the provider
	Allow Unauthenticated = "allow"        // the request passes without claims
	Deny  Unauthenticated = "deny"         // 401
)

// IdentityKey is what sessions are sealed and claims are signed with, the same
// for all nodes of the balancer.
type IdentityKey struct {
	ID   string `json:"id"`   // the kid of what is signed
	Seal []byte `json:"seal"` // IdentityKeySize bytes
	Sign string `json:"sign"` // PEM, PKCS #8, of P-256
}

// IdentityKeySize is the length of IdentityKey.Seal: AES-256.
const IdentityKeySize = 32

// ValidateJWT lets requests pass whose bearer token (RFC 6750) is a JSON Web
// Token that the issuer has signed and that has not ended.
type ValidateJWT struct {
	Issuer       string     `json:"issuer"`
	JWKSEndpoint string     `json:"jwksEndpoint"` // https URL of the issuer's keys (RFC 7517)
	Claims       []JWTClaim `json:"claims,omitempty"`
}

// JWTClaim is a claim that a token must have, with all of the values.
type JWTClaim struct {
	Name   string      `json:"name"`
	Format ClaimFormat `json:"format"`
	Values []string    `json:"values"`
}

// ClaimFormat says how a claim holds values.
type ClaimFormat string

// The formats of claims, as AWS names them.
const (
	SingleString ClaimFormat = "single-string"
	StringArray  ClaimFormat = "string-array"
	SpaceValues  ClaimFormat = "space-separated-values" // one string, such as the claim scope of RFC 8693
)
