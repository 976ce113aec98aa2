package resource

// ListenerTLS is how a listener makes connections secure.
type ListenerTLS struct {
	Policy string `json:"policy"` // the name of a security policy
	// Certificate is shown to clients that name no host, or one that no other
	// certificate holds for.
	Certificate string `json:"certificate"` // ARN
	// Certificates are chosen from by the host that a client names.
	Certificates []string `json:"certificates,omitempty"` // ARNs, sorted
	// ClientCertificates is what becomes of them: "off"; "passthrough": whatever a
	// client shows is told to the targets; "verify": a client must show one that
	// TrustStore (ARN) vouches for.
	ClientCertificates string `json:"clientCertificates"`
	TrustStore         string `json:"trustStore,omitempty"`
	IgnoreExpiry       bool   `json:"ignoreExpiry,omitempty"` // of clients' certificates
	// AdvertiseAuthorities tells clients whose certificates they can show.
	AdvertiseAuthorities bool `json:"advertiseAuthorities,omitempty"`
}

// All are the ARNs of all certificates.
func (t *ListenerTLS) All() []string {
	if t == nil {
		return nil
	}
	return append([]string{t.Certificate}, t.Certificates...)
}
