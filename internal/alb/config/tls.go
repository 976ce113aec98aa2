package config

// TLS is how a listener makes connections secure.
type TLS struct {
	Policy string `json:"policy"` // a name of package sslpolicy
	// Certificates are chosen from by the name that a client asks for; the
	// first is for all others.
	Certificates []Certificate `json:"certificates"`
	// ClientCertificates asks clients for certificates, and tells targets
	// whatever they show, without verifying it.
	ClientCertificates bool `json:"clientCertificates,omitempty"`
	// Verify has clients show certificates that can be verified, if it is there.
	Verify *VerifyClients `json:"verify,omitempty"`
	// FieldNames are the names of those RequestFields that have others than
	// their own, by these.
	FieldNames map[string]string `json:"fieldNames,omitempty"`
}

// FieldName is the name under which targets are told one of RequestFields.
func (t *TLS) FieldName(own string) string {
	if t != nil && t.FieldNames[own] != "" {
		return t.FieldNames[own]
	}
	return own
}

// VerifyClients says whose certificates of clients are believed.
type VerifyClients struct {
	TrustStore   string   `json:"trustStore"`            // ARN
	Bundle       string   `json:"bundle"`                // PEM, of the authorities
	Revocations  [][]byte `json:"revocations,omitempty"` // revocation lists, PEM or DER
	IgnoreExpiry bool     `json:"ignoreExpiry,omitempty"`
	Advertise    bool     `json:"advertise,omitempty"` // tells clients the authorities
}

// Certificate is a certificate with what leads to its authority, and its key.
type Certificate struct {
	ARN   string `json:"arn"`
	Chain string `json:"chain"` // PEM, the certificate first
	Key   string `json:"key"`   // PEM, PKCS #8
}
