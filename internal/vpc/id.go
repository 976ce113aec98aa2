package vpc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"strings"
)

// NewID returns a new random resource id in AWS's long form: the prefix
// ("eni", "vpce-svc"), a hyphen and 17 hexadecimal digits.
func NewID(prefix string) string {
	var b [8]byte
	rand.Read(b[:])
	return prefix + "-0" + hex.EncodeToString(b[:])
}

// StableID returns an id in the same form as NewID that depends only on the
// arguments. It names what AWS shows as a resource but nobody ever creates,
// such as the network ACL of a VPC.
func StableID(prefix string, of ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(of, "\x00")))
	return prefix + "-0" + hex.EncodeToString(sum[:8])
}

// suffixAlphabet is what the random part of an endpoint's DNS names is made of.
const suffixAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

func newDNSSuffix() string {
	var b [8]byte
	rand.Read(b[:])
	for i, v := range b {
		b[i] = suffixAlphabet[int(v)%len(suffixAlphabet)]
	}
	return string(b[:])
}

// macAddress gives each ENI number its own locally administered MAC address,
// with the same first byte as AWS's often have.
func macAddress(number uint32) string {
	return net.HardwareAddr{0x0e, 0x15, byte(number >> 24), byte(number >> 16), byte(number >> 8), byte(number)}.String()
}
