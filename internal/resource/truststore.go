package resource

// TrustStore has the authorities whose certificates of clients are believed. It
// holds what it was made of, whatever becomes of that.
type TrustStore struct {
	Meta
	ARN          string `json:"arn"`
	Name         string `json:"name"`
	Bundle       string `json:"bundle"`       // PEM
	Certificates int    `json:"certificates"` // in the bundle
	// Revocations are in the order of their IDs, of which LastRevocation is the
	// last that was given.
	Revocations    []Revocation `json:"revocations,omitempty"`
	LastRevocation int64        `json:"lastRevocation,omitempty"`
}

// Key is the trust store's ARN.
func (t *TrustStore) Key() string { return t.ARN }

// Revocation is a list of certificates that are no more believed.
type Revocation struct {
	ID      int64  `json:"id"`
	Content []byte `json:"content"` // PEM or DER
	Entries int    `json:"entries"`
}
