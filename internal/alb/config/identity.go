package config

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
