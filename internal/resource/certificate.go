package resource

import "time"

// The types of certificates, as on the wire.
const (
	ImportedCertificate  = "IMPORTED"
	RequestedCertificate = "AMAZON_ISSUED"
)

// Certificate is a certificate of Certificate Manager. Its key is given to the
// processes that show the certificate, and to nobody else.
type Certificate struct {
	Meta
	ARN    string   `json:"arn"`
	Type   string   `json:"type"`
	Domain string   `json:"domain"`
	Names  []string `json:"names"` // all of them, the domain first
	// KeyAlgorithm is as AWS writes it: "RSA_2048", "EC_prime256v1", …
	KeyAlgorithm string `json:"keyAlgorithm"`
	Certificate  string `json:"certificate"`     // PEM, one
	Chain        string `json:"chain,omitempty"` // PEM
	PrivateKey   string `json:"privateKey"`      // PEM, PKCS #8
	// Issued is when it was issued or imported last; it is issued anew before
	// NotAfter, if it was not imported.
	Issued   time.Time `json:"issued"`
	NotAfter time.Time `json:"notAfter"`
	// Validation ("DNS" or "EMAIL") and Token are of a request.
	Validation string `json:"validation,omitempty"`
	Token      string `json:"token,omitempty"`
}

// Key is the certificate's ARN.
func (c *Certificate) Key() string { return c.ARN }
