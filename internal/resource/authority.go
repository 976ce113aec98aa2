package resource

// AuthorityUse says what an authority vouches for.
type AuthorityUse string

// The uses of authorities.
const (
	APIs         AuthorityUse = ""    // the names under which APIs are called
	Certificates AuthorityUse = "acm" // what is requested of Certificate Manager
)

// Authority is a local certificate authority of a region. Its key never leaves
// the control process.
type Authority struct {
	Region      string       `json:"region"`
	Use         AuthorityUse `json:"use,omitempty"`
	Certificate string       `json:"certificate"` // PEM
	PrivateKey  string       `json:"privateKey"`  // PEM, PKCS #8
}

// Key is the region, with the use if it has a name.
func (a *Authority) Key() string { return AuthorityKey(a.Region, a.Use) }

// AuthorityKey is the key of an authority.
func AuthorityKey(region string, use AuthorityUse) string {
	if use == "" {
		return region
	}
	return region + "/" + string(use)
}
