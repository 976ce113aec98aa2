package resource

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
