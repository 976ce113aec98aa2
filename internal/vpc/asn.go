package vpc

// DefaultAmazonASN is the autonomous system of Amazon's side unless another is
// asked for.
const DefaultAmazonASN = 64512

// PrivateASN says whether an autonomous system number is for private use
// (RFC 6996).
func PrivateASN(asn int64) bool {
	return 64512 <= asn && asn <= 65534 || 4200000000 <= asn && asn <= 4294967294
}
