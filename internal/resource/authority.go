package resource

// Authority is the local certificate authority of a region. Its key signs the
// certificates that the gateway shows, and never leaves the control process.
type Authority struct {
	Region      string `json:"region"`
	Certificate string `json:"certificate"` // PEM
	PrivateKey  string `json:"privateKey"`  // PEM, PKCS #8
}

// Key is the region.
func (a *Authority) Key() string { return a.Region }
